#include "operators/bbox_transform/bbox_transform.h"

#include "core/threads.h"
#include "operators/bbox_transform/transform.h"

namespace d2deploy {

namespace {

using Params = BBoxTransform::Params;

std::int64_t image_of(const Params& p, const Call& call, std::int64_t row) {
  const std::int64_t columns = call.input(0).dim(1);
  if (columns == p.columns()) return 0;
  return image_index("BBoxTransform", row, call.in<float>(0)[row * columns], call.input(2).dim(0));
}

void transform_row(const Params& p, const TransformRule& rule, const Call& call, std::int64_t row) {
  const std::int64_t columns = call.input(0).dim(1), values = call.input(1).dim(1), box = p.columns();
  const float* info = call.in<float>(2) + image_of(p, call, row) * 3;
  const auto frame = TransformFrame::of(info);
  const float* roi = call.in<float>(0) + (row + 1) * columns - box;
  const float* deltas = call.in<float>(1) + row * values;
  float* out = call.out<float>(0) + row * values;
  const auto transform = p.rotated ? transform_rotated : transform_upright;
  for (std::int64_t c = 0; c < values; c += box) transform(rule, frame, roi, deltas + c, out + c);
}

void run(const Params& p, const Call& call) {
  const std::int64_t rows = call.input(0).dim(0), images = call.input(2).dim(0);
  for (std::int64_t image = 0; image < images; ++image) check_scale(image, call.in<float>(2)[image * 3 + 2]);
  const auto rule = TransformRule::of(p);
  parallel_for(rows, 32, [&](std::int64_t begin, std::int64_t end) {
    for (std::int64_t row = begin; row < end; ++row) transform_row(p, rule, call, row);
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
