#include <limits>

#include "kernels/scratch.h"
#include "kernels/simt/index.h"
#include "kernels/simt/ranks.h"
#include "operators/device_call.h"
#include "operators/uncertain_points/certainty.h"
#include "operators/uncertain_points/uncertain_points.h"

namespace d2deploy {

namespace {

using namespace simt;

constexpr unsigned kThreads = 512;  // a map each block
constexpr unsigned kWarps = kThreads / kWarp;

struct Job {
  const float* x;
  std::int64_t channels, height, width;
  Strides4 strides;
  DeviceRows rows;
  int count;      // of each map
  float* scores;  // the less certain the higher; rows of cells
  std::int32_t* places;
  float* points;

  SIMT_HOST_DEVICE std::int64_t cells() const { return height * width; }
};

SIMT_KERNEL score_cells(Job job) {
  for (std::int64_t i = first_item(); i < job.rows.count() * job.cells(); i += item_step()) {
    const std::int64_t row = quotient(i, job.cells()), place = i - row * job.cells(), y = quotient(place, job.width);
    const float* x = job.x + row * job.strides.n + y * job.strides.h + (place - y * job.width) * job.strides.w;
    const float certain = certainty(x, job.channels, job.strides.c);
    job.scores[i] = std::isnan(certain) ? std::numeric_limits<float>::infinity() : -certain;
  }
}

// Threads share the cells in reading order: each counts its own, and writes them behind those of the threads before it.
SIMT_KERNEL choose_cells(Job job) {
  SIMT_SHARED(int, taken_by_warp, kWarps);
  const std::int64_t row = blockIdx.x;
  if (row >= job.rows.count()) return;
  const float* scores = job.scores + row * job.cells();
  const auto cells = static_cast<int>(job.cells());
  const Word bound = bound_of_largest(job.count, [&](const auto& f) {
    for (int i = static_cast<int>(threadIdx.x); i < cells; i += static_cast<int>(blockDim.x))
      f(key_of(scores[i], static_cast<unsigned>(i)));
  });
  const int each = (cells + static_cast<int>(kThreads) - 1) / static_cast<int>(kThreads);
  const int begin = std::min(static_cast<int>(threadIdx.x) * each, cells), end = std::min(begin + each, cells);
  const auto is_taken = [&](int i) { return key_of(scores[i], static_cast<unsigned>(i)) >= bound; };
  int own = 0;
  for (int i = begin; i < end; ++i) own += is_taken(i) ? 1 : 0;
  const unsigned lane = threadIdx.x % kWarp, warp = threadIdx.x / kWarp;
  int at = own;
  for (unsigned lanes = 1; lanes < kWarp; lanes *= 2) {
    const int before = __shfl_up_sync(kAllLanes, at, lanes);
    if (lane >= lanes) at += before;
  }
  if (lane == kWarp - 1) taken_by_warp[warp] = at;
  __syncthreads();
  at -= own;
  for (unsigned w = 0; w < warp; ++w) at += taken_by_warp[w];
  for (int i = begin; i < end; ++i) {
    if (!is_taken(i)) continue;
    const std::int64_t k = row * job.count + at++;
    job.places[k] = i;
    if (job.points == nullptr) continue;
    job.points[2 * k] = middle(i % job.width, job.width);
    job.points[2 * k + 1] = middle(i / job.width, job.height);
  }
}

void run(const UncertainPoints::Params&, const Call& call) {
  const Tensor& x = call.input(0);
  Scratch scratch(call.scratch);
  const Job job{device_in<float>(call, 0),
                x.dim(1),
                x.dim(2),
                x.dim(3),
                strides4(x.type()),
                rows_of_input(call, 0),
                static_cast<int>(call.output(0).dim(1)),
                scratch.take<float>(x.dim(0) * x.dim(2) * x.dim(3)),
                device_out<std::int32_t>(call, 0),
                device_out<float>(call, 1)};
  if (job.rows.most == 0 || job.count == 0) return;
  constexpr unsigned kScoreThreads = 256;
  launch("UncertainPoints: score", score_cells,
         {blocks_for(job.rows.most * job.cells(), kScoreThreads), kScoreThreads, 0, stream_of(call)}, job);
  launch("UncertainPoints", choose_cells, {static_cast<unsigned>(job.rows.most), kThreads, 0, stream_of(call)}, job);
}

std::string reject(const UncertainPoints::Params&, const CallSite& site) {
  return site.inputs[0].shape[0] <= INT32_MAX ? "" : "takes at most 2^31 - 1 rows";
}

Prepared prepare(const UncertainPoints::Params&, const CallSite& site) {
  const Shape& x = site.inputs[0].shape;
  Scratch scratch;
  (void)scratch.take<float>(checked_product(x[0], x.size(2, 4)));
  Prepared prepared;
  prepared.scratch_bytes = scratch.bytes();
  return prepared;
}

}  // namespace

template <>
Kernels<UncertainPoints> kernels<UncertainPoints, Backend::cuda>() {
  return {{.name = "select_f32", .reject = reject, .run = run, .prepare = prepare}};
}

}  // namespace d2deploy
