#include "kernels/simt/move.h"
#include "operators/device_call.h"
#include "operators/transpose/transpose.h"

namespace d2deploy {

namespace {

using namespace simt;

// loops.a: steps in x.
template <class T>
SIMT_KERNEL gather_elements(const T* x, T* y, DeviceLoops loops, std::int64_t count) {
  for (std::int64_t i = first_item(); i < count; i += item_step()) {
    std::int64_t in_x, none;
    loops.find(i, in_x, none);
    y[i] = x[in_x];
  }
}

// Whether the loops walk matrices, one after the other, by their columns.
bool are_matrices(const Loops& loops, Matrices& m) {
  if (loops.count < 2 || loops.count > 3) return false;
  const std::size_t last = loops.count - 1;
  m = {loops.count == 3 ? loops.size[0] : 1, loops.size[last], loops.size[last - 1]};
  const bool together = loops.count == 2 || loops.a[0] == m.rows * m.columns;
  return together && loops.a[last] == m.columns && loops.a[last - 1] == 1;
}

template <class T>
void run_typed(const Loops& loops, const Call& call) {
  const auto* x = reinterpret_cast<const T*>(device_bytes_in(call, 0));
  auto* y = reinterpret_cast<T*>(device_bytes_out(call, 0));
  const std::int64_t count = call.input(0).size();
  if (Matrices m{}; are_matrices(loops, m)) return launch_transpose("Transpose", x, y, m, stream_of(call));
  launch("Transpose", gather_elements<T>, {blocks_for(count, kMoveThreads), kMoveThreads, 0, stream_of(call)}, x, y,
         DeviceLoops(loops), count);
}

void run(const Transpose::Params& p, const Call& call) {
  const Tensor& x = call.input(0);
  if (x.size() == 0) return;
  const Loops loops = Transpose::loops(p, x.type(), call.output(0).type());
  with_element_bytes(x.dtype(), [&]<class T>(T) { run_typed<T>(loops, call); });
}

}  // namespace

template <>
Kernels<Transpose> kernels<Transpose, Backend::cuda>() {
  return {{"tiles", accepts_all<Transpose>, run}};
}

}  // namespace d2deploy
