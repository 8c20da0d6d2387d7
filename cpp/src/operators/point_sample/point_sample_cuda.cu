#include "core/element_type.h"
#include "kernels/deform.h"
#include "kernels/simt/element.h"
#include "kernels/simt/first_row.h"
#include "operators/device_call.h"
#include "operators/maps_cuda.h"
#include "operators/point_sample/place_on_map.h"
#include "operators/point_sample/point_sample.h"

namespace d2deploy {

namespace {

using namespace simt;

constexpr unsigned kThreads = 256;

template <class T>
struct Job {
  const T* x;
  DeviceRows images;
  std::int64_t channels, height, width;
  Strides4 from, to;
  float scale;
  const float* points;
  std::int64_t count, step;  // points of a row, and numbers from one row of them to the next
  const float* rois;         // null: each row has an image of its own
  std::int64_t roi_columns;
  DeviceRows rows;
  std::int64_t columns;  // of Y
  T* y;
  DeviceFault* fault;

  SIMT_DEVICE float stored_image(std::int64_t row) const {
    if (rois == nullptr) return static_cast<float>(row);
    return roi_columns == 5 ? rois[row * roi_columns] : 0.0F;
  }
  SIMT_DEVICE bool is_fault(std::int64_t row) const {
    return rois != nullptr && !is_image_index(stored_image(row), images.count());
  }
  SIMT_DEVICE PlaceOnMap place(std::int64_t row, std::int64_t k) const {
    const float* point = points + row * step + k * 2;
    if (rois == nullptr) return place_on_map(point, height, width);
    return place_on_map(point, load_box(rois + (row + 1) * roi_columns - 4), scale);
  }
};

// Blocks of (channels, points) threads; each takes kCount neighbouring channels at a time.
template <int kCount, class T>
SIMT_KERNEL sample_points(Job<T> job) {
  if (blockIdx.x == 0) {
    const std::int64_t row = first_row(job.rows.count(), [&](std::int64_t i) { return job.is_fault(i); });
    if (row >= 0 && threadIdx.x == 0 && threadIdx.y == 0)
      *job.fault = {1, row, job.stored_image(row), static_cast<double>(job.images.count())};
  }
  using L = Lanes<T, kCount>;
  const std::int64_t all = job.rows.count() * job.count;
  for (std::int64_t i = std::int64_t{blockIdx.x} * blockDim.y + threadIdx.y; i < all;
       i += std::int64_t{gridDim.x} * blockDim.y) {
    const std::int64_t row = i / job.count, k = i - row * job.count;
    if (job.is_fault(row)) continue;
    const PlaceOnMap at = job.place(row, k);
    const auto down = cells_around(at.y, job.height, true), across = cells_around(at.x, job.width, true);
    const std::int64_t image = job.rois == nullptr ? row : static_cast<std::int64_t>(job.stored_image(row));
    const T* corner = job.x + image * job.from.n + down.first * job.from.h + across.first * job.from.w;
    T* y = job.y + row * job.to.n + k / job.columns * job.to.h + k % job.columns * job.to.w;
    for (std::int64_t c = std::int64_t{threadIdx.x} * kCount; c < job.channels;
         c += std::int64_t{blockDim.x} * kCount) {
      float sum[kCount] = {};
      for (std::int64_t v = 0; v < down.count; ++v)
        for (std::int64_t h = 0; h < across.count; ++h) {
          const float weight = down.weights[v] * across.weights[h];
          const L cell = *reinterpret_cast<const L*>(corner + c * job.from.c + v * job.from.h + h * job.from.w);
          for (int l = 0; l < kCount; ++l) sum[l] += weight * to_float(cell.values[l]);
        }
      auto& out = *reinterpret_cast<L*>(y + c * job.to.c);
      for (int l = 0; l < kCount; ++l) out.values[l] = from_float<T>(sum[l]);
    }
  }
}

template <class T>
void launch_for(const PointSample::Params& p, const Call& call) {
  const Tensor &x = call.input(0), &points = call.input(1);
  const bool in_boxes = call.has_input(2);
  const DeviceRows rows = rows_of_input(call, in_boxes ? 2 : 0);
  PointSample::check_rows(points.dim(0), rows.most);
  Job<T> job{};
  job.x = device_in<T>(call, 0);
  job.images = rows_of_input(call, 0);
  job.channels = x.dim(1);
  job.height = x.dim(2);
  job.width = x.dim(3);
  job.from = strides4(x.type());
  job.to = strides4(call.output(0).type());
  job.scale = p.spatial_scale;
  job.points = device_in<float>(call, 1);
  job.count = points.dim(1);
  job.step = points.dim(0) == 1 ? 0 : job.count * 2;
  if (in_boxes) {
    job.rois = device_in<float>(call, 2);
    job.roi_columns = call.input(2).dim(1);
  }
  job.rows = rows;
  job.columns = p.width;
  job.y = device_out<T>(call, 0);
  job.fault = call.fault;
  if (rows.most == 0) return;
  const bool last = job.from.c == 1 && job.to.c == 1 && job.channels % kWideLanes<T> == 0;
  const auto go = [&](auto kernel, std::int64_t lanes) {
    const auto across = static_cast<unsigned>(std::clamp<std::int64_t>(job.channels / lanes, 1, kThreads));
    const unsigned down = kThreads / across;
    launch("PointSample", kernel, {blocks_for(rows.most * job.count, down), {across, down}, 0, stream_of(call)}, job);
  };
  if (last && is_aligned(x) && is_aligned(call.output(0)))
    go(sample_points<kWideLanes<T>, T>, kWideLanes<T>);
  else
    go(sample_points<1, T>, 1);
}

void run(const PointSample::Params& p, const Call& call) {
  with_real_type(call.input(0).dtype(), [&]<class T>(T) { launch_for<T>(p, call); });
}

void report(const PointSample::Params&, const CallSite&, const DeviceFault& fault) {
  (void)image_index("PointSample", fault.row, static_cast<float>(fault.found), static_cast<std::int64_t>(fault.wanted));
}

}  // namespace

template <>
Kernels<PointSample> kernels<PointSample, Backend::cuda>() {
  return {
      {.name = "points", .reject = accepts_all<PointSample>, .run = run, .report = report, .takes = Takes::any_real}};
}

}  // namespace d2deploy
