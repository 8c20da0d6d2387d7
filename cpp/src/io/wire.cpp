#include "io/wire.h"

#include "core/check.h"

namespace d2deploy {

namespace {

constexpr std::uint64_t kMostFieldNumber = (std::uint64_t{1} << 29) - 1;

}  // namespace

WireField WireReader::next() {
  const Bytes before = rest_;
  const std::size_t start = position();
  const std::uint64_t tag = varint(start);
  const std::uint64_t number = tag >> 3, type = tag & 7;
  check<InvalidModel>(number != 0 && number <= kMostFieldNumber && (type <= 2 || type == 5), "byte ", start, " of the ",
                      what_, " begins no field of a Caffe2 net (tag ", tag,
                      "): it is damaged, or something else than a net");
  WireField field{static_cast<std::uint32_t>(number), static_cast<WireType>(type), {}, {}};
  switch (field.type) {
    case WireType::varint: (void)varint(start); break;
    case WireType::fixed64: (void)take(8, start); break;
    case WireType::fixed32: (void)take(4, start); break;
    case WireType::length: field.payload = take(varint(start), start); break;
  }
  field.whole = before.first(before.size() - rest_.size());
  return field;
}

std::uint64_t WireReader::varint(std::size_t start) {
  std::uint64_t value = 0;
  for (unsigned shift = 0; shift < 70; shift += 7) {
    const auto byte = static_cast<std::uint64_t>(take(1, start)[0]);
    value |= shift < 64 ? (byte & 0x7F) << shift : 0;
    if ((byte & 0x80) == 0) return value;
  }
  fail<InvalidModel>("the number at byte ", start, " of the file is longer than ten bytes: the ", what_, " is damaged");
}

Bytes WireReader::take(std::uint64_t count, std::size_t start) {
  check<InvalidModel>(count <= rest_.size(), "the ", what_, " ends at byte ", position() + rest_.size(),
                      ", inside of a field that begins at byte ", start, " and wants ", count - rest_.size(),
                      " bytes more: it is truncated or damaged; copy the file again");
  const Bytes taken = rest_.first(static_cast<std::size_t>(count));
  rest_ = rest_.subspan(static_cast<std::size_t>(count));
  return taken;
}

}  // namespace d2deploy
