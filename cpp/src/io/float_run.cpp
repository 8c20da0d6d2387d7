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

constexpr std::byte kFloatTag{5 << 3 | 5}, kPackedTag{5 << 3 | 2};

// What follows the name of the argument `values`, if the name comes first.
Bytes behind_name(Bytes file, Bytes argument) {
  WireReader reader(file, argument, "argument");
  const WireField name = reader.next();
  const bool values = name.number == 1 && name.type == WireType::length && name.text() == "values";
  return values ? reader.rest() : Bytes();
}

bool looks_tagged(Bytes bytes) {
  return !bytes.empty() && bytes.front() == kFloatTag && bytes.size() % kTaggedBytes == 0;
}

// `argument` is a name and then a run, from its first to its last byte, or it has none.
FloatRun run_in(Bytes file, Bytes argument, const std::set<const std::byte*>& dense) {
  const Bytes bytes = behind_name(file, argument);
  if (bytes.empty()) return {};
  if (dense.contains(bytes.data())) return {bytes, kTaggedBytes, true};
  if (looks_tagged(bytes) && every_value_is_tagged(bytes)) return {bytes, kTaggedBytes};
  if (bytes.front() != kPackedTag) return {};
  WireReader reader(file, bytes, "argument");
  const Bytes values = reader.next().payload;
  if (!reader.done() || values.size() % sizeof(float) != 0) return {};
  return {values, sizeof(float)};
}

}  // namespace

Bytes tagged_run(Bytes file, Bytes argument) {
  const Bytes bytes = behind_name(file, argument);
  return looks_tagged(bytes) ? bytes : Bytes();
}

bool every_value_is_tagged(Bytes bytes) {
  std::byte wrong{0};
  for (std::size_t i = 0; i < bytes.size(); i += kTaggedBytes) wrong |= bytes[i] ^ kFloatTag;
  return wrong == std::byte{0};
}

void FloatRun::copy_to(float* values) const {
  static_assert(std::endian::native == std::endian::little, "the wire format is little-endian");
  if (dense) {
    const std::byte* place = aligned_place();
    if (reinterpret_cast<const std::byte*>(values) != place) std::memcpy(values, place, size() * sizeof(float));
    return;
  }
  if (stride == sizeof(float)) {
    std::memmove(values, bytes.data(), bytes.size());  // the same place, perhaps
    return;
  }
  const std::byte* value = bytes.data() + 1;
  // In the run itself the first values would be written over others that are not read yet, by what alignment shifted.
  std::array<float, kAlignment> first;
  const std::size_t count = size(), ahead = std::min(count, first.size());
  for (std::size_t i = 0; i < ahead; ++i) std::memcpy(&first[i], value + i * kTaggedBytes, sizeof(float));
  std::copy_n(first.begin(), ahead, values);
  for (std::size_t i = ahead; i < count; ++i) std::memcpy(values + i, value + i * kTaggedBytes, sizeof(float));
}

const std::byte* FloatRun::aligned_place() const {
  const auto begin = reinterpret_cast<std::uintptr_t>(bytes.data());
  const std::size_t shift = (kAlignment - begin % kAlignment) % kAlignment;
  return bytes.size() >= shift + size() * sizeof(float) ? bytes.data() + shift : nullptr;
}

SplitOperator split_floats(Bytes file, Bytes bytes, const std::set<const std::byte*>& dense) {
  // What stays of the argument: tag, length, and the name.
  constexpr std::string_view kNameAlone = "\x2a\x08\x0a\x06values";
  for (WireReader reader(file, bytes, "operator"); !reader.done();) {
    const WireField field = reader.next();
    if (field.number != 5 || field.type != WireType::length || field.payload.size() < kLeastRun) continue;
    const FloatRun run = run_in(file, field.payload, dense);
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
