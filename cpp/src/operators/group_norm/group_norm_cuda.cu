#include "operators/group_norm/group_norm_cuda.h"

#include <limits>

#include "core/element_type.h"
#include "kernels/scale_shift.h"
#include "kernels/scratch.h"
#include "kernels/simt/moments.h"
#include "operators/maps_cuda.h"

namespace d2deploy::group_norm_on_gpu {

namespace {

using namespace simt;

/// How the moments of an image's groups are found. A unit is some channels of a group that lie together, channels last,
/// else the whole group; it has `steps` parts of `lanes` numbers. A block takes `across` units, and some of their
/// parts.
struct Split {
  std::int64_t units, steps, chunks;
  int lanes, across, down;
  std::int64_t unit_step, part_step;  // elements from one to the next

  Split(const Maps& maps, std::int64_t groups, int most_lanes) {
    constexpr std::int64_t kStepsPerThread = 16;
    const std::int64_t per_group = maps.channels / groups,
                       run = maps.channels_last ? per_group : per_group * maps.cells;
    lanes = run % most_lanes == 0 ? most_lanes : 1;
    units = maps.channels_last ? maps.channels / lanes : groups;
    steps = maps.channels_last ? maps.cells : run / lanes;
    across = static_cast<int>(maps.channels_last ? std::min<std::int64_t>(units, kMomentThreads) : 1);
    down = kMomentThreads / across;
    chunks = (steps + down * kStepsPerThread - 1) / (down * kStepsPerThread);
    unit_step = maps.channels_last ? lanes : run;
    part_step = maps.channels_last ? maps.channels : lanes;
  }
};

struct Work {
  Moments* parts;        // (N, chunks, units)
  float *scale, *shift;  // (N, C)

  Work(Scratch& scratch, const Maps& maps, const Split& split)
      : parts(scratch.take<Moments>(maps.images * split.chunks * split.units)),
        scale(scratch.take<float>(maps.images * maps.channels)),
        shift(scratch.take<float>(maps.images * maps.channels)) {}
};

struct Job {
  Maps maps;
  Split split;
  Work work;
  DeviceRows rows;
  std::int64_t groups;
  float epsilon;
  const float *gamma, *beta;
  float *mean, *inv_std;  // null where not wanted
};

// Chunks along x, units along y, images along z.
template <class T, int kLanes>
SIMT_KERNEL sum_parts(Job job, const T* x) {
  const Split& s = job.split;
  const int t = static_cast<int>(threadIdx.x), row = t / s.across;
  const std::int64_t per_chunk = (s.steps + s.chunks - 1) / s.chunks, first = blockIdx.x * per_chunk,
                     end = std::min(first + per_chunk, s.steps);
  for (std::int64_t image = blockIdx.z; image < job.rows.count(); image += gridDim.z)
    for (std::int64_t tile = blockIdx.y; tile * s.across < s.units; tile += gridDim.y) {
      const std::int64_t unit = tile * s.across + t % s.across;
      const T* from = x + image * job.maps.channels * job.maps.cells + unit * s.unit_step;
      Moments mine;
      if (unit < s.units && row < s.down)
        for (std::int64_t i = first + row; i < end; i += s.down) {
          const auto part = *reinterpret_cast<const Lanes<T, kLanes>*>(from + i * s.part_step);
          mine = joined(mine, moments_of<T, kLanes>(part.values));
        }
      const Moments all = joined_in_block(mine, s.across, s.down);
      if (row == 0 && unit < s.units) job.work.parts[(image * s.chunks + blockIdx.x) * s.units + unit] = all;
    }
}

// scale = gamma inv_std, shift = beta - mean scale. Groups along x, images along y.
SIMT_KERNEL set_scales(Job job) {
  SIMT_SHARED(float, found, 2);
  const Split& s = job.split;
  const int t = static_cast<int>(threadIdx.x);
  const std::int64_t group = blockIdx.x, units = s.units / job.groups, per_group = job.maps.channels / job.groups;
  for (std::int64_t image = blockIdx.y; image < job.rows.count(); image += gridDim.y) {
    Moments mine;
    for (std::int64_t i = t; i < units * s.chunks; i += kMomentThreads)
      mine = joined(mine, job.work.parts[(image * s.chunks + i / units) * s.units + group * units + i % units]);
    const Moments all = joined_in_block(mine, 1, kMomentThreads);
    if (t == 0) {
      const float mean = all.count == 0.0F ? std::numeric_limits<float>::quiet_NaN() : all.mean;
      const float inv_std = 1.0F / std::sqrt(all.squares / all.count + job.epsilon);
      found[0] = mean;
      found[1] = inv_std;
      if (job.mean != nullptr) job.mean[image * job.groups + group] = mean;
      if (job.inv_std != nullptr) job.inv_std[image * job.groups + group] = inv_std;
    }
    __syncthreads();
    for (std::int64_t c = group * per_group + t; c < (group + 1) * per_group; c += kMomentThreads) {
      const float scale = job.gamma[c] * found[1];
      job.work.scale[image * job.maps.channels + c] = scale;
      job.work.shift[image * job.maps.channels + c] = job.beta[c] - found[0] * scale;
    }
    __syncthreads();
  }
}

template <class T>
struct ScaledAndShifted {
  DeviceMap<const T> x;
  const float *scale, *shift;
  bool relu;

  template <int kCount>
  SIMT_DEVICE void operator()(const MapCell& cell, Lanes<T, kCount>& y) const {
    const auto in = x.template at<kCount>(cell);
    const std::int64_t first = cell.image * x.channels + cell.c;
    for (int i = 0; i < kCount; ++i) {
      const float v = to_float(in.values[i]) * scale[first + i] + shift[first + i];
      y.values[i] = from_float<T>(relu && v < 0.0F ? 0.0F : v);
    }
  }
};

// All places of an image as one row.
template <class T>
DeviceMap<T> flat_map(const Maps& maps, T* data) {
  const auto channels = static_cast<std::int32_t>(maps.channels), cells = static_cast<std::int32_t>(maps.cells);
  const std::int64_t image = maps.channels * maps.cells;
  if (maps.channels_last) return {data, channels, 1, cells, image, 1, 0, channels};
  return {data, channels, 1, cells, image, cells, 0, 1};
}

template <class T>
void run_typed(const char* type, const Job& job, bool relu, const Call& call) {
  constexpr std::int64_t kMost = 65535;  // CUDA's limit of gridDim.y and .z
  const auto blocks = [=](std::int64_t count) { return static_cast<unsigned>(std::min(count, kMost)); };
  const T* x = device_in<T>(call, 0);
  const Split& s = job.split;
  if (s.chunks > 0) {
    const auto kernel = s.lanes == 1 ? sum_parts<T, 1> : sum_parts<T, kWideLanes<T>>;
    launch(type, kernel,
           {{static_cast<unsigned>(s.chunks), blocks((s.units + s.across - 1) / s.across), blocks(job.maps.images)},
            kMomentThreads,
            0,
            stream_of(call)},
           job, x);
  }
  launch(type, set_scales,
         {{static_cast<unsigned>(job.groups), blocks(job.maps.images)}, kMomentThreads, 0, stream_of(call)}, job);
  launch_fill(type, flat_map<T>(job.maps, device_out<T>(call, 0)), job.rows,
              is_aligned(call.input(0)) && is_aligned(call.output(0)), stream_of(call),
              ScaledAndShifted<T>{flat_map<const T>(job.maps, x), job.work.scale, job.work.shift, relu});
}

// Parts of 16 bytes are read from addresses that are multiples of it.
int most_lanes(DType dtype, bool aligned) { return aligned ? static_cast<int>(16 / size_of(dtype)) : 1; }

}  // namespace

std::string reject(const CallSite& site) {
  const Shape& x = site.inputs[0].shape;
  if (x.known() && x.size(1, x.rank()) > INT32_MAX) return "takes images of less than 2^31 elements";
  return {};
}

Prepared prepare(std::int64_t groups, const CallSite& site) {
  const TensorType& x = site.inputs[0];
  Prepared prepared;
  if (!x.shape.known() || groups == 0) return prepared;
  Scratch wide, narrow;  // which one is told by the address
  const Maps maps = Maps::of(x);
  (void)Work(wide, maps, Split(maps, groups, most_lanes(x.dtype, true)));
  (void)Work(narrow, maps, Split(maps, groups, 1));
  prepared.scratch_bytes = std::max(wide.bytes(), narrow.bytes());
  return prepared;
}

void run(const char* type, std::int64_t groups, float epsilon, bool relu, const Call& call) {
  const Tensor& x = call.input(0);
  const Maps maps = Maps::of(x.type());
  if (groups == 0 || maps.images == 0) return;
  const auto moments = [&](std::size_t i) { return call.has_output(i) ? device_out<float>(call, i) : nullptr; };
  const Split split(maps, groups, most_lanes(x.dtype(), is_aligned(x)));
  Scratch scratch(call.scratch);
  const Job job{maps,       split,     Work(scratch, maps, split), rows_of_input(call, 0),
                groups,     epsilon,   device_in<float>(call, 1),  device_in<float>(call, 2),
                moments(1), moments(2)};
  with_real_type(x.dtype(), [&]<class T>(T) { run_typed<T>(type, job, relu, call); });
}

}  // namespace d2deploy::group_norm_on_gpu
