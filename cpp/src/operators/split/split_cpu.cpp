#include "operators/split/split.h"

#include "kernels/axis_runs.h"

namespace d2deploy {

namespace {

void run(const Split::Params& p, const Call& call) {
  const Tensor& x = call.input(0);
  const auto axis = Split::axis(p, x.shape().rank());
  const AxisRuns in = axis_runs(x.type(), axis);
  Split::check_parts(p, call, axis);
  const auto* from = static_cast<const std::byte*>(x.raw());
  for (Tensor* y : call.outputs) {
    const std::int64_t chunk = y->dim(axis) * in.run_bytes;
    copy_chunks(from, in.block_bytes(), static_cast<std::byte*>(y->raw()), chunk, chunk, in.outer);
    from += chunk;
  }
}

}  // namespace

template <>
Kernels<Split> kernels<Split, Backend::cpu>() {
  return {{"copy", accepts_all<Split>, run}};
}

}  // namespace d2deploy
