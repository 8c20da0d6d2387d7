#include "kernels/rotated_roi.h"
#include "kernels/simt/first_row.h"
#include "operators/device_call.h"
#include "operators/roi_align_rotated/roi_align_rotated.h"

namespace d2deploy {

namespace {

using namespace simt;

constexpr unsigned kThreads = 256;

struct Job {
  const float* x;
  std::int64_t images, channels, height, width;
  Strides4 x_strides;
  RoiGrid grid;
  float scale;
  const float* rois;
  DeviceRows rows;
  std::int64_t columns;  // of a row of rois
  float* y;
  Strides4 y_strides;
  DeviceFault* fault;

  SIMT_DEVICE float stored_image(std::int64_t row) const { return columns == 6 ? rois[row * columns] : 0.0F; }
};

// The first row whose image index is out of range, with the index. For all threads of one block.
SIMT_DEVICE void find_fault(const Job& job) {
  const std::int64_t row =
      first_row(job.rows.count(), [&](std::int64_t i) { return !is_image_index(job.stored_image(i), job.images); });
  if (row >= 0 && threadIdx.x == 0) *job.fault = {1, row, job.stored_image(row)};
}

// A block takes one bin after the other, its threads the channels.
SIMT_KERNEL pool(Job job) {
  if (blockIdx.x == 0) find_fault(job);
  const std::int64_t bins = job.grid.pooled_h * job.grid.pooled_w, all = job.rows.count() * bins;
  for (std::int64_t bin = blockIdx.x; bin < all; bin += gridDim.x) {
    const std::int64_t row = bin / bins, ph = bin % bins / job.grid.pooled_w, pw = bin % job.grid.pooled_w;
    const float image = job.stored_image(row);
    if (!is_image_index(image, job.images)) continue;  // a fault
    const RotatedBox box = load_rotated_box(job.rois + (row + 1) * job.columns - 5);
    const RotatedRoi roi = RotatedRoi::of(job.grid, box, job.scale);
    const float samples = roi.samples();
    const Strides4 &s = job.x_strides, &t = job.y_strides;
    for (std::int64_t c = threadIdx.x; c < job.channels; c += blockDim.x) {
      const float* x = job.x + static_cast<std::int64_t>(image) * s.n + c * s.c;
      float sum = 0;
      const auto add = [&](const Sample& v, const Sample& h) {
        const float *low = x + v.low * s.h, *high = x + v.high * s.h;
        sum += (1 - v.fraction) * (1 - h.fraction) * low[h.low * s.w] +
               (1 - v.fraction) * h.fraction * low[h.high * s.w] + v.fraction * (1 - h.fraction) * high[h.low * s.w] +
               v.fraction * h.fraction * high[h.high * s.w];
      };
      if (samples > 0) roi.for_each_sample(job.height, job.width, ph, pw, add);
      job.y[row * t.n + c * t.c + ph * t.h + pw * t.w] = samples > 0 ? sum / samples : 0.0F;
    }
  }
}

void run(const RoIAlignRotated::Params& p, const Call& call) {
  const Tensor &x = call.input(0), &rois = call.input(1);
  if (call.output(0).size() == 0) return;
  const Job job{device_in<float>(call, 0),
                x.dim(0),
                x.dim(1),
                x.dim(2),
                x.dim(3),
                strides4(x.type()),
                p.grid(),
                p.spatial_scale,
                device_in<float>(call, 1),
                rows_of_input(call, 1),
                rois.dim(1),
                device_out<float>(call, 0),
                strides4(call.output(0).type()),
                call.fault};
  const auto threads = static_cast<unsigned>(std::min<std::int64_t>((x.dim(1) + kWarp - 1) / kWarp * kWarp, kThreads));
  const unsigned blocks = blocks_for(rois.dim(0) * p.pooled_h * p.pooled_w, 1);
  launch("RoIAlignRotated", pool, {blocks, threads, 0, stream_of(call)}, job);
}

void report(const RoIAlignRotated::Params&, const CallSite& site, const DeviceFault& fault) {
  (void)image_index(RoIAlignRotated::signature.type, fault.row, static_cast<float>(fault.found),
                    site.inputs[0].shape[0]);
}

}  // namespace

template <>
Kernels<RoIAlignRotated> kernels<RoIAlignRotated, Backend::cuda>() {
  return {{"direct_f32", accepts_all<RoIAlignRotated>, run, nullptr, nullptr, DType::float32, report}};
}

}  // namespace d2deploy
