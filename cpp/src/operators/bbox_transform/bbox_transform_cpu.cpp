#include "operators/bbox_transform/bbox_transform.h"

#include <cmath>

#include "core/threads.h"

namespace d2deploy {

namespace {

using Params = BBoxTransform::Params;

// The size of the original image, in whole pixels. Rounded in double, as Caffe2 does.
float original_size(float size, float scale) {
  return static_cast<float>(std::trunc(static_cast<double>(size / scale) + 0.5));
}

std::int64_t image_of(const Params& p, const Call& call, std::int64_t row) {
  const std::int64_t columns = call.input(0).dim(1);
  if (columns == p.columns()) return 0;
  return image_index("BBoxTransform", row, call.in<float>(0)[row * columns], call.input(2).dim(0));
}

// What all boxes of an image share.
struct Frame {
  float width, height, scale;  // of the original image, in whole pixels; of the input to it
  float plus_one;
  DeltaWeights weights;
};

void transform_upright(const Params& p, const Frame& frame, const float* roi, const float* deltas, float* out) {
  const Box box = load_box(roi);
  const Box original{box.x1 / frame.scale, box.y1 / frame.scale, box.x2 / frame.scale, box.y2 / frame.scale};
  const Box b =
      clip_box(decode_box(original, deltas, frame.weights, frame.plus_one), frame.width, frame.height, frame.plus_one);
  const float factor = p.apply_scale ? frame.scale : 1.0F;
  store_box({b.x1 * factor, b.y1 * factor, b.x2 * factor, b.y2 * factor}, out);
}

void transform_rotated(const Params& p, const Frame& frame, const float* roi, const float* deltas, float* out) {
  const AngleBounds bounds = angle_bounds("BBoxTransform", p.angle_bound_on, p.angle_bound_lo, p.angle_bound_hi);
  const RotatedBox box = load_rotated_box(roi);
  const RotatedBox original{box.x / frame.scale, box.y / frame.scale, box.w / frame.scale, box.h / frame.scale,
                            box.angle};
  const RotatedBox b = clip_rotated_box(decode_rotated_box(original, deltas, frame.weights, bounds), frame.width,
                                        frame.height, p.clip_angle_thresh, frame.plus_one);
  const float factor = p.apply_scale ? frame.scale : 1.0F;
  store_rotated_box({b.x * factor, b.y * factor, b.w * factor, b.h * factor, b.angle}, out);
}

void transform_row(const Params& p, const Call& call, std::int64_t row) {
  const std::int64_t columns = call.input(0).dim(1), values = call.input(1).dim(1), box = p.columns();
  const float* info = call.in<float>(2) + image_of(p, call, row) * 3;
  const Frame frame{original_size(info[1], info[2]),
                    original_size(info[0], info[2]),
                    info[2],
                    p.legacy_plus_one ? 1.0F : 0.0F,
                    {p.weights[0], p.weights[1], p.weights[2], p.weights[3]}};
  const float* roi = call.in<float>(0) + (row + 1) * columns - box;
  const float* deltas = call.in<float>(1) + row * values;
  float* out = call.out<float>(0) + row * values;
  const auto transform = p.rotated ? transform_rotated : transform_upright;
  for (std::int64_t c = 0; c < values; c += box) transform(p, frame, roi, deltas + c, out + c);
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
  for (std::int64_t row = 0; row < rows; ++row) splits[image_of(p, call, row)] += 1;
}

}  // namespace

template <>
Kernels<BBoxTransform> kernels<BBoxTransform, Backend::cpu>() {
  return {{"loop_f32", accepts_all<BBoxTransform>, run}};
}

}  // namespace d2deploy
