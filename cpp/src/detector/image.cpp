// From 8-bit images to the inputs of a detection net.
#include <algorithm>

#include "core/check.h"
#include "core/threads.h"
#include "d2deploy/detector.h"

namespace d2deploy {

namespace {

constexpr std::int64_t kChannels = 3;
// Real models pad to 32, 64 or 128. The bound keeps a damaged file from asking for memory without limit.
constexpr std::int64_t kMaxDivisibility = 4096;
constexpr std::int64_t kMostSide = 1 << 24;  // the largest of pictures have a hundredth of it

void check_images(std::span<const ImageView> images) {
  check(!images.empty(), "to_net_inputs: got no image, wanted at least one");
  for (std::size_t i = 0; i < images.size(); ++i) {
    const ImageView& image = images[i];
    check(image.data != nullptr && image.height > 0 && image.width > 0, "to_net_inputs: image ", i,
          " is empty: ", image.height, " x ", image.width, " pixels");
    check(image.height <= kMostSide && image.width <= kMostSide, "to_net_inputs: image ", i, " is ", image.height,
          " x ", image.width, " pixels large, wanted at most ", kMostSide, " on a side");
    check(image.row_bytes / kChannels >= image.width, "to_net_inputs: image ", i, ": row_bytes is ", image.row_bytes,
          ", wanted at least 3 * ", image.width);
  }
}

// Splits one row of interleaved pixels over the three planes, and fills it up with zeros to `padded_width`.
void split_row(const std::uint8_t* pixels, std::int64_t width, std::int64_t padded_width, std::int64_t plane,
               float* row) {
  for (std::int64_t c = 0; c < kChannels; ++c) {
    float* out = row + c * plane;
    for (std::int64_t x = 0; x < width; ++x) out[x] = pixels[x * kChannels + c];
    std::fill(out + width, out + padded_width, 0.0F);
  }
}

NetInputs pad_and_split(std::span<const ImageView> images, std::int64_t size_divisibility) {
  const std::int64_t unit = std::max<std::int64_t>(size_divisibility, 1);
  const auto padded = [&](std::int64_t size) { return (size + unit - 1) / unit * unit; };
  const std::int64_t height = padded(std::ranges::max(images, {}, &ImageView::height).height);
  const std::int64_t width = padded(std::ranges::max(images, {}, &ImageView::width).width);
  const auto count = static_cast<std::int64_t>(images.size());
  const std::int64_t plane = height * width;

  NetInputs inputs{Tensor::allocate({DType::float32, {count, kChannels, height, width}}),
                   Tensor::allocate({DType::float32, {count, 3}})};
  float* data = inputs.data.data<float>();
  constexpr std::int64_t kRowsPerPart = 16;
  parallel_for(count * height, kRowsPerPart, [&](std::int64_t begin, std::int64_t end) {
    for (std::int64_t i = begin; i < end; ++i) {
      const std::int64_t n = i / height, y = i % height;
      const ImageView& image = images[n];
      const bool inside = y < image.height;
      split_row(inside ? image.data + y * image.row_bytes : nullptr, inside ? image.width : 0, width, plane,
                data + n * kChannels * plane + y * width);
    }
  });
  float* info = inputs.im_info.data<float>();
  for (const ImageView& image : images) {
    *info++ = static_cast<float>(image.height);
    *info++ = static_cast<float>(image.width);
    *info++ = 1.0F;
  }
  return inputs;
}

}  // namespace

NetInputs to_net_inputs(std::span<const ImageView> images, std::int64_t size_divisibility) {
  check_images(images);
  check(size_divisibility >= 0 && size_divisibility <= kMaxDivisibility,
        "to_net_inputs: size_divisibility must be from 0 to ", kMaxDivisibility, ", got ", size_divisibility);
  return guarded([&] {
    const ThreadScope threads(available_threads());
    return pad_and_split(images, size_divisibility);
  });
}

}  // namespace d2deploy
