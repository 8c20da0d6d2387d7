#include "cli/tiff_header.h"

#include <algorithm>
#include <array>
#include <string_view>

namespace d2deploy::cli {

namespace {

// Bytes of a value by the type's number: ASCII, RATIONAL and floats are no integers here.
constexpr std::array<int, 19> kIntegerBytes{0, 1, 0, 2, 4, 0, 0, 1, 0, 0, 0, 0, 0, 4, 0, 0, 8, 0, 8};
constexpr std::uint64_t kMostFields = 4096;  // real directories have fewer than a hundred

}  // namespace

TiffHeader::TiffHeader(std::span<const std::uint8_t> file) : file_(file) {
  if (file.size() < 8 || file[0] != file[1] || (file[0] != 'I' && file[0] != 'M')) return;
  big_endian_ = file[0] == 'M';
  const FileNumbers numbers(file, big_endian_);
  const auto version = numbers.at(2, 2);
  if (version != 42 && version != 43) return;
  const bool large = version == 43;  // BigTIFF: counts and places of 8 bytes
  const int word = large ? 8 : 4;
  const auto directory = numbers.at(large ? 8 : 4, word);
  const auto fields = std::min(numbers.at(directory, large ? 8 : 2), kMostFields);
  const std::uint64_t head = large ? 8 : 2, step = large ? 20 : 12;
  for (std::uint64_t i = 0; i < fields; ++i) {
    const auto at = directory + head + i * step;
    if (at < directory || at > file.size() || file.size() - at < step) break;
    const auto type = numbers.at(at + 2, 2);
    const int bytes = type < kIntegerBytes.size() ? kIntegerBytes[type] : 0;
    const auto count = numbers.at(at + 4, word);
    const auto inside = at + 4 + static_cast<std::uint64_t>(word);
    const bool fits = count <= static_cast<std::uint64_t>(word / std::max(bytes, 1));
    fields_.try_emplace(static_cast<std::uint16_t>(numbers.at(at, 2)),
                        Field{bytes, count, fits ? inside : numbers.at(inside, word)});
  }
}

std::uint64_t TiffHeader::count(TiffTag tag) const {
  const auto it = fields_.find(tag);
  return it == fields_.end() ? 0 : it->second.count;
}

std::uint64_t TiffHeader::value(TiffTag tag, std::uint64_t index, std::uint64_t otherwise) const {
  const auto it = fields_.find(tag);
  if (it == fields_.end() || it->second.bytes == 0 || index >= it->second.count) return otherwise;
  if (index > file_.size()) return otherwise;
  const auto bytes = static_cast<std::uint64_t>(it->second.bytes);
  if (it->second.place > file_.size()) return otherwise;
  return FileNumbers(file_, big_endian_).at(it->second.place + index * bytes, it->second.bytes);
}

std::span<const std::uint8_t> TiffHeader::bytes(TiffTag tag) const {
  const auto it = fields_.find(tag);
  if (it == fields_.end() || it->second.place > file_.size()) return {};
  return file_.subspan(it->second.place, std::min<std::uint64_t>(it->second.count, file_.size() - it->second.place));
}

void TiffHeader::set(TiffTag tag, std::uint8_t value, std::span<std::uint8_t> file) const {
  const auto it = fields_.find(tag);
  if (it == fields_.end() || it->second.count == 0) return;
  const auto bytes = static_cast<std::uint64_t>(it->second.bytes);
  const auto place = it->second.place;
  if (bytes == 0 || place > file.size() || file.size() - place < bytes) return;
  std::ranges::fill(file.subspan(place, bytes), std::uint8_t{0});
  file[place + (big_endian_ ? bytes - 1 : 0)] = value;
}

int TiffHeader::orientation() const {
  if (!has(kOrientation)) {
    const int told = xmp_orientation(bytes(kXmp));
    return told == 0 ? 1 : told;
  }
  const auto told = value(kOrientation, 0, 1);
  return told >= 1 && told <= 8 ? static_cast<int>(told) : 1;
}

int xmp_orientation(std::span<const std::uint8_t> packet) {
  // As an attribute, tiff:Orientation="6", or as an element, <tiff:Orientation>6<.
  constexpr std::string_view kName = "tiff:Orientation";
  const std::string_view text(reinterpret_cast<const char*>(packet.data()), packet.size());
  for (auto at = text.find(kName); at != std::string_view::npos; at = text.find(kName, at + 1)) {
    auto rest = text.substr(at + kName.size());
    if (rest.starts_with("=\""))
      rest.remove_prefix(2);
    else if (rest.starts_with('>'))
      rest.remove_prefix(1);
    else
      continue;
    if (!rest.empty() && rest[0] >= '0' && rest[0] <= '9') return rest[0] >= '1' && rest[0] <= '8' ? rest[0] - '0' : 1;
  }
  return 0;
}

}  // namespace d2deploy::cli
