#include "io/float_run.h"

#include <algorithm>
#include <array>
#include <bit>
#include <cstdint>
#include <cstring>

#include "core/memory.h"
#include "io/wire.h"

namespace d2deploy {

namespace {

constexpr std::size_t kTagged = 1 + sizeof(float);
constexpr std::byte kFloatTag{5 << 3 | 5}, kPackedTag{5 << 3 | 2};
constexpr std::size_t kWorthwhile = 1024;  // bytes; protobuf is as fast with less

bool every_value_is_tagged(Bytes bytes) {
  std::byte wrong{0};
  for (std::size_t i = 0; i < bytes.size(); i += kTagged) wrong |= bytes[i] ^ kFloatTag;
  return wrong == std::byte{0};
}

// The run that `bytes` is from its first to its last byte, if it is one.
FloatRun run_of(Bytes file, Bytes bytes) {
  if (bytes.front() == kFloatTag && bytes.size() % kTagged == 0 && every_value_is_tagged(bytes))
    return {bytes, kTagged};
  if (bytes.front() != kPackedTag) return {};
  WireReader reader(file, bytes, "argument");
  const Bytes values = reader.next().payload;
  if (!reader.done() || values.size() % sizeof(float) != 0) return {};
  return {values, sizeof(float)};
}

// `argument` is a name and then a run, or it has none.
FloatRun run_in(Bytes file, Bytes argument) {
  WireReader reader(file, argument, "argument");
  const WireField name = reader.next();
  if (name.number != 1 || name.type != WireType::length || name.text() != "values" || reader.done()) return {};
  return run_of(file, reader.rest());
}

}  // namespace

void FloatRun::copy_to(float* values) const {
  static_assert(std::endian::native == std::endian::little, "the wire format is little-endian");
  if (stride == sizeof(float)) {
    std::memmove(values, bytes.data(), bytes.size());  // the same place, perhaps
    return;
  }
  const std::byte* value = bytes.data() + 1;
  // In the run itself the first values would be written over others that are not read yet, by what alignment shifted.
  std::array<float, kAlignment> first;
  const std::size_t count = size(), ahead = std::min(count, first.size());
  for (std::size_t i = 0; i < ahead; ++i) std::memcpy(&first[i], value + i * kTagged, sizeof(float));
  std::copy_n(first.begin(), ahead, values);
  for (std::size_t i = ahead; i < count; ++i) std::memcpy(values + i, value + i * kTagged, sizeof(float));
}

const std::byte* FloatRun::aligned_place() const {
  const auto begin = reinterpret_cast<std::uintptr_t>(bytes.data());
  const std::size_t shift = (kAlignment - begin % kAlignment) % kAlignment;
  return bytes.size() >= shift + size() * sizeof(float) ? bytes.data() + shift : nullptr;
}

SplitOperator split_floats(Bytes file, Bytes bytes) {
  // What stays of the argument: tag, length, and the name.
  constexpr std::string_view kNameAlone = "\x2a\x08\x0a\x06values";
  for (WireReader reader(file, bytes, "operator"); !reader.done();) {
    const WireField field = reader.next();
    if (field.number != 5 || field.type != WireType::length || field.payload.size() < kWorthwhile) continue;
    const FloatRun run = run_in(file, field.payload);
    if (run.stride == 0) continue;
    const auto start = static_cast<std::size_t>(field.whole.data() - bytes.data());
    std::string rest(as_text(bytes.first(start)));
    rest += kNameAlone;
    rest += as_text(reader.rest());
    return {std::move(rest), run};
  }
  return {};
}

}  // namespace d2deploy
