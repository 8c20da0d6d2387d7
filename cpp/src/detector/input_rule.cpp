#include "detector/input_rule.h"

#include <algorithm>
#include <cmath>
#include <cstring>

#include "core/check.h"
#include "core/memory.h"
#include "core/threads.h"
#include "detector/resize.h"
#include "runtime/arguments.h"

namespace d2deploy {

namespace {

constexpr std::int64_t kMostChannels = 1024;

ChannelOrder order_of(const std::string& format) {
  if (format == "BGR") return ChannelOrder::bgr;
  if (format == "RGB") return ChannelOrder::rgb;
  if (format == "L") return ChannelOrder::gray;
  fail<Unsupported>("input_format is '", format, "', available: BGR, RGB, L; give the order in the options");
}

bool is_colour(ChannelOrder order) { return order == ChannelOrder::bgr || order == ChannelOrder::rgb; }

std::int64_t size_argument(const ModelInfo& info, const char* name, std::optional<std::int64_t> given,
                           std::int64_t otherwise, std::int64_t least, std::int64_t most = 1 << 24) {
  const std::int64_t size = given ? *given : argument(info.arguments, name, otherwise);
  const auto in_range = size >= least && size <= most;
  if (given) check(in_range, name, " is ", size, ", wanted ", least, " to ", most);
  check<InvalidModel>(in_range, "net argument ", name, " is ", size, ", wanted ", least, " to ", most);
  return size;
}

// Luminance as Pillow's mode L has it: ITU-R 601-2 in 16 bits.
std::vector<std::uint8_t> luminance(const ImageView& image) {
  const std::int64_t red = image.order == ChannelOrder::rgb ? 0 : 2, blue = 2 - red;
  check_available(static_cast<std::size_t>(image.height * image.width));
  std::vector<std::uint8_t> gray(image.height * image.width);
  parallel_for(image.height, 16, [&](std::int64_t begin, std::int64_t end) {
    for (std::int64_t y = begin; y < end; ++y) {
      const std::uint8_t* p = image.data + y * image.row_bytes;
      for (std::int64_t x = 0; x < image.width; ++x, p += 3)
        gray[y * image.width + x] =
            static_cast<std::uint8_t>((p[red] * 19595U + p[1] * 38470U + p[blue] * 7471U + 0x8000U) >> 16);
    }
  });
  return gray;
}

std::int64_t channels_of(ChannelOrder order, std::int64_t otherwise) {
  return order == ChannelOrder::gray ? 1 : is_colour(order) ? 3 : otherwise;
}

FedImage allocate_fed(const InputRule& rule, Size size, Size wanted, bool caffe2_scale) {
  const Size room = padded(size, rule);
  return {Tensor::allocate({DType::float32, {1, rule.channels, room.height, room.width}}),
          im_info_of(size, wanted, caffe2_scale), size};
}

template <class T>
void fill_planes(const T* image, Size size, const InputRule& rule, Tensor& data) {
  const std::int64_t height = data.dim(2), width = data.dim(3);
  parallel_for(rule.channels * height, 16, [&](std::int64_t begin, std::int64_t end) {
    for (std::int64_t i = begin; i < end; ++i) {
      const std::int64_t c = i / height, y = i % height, n = y < size.height ? size.width : 0;
      const T* row = image + (c * size.height + (n > 0 ? y : 0)) * size.width;
      float* out = data.data<float>() + i * width;
      for (std::int64_t x = 0; x < n; ++x) out[x] = static_cast<float>(row[x]);
      std::fill(out + n, out + width, rule.pixel_mean[static_cast<std::size_t>(c)]);
    }
  });
}

}  // namespace

Size padded(Size size, const InputRule& rule) {
  const std::int64_t square = rule.square_size, unit = std::max<std::int64_t>(rule.size_divisibility, 1);
  check(square == 0 || std::max(size.height, size.width) <= square, "the image is ", size.height, " x ", size.width,
        " pixels large on its way into the net, which takes at most ", square, " x ", square,
        " (its square_size); make it smaller, or let it be resized to a max_size of ", square, " or less");
  const auto up = [&](std::int64_t n) { return ((square > 0 ? square : n) + unit - 1) / unit * unit; };
  return {up(size.height), up(size.width)};
}

void check_image(const ImageView& image, const InputRule& rule) {
  check(image.data != nullptr && image.height > 0 && image.width > 0 && image.channels > 0,
        "the image is empty: ", image.height, " x ", image.width, " pixels of ", image.channels, " channels");
  check(image.channels == channels_of(image.order, image.channels), "the image has ", image.channels,
        " channels, its order says ", channels_of(image.order, image.channels), "; that of other channels is 'as is'");
  check(image.row_bytes / image.channels >= image.width, "row_bytes of the image is ", image.row_bytes,
        ", wanted at least ", image.channels, " * ", image.width);
  const bool converts = image.order != ChannelOrder::as_is && rule.order != ChannelOrder::as_is;
  check(converts || image.channels == rule.channels, "the image has ", image.channels, " channels, the model takes ",
        rule.channels, rule.order == ChannelOrder::as_is ? ", whose order is 'as is'" : "");
}

std::vector<PlaneSource> planes_of(const ImageView& image, const InputRule& rule) {
  std::vector<PlaneSource> planes;
  for (std::int64_t c = 0; c < rule.channels; ++c) {
    std::int64_t from = c;
    if (image.channels == 1)
      from = 0;
    else if (is_colour(image.order) && is_colour(rule.order) && image.order != rule.order)
      from = 2 - c;
    planes.push_back({from, rule.pixel_mean[static_cast<std::size_t>(c)]});
  }
  return planes;
}

SourceImage::SourceImage(const ImageView& image, const InputRule& rule) : view(image) {
  if (!is_colour(image.order) || rule.order != ChannelOrder::gray) return;
  gray = luminance(image);
  view = {gray.data(), image.height, image.width, image.width, 1, ChannelOrder::gray};
}

InputRule input_rule_of(const ModelInfo& info, const DetectorOptions& options) {
  InputRule rule;
  rule.pixel_mean = info.pixel_mean;
  for (const float mean : rule.pixel_mean)
    check<InvalidModel>(std::isfinite(mean), "pixel_mean has a value that is not finite");
  rule.channels = rule.pixel_mean.empty() ? 3 : static_cast<std::int64_t>(rule.pixel_mean.size());
  check<InvalidModel>(rule.channels <= kMostChannels, "pixel_mean has ", rule.channels, " values, wanted at most ",
                      kMostChannels);
  const ChannelOrder usual = rule.channels == 3   ? ChannelOrder::bgr
                             : rule.channels == 1 ? ChannelOrder::gray
                                                  : ChannelOrder::as_is;
  if (options.order) {
    rule.order = *options.order;
  } else {
    const auto format = argument(info.arguments, "input_format", std::string());
    rule.order = format.empty() || usual == ChannelOrder::as_is ? usual : order_of(format);
  }
  check<InvalidModel>(channels_of(rule.order, rule.channels) == rule.channels, "the model's input has ",
                      channels_of(rule.order, rule.channels), " channels by its input_format, ", rule.channels,
                      " by its pixel_mean");
  rule.pixel_mean.resize(static_cast<std::size_t>(rule.channels), 0.0F);
  if (options.pad_with_zero) std::ranges::fill(rule.pixel_mean, 0.0F);
  rule.min_size = size_argument(info, "min_size_test", options.min_size, rule.min_size, 0);
  rule.max_size = size_argument(info, "max_size_test", options.max_size, rule.max_size, 1);
  rule.size_divisibility = info.size_divisibility;
  rule.square_size = size_argument(info, "square_size", std::nullopt, rule.square_size, 0, kMostSquare);
  return rule;
}

InputRule input_rule(const Model& model) {
  return guarded([&] { return input_rule_of(model.info(), {}); });
}

Size fed_size(const ImageView& image, const InputRule& rule) {
  check_image(image, rule);
  return shortest_edge(image.height, image.width, rule.min_size, rule.max_size);
}

Tensor im_info_of(Size size, Size wanted, bool caffe2_scale) {
  const float scale =
      caffe2_scale ? static_cast<float>(static_cast<double>(wanted.height) / static_cast<double>(size.height)) : 1.0F;
  return Tensor::of<float>({1, 3}, {static_cast<float>(size.height), static_cast<float>(size.width), scale});
}

FedImage feed(const ImageView& image, const InputRule& rule, bool caffe2_scale) {
  const Size size = fed_size(image, rule);
  const SourceImage source(image, rule);
  FedImage fed = allocate_fed(rule, size, {image.height, image.width}, caffe2_scale);
  resize_into_planes(source.view, size, planes_of(source.view, rule), {fed.data.dim(2), fed.data.dim(3)},
                     fed.data.data<float>());
  return fed;
}

FedImage feed_resized(const Tensor& image, Size wanted, const InputRule& rule, bool caffe2_scale) {
  const bool right = image.shape().rank() == 3 && image.dim(0) == rule.channels && image.size() > 0 &&
                     image.layout() == Layout::row_major &&
                     (image.dtype() == DType::float32 || image.dtype() == DType::uint8);
  check(right, "the image must be (", rule.channels, ", H, W) float32 or uint8, got ", image.shape(), ' ',
        image.dtype());
  constexpr std::int64_t kMostSide = 1 << 24;
  check(wanted.height > 0 && wanted.width > 0 && wanted.height <= kMostSide && wanted.width <= kMostSide,
        "predictions are wanted for ", wanted.height, " x ", wanted.width, " pixels, a side must be 1 to ", kMostSide);
  const Size size{image.dim(1), image.dim(2)};
  FedImage fed = allocate_fed(rule, size, wanted, caffe2_scale);
  if (image.dtype() == DType::uint8)
    fill_planes(image.data<std::uint8_t>(), size, rule, fed.data);
  else
    fill_planes(image.data<float>(), size, rule, fed.data);
  return fed;
}

}  // namespace d2deploy
