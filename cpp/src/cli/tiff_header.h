// The first directory of a TIFF file, of which EXIF is one.
#pragma once
#include <cstdint>
#include <map>
#include <span>

namespace d2deploy::cli {

/// Numbers of a file at places that it names itself: what lies outside of it reads as 0.
class FileNumbers {
 public:
  FileNumbers(std::span<const std::uint8_t> file, bool big_endian) : file_(file), big_endian_(big_endian) {}

  /// Of `bytes` bytes, 1 to 8.
  std::uint64_t at(std::uint64_t place, int bytes) const {
    if (place > file_.size() || file_.size() - place < static_cast<std::uint64_t>(bytes)) return 0;
    std::uint64_t value = 0;
    for (int i = 0; i < bytes; ++i)
      value |= std::uint64_t{file_[place + static_cast<std::uint64_t>(i)]} << 8 * (big_endian_ ? bytes - 1 - i : i);
    return value;
  }
  bool big_endian() const { return big_endian_; }

 private:
  std::span<const std::uint8_t> file_;
  bool big_endian_;
};

enum TiffTag : std::uint16_t {
  kImageWidth = 256,
  kImageLength = 257,
  kBitsPerSample = 258,
  kPhotometric = 262,
  kOrientation = 274,
  kSamplesPerPixel = 277,
  kExtraSamples = 338,
  kSampleFormat = 339,
  kXmp = 700,
};

class TiffHeader {
 public:
  /// Of any bytes; where they are no TIFF file, there are no tags.
  explicit TiffHeader(std::span<const std::uint8_t> file);

  bool has(TiffTag tag) const { return fields_.contains(tag); }
  std::uint64_t count(TiffTag tag) const;
  /// The tag's value of that index; `otherwise` where it has none, or none that is an integer.
  std::uint64_t value(TiffTag tag, std::uint64_t index, std::uint64_t otherwise) const;
  std::span<const std::uint8_t> bytes(TiffTag tag) const;
  /// Overwrites the first value in `file`, which are the bytes that this was made of.
  void set(TiffTag tag, std::uint8_t value, std::span<std::uint8_t> file) const;
  /// 1 to 8; EXIF's, else XMP's.
  int orientation() const;

 private:
  struct Field {
    int bytes;  // of a value; 0: not an integer
    std::uint64_t count, place;
  };
  std::span<const std::uint8_t> file_;
  bool big_endian_ = false;
  std::map<std::uint16_t, Field> fields_;
};

/// The orientation that an XMP packet tells, 0 where it tells none.
int xmp_orientation(std::span<const std::uint8_t> packet);

}  // namespace d2deploy::cli
