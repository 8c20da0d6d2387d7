#include "operators/concat/concat.h"

#include "kernels/axis_runs.h"

namespace d2deploy {

namespace {

void run(const Concat::Params& p, const Call& call) {
  Tensor& out = call.output(0);
  const auto axis = Concat::axis(p, out.shape().rank());
  const AxisRuns runs = axis_runs(out.type(), axis);
  auto* y = static_cast<std::byte*>(out.raw());
  for (std::size_t i = 0; i < call.inputs.size(); ++i) {
    const std::int64_t length = call.input(i).dim(axis), chunk = length * runs.run_bytes;
    copy_chunks(static_cast<const std::byte*>(call.input(i).raw()), chunk, y, runs.block_bytes(), chunk, runs.outer);
    y += chunk;
    if (call.has_output(1)) call.out<std::int32_t>(1)[i] = static_cast<std::int32_t>(length);
  }
}

}  // namespace

template <>
Kernels<Concat> kernels<Concat, Backend::cpu>() {
  return {{"copy", accepts_all<Concat>, run}};
}

}  // namespace d2deploy
