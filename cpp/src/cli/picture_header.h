// What a picture's file says about itself where OpenCV does not tell it, or reads it in another way than Pillow.
#pragma once
#include <cstdint>
#include <span>
#include <string>

namespace d2deploy::cli {

struct PictureHeader {
  std::int64_t width = 0, height = 0;  ///< 0: not known before it is decoded
  int orientation = 1;                 ///< EXIF's, 1 to 8; what is none of them counts as 1, upright
  std::int64_t maximum = 0;            ///< Netpbm: the value that is white, where OpenCV does not scale by it
  std::int64_t white = 255;            ///< what such a value becomes: 255, or 65535 before the low byte goes
  bool premultiplied = false;          ///< four channels, the colors multiplied with the alpha
  bool decoder_scales = false;         ///< more than 8 bits are for the decoder to reduce, as it alone knows how many
  bool jpeg = false;                   ///< OpenCV says that such a file ends too early only where it opens it itself
  std::string refused;                 ///< why it is not taken; empty: it may be
};

/// Of the bytes of a file, whatever they are. In a TIFF file it also takes back what makes OpenCV change pixels, the
/// orientation and the alpha: both are the reader's to handle.
PictureHeader read_header(std::span<std::uint8_t> file);

}  // namespace d2deploy::cli
