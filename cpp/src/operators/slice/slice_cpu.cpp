#include "operators/slice/slice.h"

#include "kernels/axis_runs.h"

namespace d2deploy {

namespace {

void run(const Slice::Params& p, const Call& call) {
  const Tensor &x = call.input(0), &y = call.output(0);
  const bool inputs = call.has_input(2);
  const Slice::Bounds bounds{p, inputs ? &call.input(1) : nullptr, inputs ? &call.input(2) : nullptr};
  const auto* from = static_cast<const std::byte*>(x.raw());
  auto* to = static_cast<std::byte*>(call.output(0).raw());
  std::size_t axis = 0;
  while (axis < y.shape().rank() && x.dim(axis) == y.dim(axis)) ++axis;
  if (axis == y.shape().rank()) return copy_chunks(from, 0, to, 0, y.bytes(), 1);
  const AxisRuns in = axis_runs(x.type(), axis), out = axis_runs(y.type(), axis);
  from += bounds.range(axis, x.dim(axis)).start * in.run_bytes;
  copy_chunks(from, in.block_bytes(), to, out.block_bytes(), out.block_bytes(), out.outer);
}

}  // namespace

template <>
Kernels<Slice> kernels<Slice, Backend::cpu>() {
  return {{"copy", accepts_all<Slice>, run}};
}

}  // namespace d2deploy
