#include "kernels/axis_runs.h"
#include "kernels/simt/move.h"
#include "operators/concat/concat.h"
#include "operators/write_numbers_cuda.h"

namespace d2deploy {

namespace {

void run(const Concat::Params& p, const Call& call) {
  Tensor& out = call.output(0);
  const auto axis = Concat::axis(p, out.shape().rank());
  const AxisRuns runs = axis_runs(out.type(), axis);
  std::byte* y = device_bytes_out(call, 0);
  simt::CopyList copies("Concat", stream_of(call));
  for (std::size_t i = 0; i < call.inputs.size(); ++i) {
    const std::int64_t chunk = call.input(i).dim(axis) * runs.run_bytes;
    copies.add({device_bytes_in(call, i), y, chunk, runs.block_bytes(), chunk, runs.outer});
    y += chunk;
  }
  copies.run();
  if (!call.has_output(1)) return;
  // Of rows whose number the run finds there is at most one input: others are empty beside it.
  const std::int32_t* slot = nullptr;
  const auto slot_of = [&](std::size_t i) { return axis == 0 ? rows_of_input(call, i).slot : nullptr; };
  for (std::size_t i = 0; i < call.inputs.size() && slot == nullptr; ++i) slot = slot_of(i);
  NumberWriter<std::int32_t> split_info("Concat: split_info", stream_of(call), device_out<std::int32_t>(call, 1), slot);
  for (std::size_t i = 0; i < call.inputs.size(); ++i)
    split_info.add(slot_of(i) != nullptr ? kUnknown : call.input(i).dim(axis));
  split_info.run();
}

}  // namespace

template <>
Kernels<Concat> kernels<Concat, Backend::cuda>() {
  return {{"copy", accepts_all<Concat>, run}};
}

}  // namespace d2deploy
