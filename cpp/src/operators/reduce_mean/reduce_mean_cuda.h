// The kernel for GPUs of what reduces dimensions to one number.
#pragma once
#include "kernels/loops.h"
#include "operators/device_call.h"
#include "operators/reduce_mean/reduction.h"

namespace d2deploy {

/// An output is reduced by `threads` of a block, and a block has neighbouring outputs, so that neighbouring threads
/// read neighbours whether these are added up or not.
struct ReductionJob {
  const float* x;
  float* y;
  Loops kept, reduced;  // a: steps in X, b: in Y
  DeviceRows rows;
  std::int64_t outputs, terms;  // of all rows, or of one: see below
  bool rows_are_reduced;
  int outputs_per_block;
};

inline constexpr int kReductionThreads = 256;

// Sums are kept in float64, as the portable kernel does; their order depends on the shape of X alone.
template <class Op>
SIMT_KERNEL reduce(ReductionJob job) {
  using namespace simt;
  SIMT_SHARED(double, parts, kReductionThreads);
  const int t = static_cast<int>(threadIdx.x), width = job.outputs_per_block, lane = t % width, part = t / width;
  const std::int64_t rows = job.rows.count(), terms = job.terms * (job.rows_are_reduced ? rows : 1),
                     outputs = job.outputs * (job.rows_are_reduced ? 1 : rows);
  for (std::int64_t first = std::int64_t{blockIdx.x} * width; first < outputs;
       first += std::int64_t{gridDim.x} * width) {
    const std::int64_t output = first + lane;
    Loops::Offsets at{0, 0};
    double found = Op::kStart;
    if (output < outputs) {
      at = job.kept.at(output, job.kept.count);
      for (std::int64_t i = part; i < terms; i += kReductionThreads / width)
        found = Op::add(found, static_cast<double>(job.x[at.a + job.reduced.at(i, job.reduced.count).a]));
    }
    parts[t] = found;
    __syncthreads();
    for (int left = kReductionThreads / width; left > 1; left /= 2) {
      if (part < left / 2) parts[t] = Op::add(parts[t], parts[t + left / 2 * width]);
      __syncthreads();
    }
    if (part == 0 && output < outputs) job.y[at.b] = static_cast<float>(Op::finish(parts[t], terms));
    __syncthreads();  // the next turn writes again
  }
}

template <class Op>
void run_reduction_on_gpu(const ReductionParams& p, const Call& call) {
  const TensorType& in = call.input(0).type();
  if (call.output(0).size() == 0) return;
  const std::size_t rank = in.shape.rank();
  const auto mask = reduced_mask(Op::signature.type, p, rank);
  const Steps x_steps = steps(in), y_steps = steps(call.output(0).type());
  ReductionJob job{};
  job.x = device_in<float>(call, 0);
  job.y = device_out<float>(call, 0);
  job.rows = {1};
  job.outputs = job.terms = 1;
  for (std::size_t d = 0, k = 0; d < rank; ++d) {
    if (mask[d])
      job.reduced.add(in.shape[d], x_steps[d], 0);
    else
      job.kept.add(in.shape[d], x_steps[d], y_steps[k]);
    if (d > 0) (mask[d] ? job.terms : job.outputs) *= in.shape[d];
    if (p.keepdims || !mask[d]) ++k;
  }
  if (rank > 0) {
    job.rows = rows_of_input(call, 0);
    job.rows_are_reduced = mask[0];
  }
  const std::int64_t all = call.output(0).size(), terms = in.shape.size() / all;
  const bool side_by_side = job.kept.count > 0 && job.kept.a[job.kept.count - 1] == 1;
  job.outputs_per_block = side_by_side ? static_cast<int>(simt::kWarp) : 1;
  while (job.outputs_per_block < kReductionThreads && kReductionThreads / job.outputs_per_block > terms)
    job.outputs_per_block *= 2;
  simt::launch(
      Op::signature.type, reduce<Op>,
      {simt::blocks_for(all, static_cast<unsigned>(job.outputs_per_block)), kReductionThreads, 0, stream_of(call)},
      job);
}

template <class Op>
Kernels<Op> reduce_mean_cuda_kernels() {
  return {{"blocks_f32", accepts_all<Op>, run_reduction_on_gpu<Op>}};
}

}  // namespace d2deploy
