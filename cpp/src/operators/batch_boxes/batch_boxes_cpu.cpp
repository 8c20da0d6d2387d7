#include "operators/batch_boxes/batch_boxes.h"

#include "kernels/batch_splits.h"
#include "kernels/boxes.h"

namespace d2deploy {

namespace {

void run(const NoParams&, const Call& call) {
  const std::int64_t rows = call.input(0).dim(0);
  const float* boxes = call.in<float>(0);
  const auto splits = call.input(1).values<float>();
  check_splits("BatchBoxes", splits, rows);
  float* rois = call.out<float>(0);
  for (std::size_t image = 0; image < splits.size(); ++image)
    for (auto left = static_cast<std::int64_t>(splits[image]); left > 0; --left, boxes += 4, rois += 5) {
      rois[0] = static_cast<float>(image);
      store_box(load_box(boxes), rois + 1);
    }
}

}  // namespace

template <>
Kernels<BatchBoxes> kernels<BatchBoxes, Backend::cpu>() {
  return {{"loop_f32", accepts_all<BatchBoxes>, run}};
}

}  // namespace d2deploy
