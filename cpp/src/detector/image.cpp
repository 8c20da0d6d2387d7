// From 8-bit images to the inputs of a detection net.
#include <algorithm>

#include "core/check.h"
#include "core/threads.h"
#include "d2deploy/detector.h"
#include "detector/input_rule.h"

namespace d2deploy {

namespace {

// Real models pad to 32, 64 or 128. The bound keeps a damaged file from asking for memory without limit.
constexpr std::int64_t kMaxDivisibility = 4096;
constexpr std::int64_t kMostSide = 1 << 24;  // the largest of pictures have a hundredth of it

void check_images(std::span<const ImageView> images, const InputRule& rule) {
  check(!images.empty(), "to_net_inputs: got no image, wanted at least one");
  for (std::size_t i = 0; i < images.size(); ++i) {
    const ImageView& image = images[i];
    check(image.data != nullptr && image.height > 0 && image.width > 0, "to_net_inputs: image ", i,
          " is empty: ", image.height, " x ", image.width, " pixels");
    check(image.height <= kMostSide && image.width <= kMostSide, "to_net_inputs: image ", i, " is ", image.height,
          " x ", image.width, " pixels large, wanted at most ", kMostSide, " on a side");
    check(image.channels > 0 && image.row_bytes / image.channels >= image.width, "to_net_inputs: image ", i,
          ": row_bytes is ", image.row_bytes, ", wanted at least ", image.channels, " * ", image.width);
    check_image(image, rule);
  }
}

// Splits one row of interleaved pixels over the planes, and fills it up to `padded_width`.
void split_row(const std::uint8_t* pixels, std::int64_t width, std::int64_t channels, std::int64_t padded_width,
               std::span<const PlaneSource> planes, std::int64_t plane_size, float* row) {
  for (const PlaneSource& plane : planes) {
    for (std::int64_t x = 0; x < width; ++x) row[x] = pixels[x * channels + plane.channel];
    std::fill(row + width, row + padded_width, plane.padding);
    row += plane_size;
  }
}

NetInputs pad_and_split(std::span<const ImageView> images, const InputRule& rule) {
  std::vector<SourceImage> sources;
  std::vector<std::vector<PlaneSource>> planes;
  sources.reserve(images.size());
  for (const ImageView& image : images) {
    const ImageView& view = sources.emplace_back(image, rule).view;
    planes.push_back(planes_of(view, rule));
  }
  const Size room = padded(
      {std::ranges::max(images, {}, &ImageView::height).height, std::ranges::max(images, {}, &ImageView::width).width},
      rule);
  const std::int64_t height = room.height, width = room.width;
  const auto count = static_cast<std::int64_t>(images.size());
  const std::int64_t plane = height * width;

  NetInputs inputs{Tensor::allocate({DType::float32, {count, rule.channels, height, width}}),
                   Tensor::allocate({DType::float32, {count, 3}})};
  float* data = inputs.data.data<float>();
  constexpr std::int64_t kRowsPerPart = 16;
  parallel_for(count * height, kRowsPerPart, [&](std::int64_t begin, std::int64_t end) {
    for (std::int64_t i = begin; i < end; ++i) {
      const std::int64_t n = i / height, y = i % height;
      const ImageView& image = sources[static_cast<std::size_t>(n)].view;
      const bool inside = y < image.height;
      split_row(inside ? image.data + y * image.row_bytes : nullptr, inside ? image.width : 0, image.channels, width,
                planes[static_cast<std::size_t>(n)], plane, data + n * rule.channels * plane + y * width);
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

NetInputs to_net_inputs(std::span<const ImageView> images, const InputRule& rule) {
  check(rule.size_divisibility >= 0 && rule.size_divisibility <= kMaxDivisibility,
        "to_net_inputs: size_divisibility must be from 0 to ", kMaxDivisibility, ", got ", rule.size_divisibility);
  check(rule.square_size >= 0 && rule.square_size <= kMostSquare, "to_net_inputs: square_size must be from 0 to ",
        kMostSquare, ", got ", rule.square_size);
  check(rule.channels > 0, "to_net_inputs: the rule must have channels, got ", rule.channels);
  const auto means = static_cast<std::int64_t>(rule.pixel_mean.size());
  check(means == 0 || means == rule.channels, "to_net_inputs: pixel_mean has ", means,
        " values, wanted one for each of ", rule.channels, " channels");
  return guarded([&] {
    check_images(images, rule);
    InputRule padded = rule;
    padded.pixel_mean.resize(static_cast<std::size_t>(rule.channels), 0.0F);
    const ThreadScope threads(available_threads());
    return pad_and_split(images, padded);
  });
}

NetInputs to_net_inputs(std::span<const ImageView> images, std::int64_t size_divisibility) {
  InputRule rule;
  rule.size_divisibility = size_divisibility;
  return to_net_inputs(images, rule);
}

}  // namespace d2deploy
