#include "kernels/simt/first_row.h"
#include "operators/bbox_transform/bbox_transform.h"
#include "operators/bbox_transform/transform.h"
#include "operators/device_call.h"

namespace d2deploy {

namespace {

using namespace simt;
using Params = BBoxTransform::Params;

enum Fault : std::int32_t { none, bad_scale, bad_image };

struct Job {
  TransformRule rule;
  bool rotated;
  const float *rois, *deltas, *im_info;
  DeviceRows rows;
  std::int64_t columns, box, classes, images;
  float *boxes, *splits;
  DeviceFault* fault;

  SIMT_DEVICE float stored_image(std::int64_t row) const { return columns == box ? 0.0F : rois[row * columns]; }
  SIMT_DEVICE float scale(std::int64_t image) const { return im_info[image * 3 + 2]; }
};

// The first fault, of an image or else of a row, and how many rows are of which image. One block.
SIMT_KERNEL check_and_count(Job job) {
  const std::int64_t rows = job.rows.count();
  const auto has_image = [&](std::int64_t row) { return is_image_index(job.stored_image(row), job.images); };
  const std::int64_t image = first_row(job.images, [&](std::int64_t i) { return !(job.scale(i) > 0); });
  const std::int64_t row = first_row(rows, [&](std::int64_t i) { return !has_image(i); });
  if (threadIdx.x == 0 && image >= 0) *job.fault = {bad_scale, image, job.scale(image)};
  if (threadIdx.x == 0 && image < 0 && row >= 0) *job.fault = {bad_image, row, job.stored_image(row)};
  if (job.splits == nullptr) return;
  for (std::int64_t i = threadIdx.x; i < job.images; i += blockDim.x) job.splits[i] = 0;
  __syncthreads();
  for (std::int64_t i = threadIdx.x; i < rows; i += blockDim.x)
    if (has_image(i)) atomicAdd(&job.splits[static_cast<std::int64_t>(job.stored_image(i))], 1.0F);
}

// A thread takes the box of one class.
SIMT_KERNEL transform(Job job) {
  const std::int64_t count = job.rows.count() * job.classes;
  for (std::int64_t i = first_item(); i < count; i += item_step()) {
    const std::int64_t row = i / job.classes;
    const float image = job.stored_image(row);
    if (!is_image_index(image, job.images)) continue;  // a fault
    const auto frame = TransformFrame::of(job.im_info + static_cast<std::int64_t>(image) * 3);
    const float* roi = job.rois + (row + 1) * job.columns - job.box;
    const float* deltas = job.deltas + i * job.box;
    float* out = job.boxes + i * job.box;
    if (job.rotated)
      transform_rotated(job.rule, frame, roi, deltas, out);
    else
      transform_upright(job.rule, frame, roi, deltas, out);
  }
}

void run(const Params& p, const Call& call) {
  const Job job{TransformRule::of(p),
                p.rotated,
                device_in<float>(call, 0),
                device_in<float>(call, 1),
                device_in<float>(call, 2),
                rows_of_input(call, 0),
                call.input(0).dim(1),
                p.columns(),
                call.input(1).dim(1) / p.columns(),
                call.input(2).dim(0),
                device_out<float>(call, 0),
                device_out<float>(call, 1),
                call.fault};
  constexpr unsigned kThreads = 256;
  launch("BBoxTransform: check_and_count", check_and_count, {1, kThreads, 0, stream_of(call)}, job);
  launch("BBoxTransform", transform, {blocks_for(job.rows.most * job.classes, kThreads), kThreads, 0, stream_of(call)},
         job);
}

void report(const Params&, const CallSite& site, const DeviceFault& fault) {
  const auto found = static_cast<float>(fault.found);
  if (fault.code == bad_scale) check_scale(fault.row, found);
  (void)image_index(BBoxTransform::signature.type, fault.row, found, site.inputs[2].shape[0]);
}

}  // namespace

template <>
Kernels<BBoxTransform> kernels<BBoxTransform, Backend::cuda>() {
  return {{"loop_f32", accepts_all<BBoxTransform>, run, nullptr, nullptr, DType::float32, report}};
}

}  // namespace d2deploy
