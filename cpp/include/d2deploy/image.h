// Images in memory, resized as Detectron2 does before prediction: by Pillow's bilinear filter, bit for bit.
#pragma once
#include <cstdint>

#pragma GCC visibility push(default)
namespace d2deploy {

/// Of an image, in pixels.
struct Size {
  std::int64_t height = 0, width = 0;

  friend bool operator==(const Size&, const Size&) = default;
};

enum class ChannelOrder : std::uint8_t {
  bgr,   ///< blue, green, red: OpenCV's
  rgb,   ///< red, green, blue
  gray,  ///< one channel of luminance
  as_is  ///< any number of channels, which mean what the model takes them for
};

/// Rows of interleaved 8-bit pixels in memory.
struct ImageView {
  const std::uint8_t* data = nullptr;
  std::int64_t height = 0, width = 0;
  std::int64_t row_bytes = 0;  ///< from a row to the next one
  std::int64_t channels = 3;
  ChannelOrder order = ChannelOrder::bgr;
};

/// The size that an image is resized to: the shorter side `min_size`, or less where the longer one would exceed
/// `max_size`. `min_size` 0 keeps the size.
/// *Law*: no side is longer than max_size; the shorter is at most min_size.
/// Throws InvalidArgument: a side or `max_size` below 1, `min_size` below 0, one of them above 2^24, or an image so
/// long
///   that a side would have no pixel.
/// *Source*: Detectron2, `ResizeShortestEdge.get_output_shape`.
Size shortest_edge(std::int64_t height, std::int64_t width, std::int64_t min_size, std::int64_t max_size);

/// Resizes each channel by itself.
/// Args: `out` rows of size.width * image.channels bytes, `out_row_bytes` apart, which are no part of the image;
///   `threads` 0: as many as the process may use.
/// *Law*: a result of another number of threads has the same bits; one of the same size is the image.
/// Throws InvalidArgument: no pixels, a side above 2^24, rows that overlap; DeviceError: the memory does not suffice.
/// *Source*: Pillow, `Image.resize(size, Image.Resampling.BILINEAR)` of 8-bit images, each channel as an image of mode
/// L.
void resize(const ImageView& image, Size size, std::uint8_t* out, std::int64_t out_row_bytes, int threads = 0);

/// To be called before memory for the result is asked for: throws what `resize` would because of these arguments, and
/// DeviceError where a result of this size does not fit into the memory that is left.
void check_resize(const ImageView& image, Size size);

}  // namespace d2deploy
#pragma GCC visibility pop
