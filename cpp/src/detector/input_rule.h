// What a model's file says about images, and images brought to it.
#pragma once
#include "detector/detections.h"
#include "detector/resize.h"

namespace d2deploy {

/// Throws InvalidModel where the file's arguments cannot be, Unsupported where its `input_format` is unknown.
InputRule input_rule_of(const ModelInfo& info, const DetectorOptions& options);

constexpr std::int64_t kMostSquare = 8192;  // known models have 1024 to 1536; a damaged file must not ask for gigabytes

/// What an image of this size is padded to. Throws InvalidArgument where it is larger than the square.
Size padded(Size size, const InputRule& rule);

/// Throws InvalidArgument where the image is empty, or its channels do not suit the model.
void check_image(const ImageView& image, const InputRule& rule);

/// An image, or its luminance where the model is gray and it is not; the memory of that.
struct SourceImage {
  SourceImage(const ImageView& image, const InputRule& rule);
  SourceImage(SourceImage&&) = default;  // no copies: the view is of this one's memory
  SourceImage& operator=(SourceImage&&) = default;

  std::vector<std::uint8_t> gray;
  ImageView view;
};

/// Which channel of the image each plane takes, and what it is padded with.
std::vector<PlaneSource> planes_of(const ImageView& image, const InputRule& rule);

/// The size that an image is given before the net. Throws as check_image.
Size fed_size(const ImageView& image, const InputRule& rule);
/// What a net is told of an image of this size, (1, 3), which predictions of the size `wanted` are made for.
Tensor im_info_of(Size size, Size wanted, bool caffe2_scale);

/// The net's inputs for one image, and the size that it has in them without padding.
struct FedImage {
  Tensor data, im_info;
  Size size;
};

/// Of an image of any size. Throws InvalidArgument where it is empty or its channels do not suit the model.
FedImage feed(const ImageView& image, const InputRule& rule, bool caffe2_scale);
/// Of one (C, H, W) that is resized already. Throws InvalidArgument where it is not that.
FedImage feed_resized(const Tensor& image, Size wanted, const InputRule& rule, bool caffe2_scale);

}  // namespace d2deploy
