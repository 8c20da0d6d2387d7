#include "kernels/axis_runs.h"
#include "kernels/simt/move.h"
#include "operators/device_call.h"
#include "operators/slice/slice.h"

namespace d2deploy {

namespace {

// The first dimension that is cut; the rank where none is.
std::size_t cut_axis(const Shape& x, const Shape& y) {
  std::size_t axis = 0;
  while (axis < y.rank() && x[axis] == y[axis]) ++axis;
  return axis;
}

// Bounds that are inputs are read while the call is planned: memory of a GPU is out of the host's reach.
Prepared prepare(const Slice::Params& p, const CallSite& site) {
  const TensorType &x = site.inputs[0], &y = site.outputs[0];
  const std::size_t axis = cut_axis(x.shape, y.shape);
  Prepared prepared;
  std::int64_t start = 0;
  const auto range_start = [&](const Slice::Bounds& bounds) { return bounds.range(axis, x.shape[axis]).start; };
  if (site.inputs.size() == 3) {
    prepared.packed = {1, 2};
    const Tensor starts = site.constants[1]->plain(), ends = site.constants[2]->plain();
    if (axis < y.shape.rank()) start = range_start({p, &starts, &ends});
  } else if (axis < y.shape.rank()) {
    start = range_start({p});
  }
  prepared.state = std::make_shared<const std::int64_t>(start);
  return prepared;
}

void run(const Slice::Params&, const Call& call) {
  const TensorType &x = call.input(0).type(), &y = call.output(0).type();
  const std::byte* from = device_bytes_in(call, 0);
  std::byte* to = device_bytes_out(call, 0);
  const std::size_t axis = cut_axis(x.shape, y.shape);
  simt::CopyList copies("Slice", stream_of(call));
  if (axis == y.shape.rank()) {
    copies.add({from, to, 0, 0, y.bytes(), 1});
  } else {
    const AxisRuns in = axis_runs(x, axis), out = axis_runs(y, axis);
    from += *static_cast<const std::int64_t*>(call.state) * in.run_bytes;
    copies.add({from, to, in.block_bytes(), out.block_bytes(), out.block_bytes(), out.outer});
  }
  copies.run();
}

std::string reject(const Slice::Params&, const CallSite& site) {
  const bool known = site.inputs.size() < 3 || (site.is_constant(1) && site.is_constant(2));
  return known ? "" : "takes starts and ends that are constants only";
}

}  // namespace

template <>
Kernels<Slice> kernels<Slice, Backend::cuda>() {
  return {{"copy", reject, run, prepare}};
}

}  // namespace d2deploy
