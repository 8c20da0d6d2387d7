#include "kernels/bilinear.h"
#include "kernels/boxes.h"
#include "operators/device_call.h"
#include "operators/roi_align/pooling.h"

namespace d2deploy {

namespace {

using namespace simt;

constexpr unsigned kThreads = 256;

struct Job {
  FeatureMap<float> map;
  RoiGrid grid;
  const float* rois;
  DeviceRows rows;
  std::int64_t columns;  // of a row of rois
  float* y;
  Strides4 y_strides;

  SIMT_DEVICE float stored_image(std::int64_t row) const { return columns == 5 ? rois[row * columns] : 0.0F; }
};

// The first row whose image index is out of range, with the index. One block.
SIMT_KERNEL find_fault(Job job, DeviceFault* fault) {
  using Row = unsigned long long;
  SIMT_SHARED(Row, first, 1);
  constexpr Row kNone = ~Row{0};
  if (threadIdx.x == 0) first[0] = kNone;
  __syncthreads();
  const std::int64_t rows = job.rows.count();
  for (std::int64_t row = threadIdx.x; row < rows; row += blockDim.x)
    if (!is_image_index(job.stored_image(row), job.map.images)) atomicMin(&first[0], static_cast<Row>(row));
  __syncthreads();
  if (threadIdx.x == 0 && first[0] != kNone)
    *fault = {1, static_cast<std::int64_t>(first[0]), job.stored_image(static_cast<std::int64_t>(first[0]))};
}

// The mean of the samples of bin (ph, pw) in channel c.
SIMT_DEVICE float pooled(const FeatureMap<float>& map, const float* x, const RoiAxis& vertical,
                         const RoiAxis& horizontal, std::int64_t ph, std::int64_t pw) {
  const SampleLine &down = vertical.line, &across = horizontal.line;
  if (down.grid == 0 || across.grid == 0) return 0;
  const SampleRange rows = vertical.samples_near_map(ph), columns = horizontal.samples_near_map(pw);
  float sum = 0;
  Sample v{}, h{};
  for (std::int64_t i = rows.begin; i < rows.end; ++i) {
    if (!locate(down.position(ph, i), vertical.size, v)) continue;
    const float *low = x + v.low * map.stride_h, *high = x + v.high * map.stride_h;
    for (std::int64_t j = columns.begin; j < columns.end; ++j) {
      if (!locate(across.position(pw, j), horizontal.size, h)) continue;
      const float w1 = (1 - v.fraction) * (1 - h.fraction), w2 = (1 - v.fraction) * h.fraction,
                  w3 = v.fraction * (1 - h.fraction), w4 = v.fraction * h.fraction;
      const std::int64_t left = h.low * map.stride_w, right = h.high * map.stride_w;
      sum += w1 * low[left] + w2 * low[right] + w3 * high[left] + w4 * high[right];
    }
  }
  return sum / (static_cast<float>(down.grid) * static_cast<float>(across.grid));
}

// A block takes one bin after the other, its threads the channels: neighbours read neighbours where these come last.
SIMT_KERNEL roi_align(Job job) {
  const FeatureMap<float>& map = job.map;
  const std::int64_t bins = job.grid.pooled_h * job.grid.pooled_w, all = job.rows.count() * bins;
  for (std::int64_t bin = blockIdx.x; bin < all; bin += gridDim.x) {
    const std::int64_t row = bin / bins, ph = bin % bins / job.grid.pooled_w, pw = bin % job.grid.pooled_w;
    const float image = job.stored_image(row);
    if (!is_image_index(image, map.images)) continue;  // a fault, found before
    const Box box = load_box(job.rois + row * job.columns + job.columns - 4);
    const RoiAxis vertical = roi_axis(job.grid, box.y1, box.y2, map.scale, job.grid.pooled_h, map.height);
    const RoiAxis horizontal = roi_axis(job.grid, box.x1, box.x2, map.scale, job.grid.pooled_w, map.width);
    const float* x = map.data + static_cast<std::int64_t>(image) * map.stride_n;
    float* y = job.y + row * job.y_strides.n + ph * job.y_strides.h + pw * job.y_strides.w;
    for (std::int64_t c = threadIdx.x; c < map.channels; c += blockDim.x)
      y[c * job.y_strides.c] = pooled(map, x + c * map.stride_c, vertical, horizontal, ph, pw);
  }
}

void run(const RoIAlign::Params& p, const Call& call) {
  const Tensor &x = call.input(0), &rois = call.input(1);
  if (call.output(0).size() == 0) return;
  const Strides4 s = strides4(x.type());
  const Job job{
      {device_in<float>(call, 0), x.dim(0), x.dim(1), x.dim(2), x.dim(3), s.n, s.c, s.h, s.w, p.spatial_scale},
      p.grid(),
      device_in<float>(call, 1),
      rows_of_input(call, 1),
      rois.dim(1),
      device_out<float>(call, 0),
      strides4(call.output(0).type())};
  launch("RoIAlign: find_fault", find_fault, {1, kThreads, 0, stream_of(call)}, job, call.fault);
  const auto threads = static_cast<unsigned>(std::min<std::int64_t>((x.dim(1) + kWarp - 1) / kWarp * kWarp, kThreads));
  const unsigned blocks = blocks_for(rois.dim(0) * p.pooled_h * p.pooled_w, 1);
  launch("RoIAlign", roi_align, {blocks, threads, 0, stream_of(call)}, job);
}

void report(const RoIAlign::Params&, const CallSite& site, const DeviceFault& fault) {
  (void)image_index(RoIAlign::signature.type, fault.row, static_cast<float>(fault.found), site.inputs[0].shape[0]);
}

}  // namespace

template <>
Kernels<RoIAlign> kernels<RoIAlign, Backend::cuda>() {
  return {{"direct_f32", accepts_all<RoIAlign>, run, nullptr, nullptr, DType::float32, report}};
}

}  // namespace d2deploy
