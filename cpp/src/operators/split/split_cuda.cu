#include "kernels/axis_runs.h"
#include "kernels/simt/move.h"
#include "operators/device_call.h"
#include "operators/split/split.h"

namespace d2deploy {

namespace {

void run(const Split::Params& p, const Call& call) {
  const Tensor& x = call.input(0);
  const auto axis = Split::axis(p, x.shape().rank());
  const AxisRuns in = axis_runs(x.type(), axis);
  Split::check_parts(p, call, axis);
  const std::byte* from = device_bytes_in(call, 0);
  simt::CopyList copies("Split", stream_of(call));
  for (std::size_t i = 0; i < call.outputs.size(); ++i) {
    const std::int64_t chunk = call.output(i).dim(axis) * in.run_bytes;
    copies.add({from, device_bytes_out(call, i), in.block_bytes(), chunk, chunk, in.outer});
    from += chunk;
  }
  copies.run();
}

}  // namespace

template <>
Kernels<Split> kernels<Split, Backend::cuda>() {
  return {{"copy", accepts_all<Split>, run}};
}

}  // namespace d2deploy
