#include "operators/bbox_transform/bbox_transform.h"

#include <cmath>

#include "core/threads.h"
#include "kernels/boxes.h"

namespace d2deploy {

namespace {

using Params = BBoxTransform::Params;

Box scaled(const Box& b, float factor) { return {b.x1 * factor, b.y1 * factor, b.x2 * factor, b.y2 * factor}; }

// The size of the original image, in whole pixels. Rounded in double, as Caffe2 does.
float original_size(float size, float scale) {
  return static_cast<float>(std::trunc(static_cast<double>(size / scale) + 0.5));
}

std::int64_t image_of(const Call& call, std::int64_t row) {
  const std::int64_t columns = call.input(0).dim(1);
  if (columns == 4) return 0;
  return image_index("BBoxTransform", row, call.in<float>(0)[row * columns], call.input(2).dim(0));
}

void transform_row(const Params& p, const Call& call, std::int64_t row) {
  const std::int64_t columns = call.input(0).dim(1), values = call.input(1).dim(1);
  const float* info = call.in<float>(2) + image_of(call, row) * 3;
  const float scale = info[2], plus_one = p.legacy_plus_one ? 1.0F : 0.0F;
  const float image_height = original_size(info[0], scale), image_width = original_size(info[1], scale);
  Box roi = load_box(call.in<float>(0) + (row + 1) * columns - 4);
  roi = {roi.x1 / scale, roi.y1 / scale, roi.x2 / scale, roi.y2 / scale};
  const DeltaWeights weights{p.weights[0], p.weights[1], p.weights[2], p.weights[3]};
  const float* deltas = call.in<float>(1) + row * values;
  float* out = call.out<float>(0) + row * values;
  for (std::int64_t c = 0; c < values; c += 4) {
    const Box box = clip_box(decode_box(roi, deltas + c, weights, plus_one), image_width, image_height, plus_one);
    store_box(p.apply_scale ? scaled(box, scale) : box, out + c);
  }
}

void run(const Params& p, const Call& call) {
  const std::int64_t rows = call.input(0).dim(0), images = call.input(2).dim(0);
  for (std::int64_t image = 0; image < images; ++image) {
    const float scale = call.in<float>(2)[image * 3 + 2];
    check(scale > 0, "BBoxTransform: the scale of image ", image, " in im_info is ", scale, ", must be positive");
  }
  parallel_for(rows, 32, [&](std::int64_t begin, std::int64_t end) {
    for (std::int64_t row = begin; row < end; ++row) transform_row(p, call, row);
  });
  if (!call.has_output(1)) return;
  float* splits = call.out<float>(1);
  std::fill_n(splits, images, 0.0F);
  for (std::int64_t row = 0; row < rows; ++row) splits[image_of(call, row)] += 1;
}

}  // namespace

template <>
std::vector<KernelOf<BBoxTransform>> kernels<BBoxTransform, Backend::cpu>() {
  return {{"loop_f32", accepts_all<BBoxTransform>, run}};
}

}  // namespace d2deploy
