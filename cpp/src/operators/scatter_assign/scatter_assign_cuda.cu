#include <limits>

#include "kernels/scratch.h"
#include "kernels/simt/move.h"
#include "operators/first_fault_cuda.h"
#include "operators/scatter_assign/scatter_assign.h"

namespace d2deploy {

namespace {

using namespace simt;

// Who writes a row: the last of its slices, counted from the last one of all.
constexpr int kNobody = std::numeric_limits<int>::max();

template <class Index>
struct Job {
  const Index* indices;
  DeviceRows index_rows;
  std::int64_t count, indices_per_row;
  DeviceRows rows;
  std::int64_t row_bytes;
  int* writers;  // per row

  SIMT_DEVICE std::int64_t places() const { return index_rows.count() * indices_per_row; }
  SIMT_DEVICE bool is_fault(std::int64_t i) const { return indices[i] < 0 || indices[i] >= rows.count(); }
  SIMT_DEVICE DeviceFault fault(std::int64_t i) const {
    return {1, i, static_cast<double>(indices[i]), static_cast<double>(rows.count())};
  }
  SIMT_DEVICE int turn(std::int64_t i) const { return static_cast<int>(count - 1 - i); }
};

template <class Index>
SIMT_KERNEL forget_writers(Job<Index> job) {
  for (std::int64_t row = first_item(); row < job.rows.most; row += item_step()) job.writers[row] = kNobody;
}
template <class Index>
SIMT_KERNEL find_writers(Job<Index> job) {
  for (std::int64_t i = first_item(); i < job.places(); i += item_step())
    if (!job.is_fault(i)) atomicMin(&job.writers[job.indices[i]], job.turn(i));
}

template <class Unit, class Index>
SIMT_KERNEL scatter_rows(Job<Index> job, const Unit* slices, Unit* y) {
  const std::int64_t units = job.row_bytes / static_cast<std::int64_t>(sizeof(Unit));
  for (std::int64_t i = first_item(); i < job.places() * units; i += item_step()) {
    const std::int64_t slice = quotient(i, units);
    if (job.is_fault(slice)) continue;  // it was found before
    const auto row = static_cast<std::int64_t>(job.indices[slice]);
    if (job.writers[row] == job.turn(slice)) y[row * units + i - slice * units] = slices[i];
  }
}

template <class Index>
void scatter(const Call& call) {
  const std::int64_t rows = call.input(0).dim(0), count = call.input(1).size();
  const std::byte* slices = device_bytes_in(call, 2);
  std::byte* y = device_bytes_out(call, 0);
  if (count == 0) return;
  DeviceRows index_rows{1};
  if (call.input(1).shape().rank() > 0) index_rows = rows_of_input(call, 1);
  Scratch scratch(call.scratch);
  const Job<Index> job{device_in<Index>(call, 1),
                       index_rows,
                       count,
                       count / index_rows.most,
                       rows_of_input(call, 0),
                       rows == 0 ? 0 : call.input(0).bytes() / rows,
                       scratch.take<int>(rows)};
  const auto grid = [&](std::int64_t items) {
    return Grid{blocks_for(items, kMoveThreads), kMoveThreads, 0, stream_of(call)};
  };
  launch_find_first_fault("ScatterAssign: find_first_fault", call, job);
  launch("ScatterAssign: forget_writers", forget_writers<Index>, grid(rows), job);
  launch("ScatterAssign: find_writers", find_writers<Index>, grid(count), job);
  with_unit(address(slices) | address(y) | static_cast<std::uintptr_t>(job.row_bytes), [&]<class Unit>(Unit) {
    launch("ScatterAssign", scatter_rows<Unit, Index>,
           grid(count * job.row_bytes / static_cast<std::int64_t>(sizeof(Unit))), job,
           reinterpret_cast<const Unit*>(slices), reinterpret_cast<Unit*>(y));
  });
}

void run(const NoParams&, const Call& call) {
  const Tensor& x = call.input(0);
  ScatterAssign::check_slices(x.shape(), call.input(1).shape(), call.input(2).shape());
  if (call.output(0).raw() != x.raw()) {
    CopyList copies("ScatterAssign: X", stream_of(call));
    copies.add({device_bytes_in(call, 0), device_bytes_out(call, 0), 0, 0, x.bytes(), 1});
    copies.run();
  }
  if (call.input(1).dtype() == DType::int32)
    scatter<std::int32_t>(call);
  else
    scatter<std::int64_t>(call);
}

Prepared prepare(const NoParams&, const CallSite& site) {
  Scratch scratch;
  (void)scratch.take<int>(site.inputs[0].shape[0]);
  Prepared prepared;
  prepared.accumulates = 0;
  prepared.scratch_bytes = scratch.bytes();
  return prepared;
}

std::string reject(const NoParams&, const CallSite& site) {
  return site.inputs[1].shape.size() < kNobody ? "" : "takes less than 2^31 - 1 indices";
}

void report(const NoParams&, const CallSite&, const DeviceFault& fault) {
  ScatterAssign::check_index(fault.row, static_cast<std::int64_t>(fault.found),
                             static_cast<std::int64_t>(fault.wanted));
}

}  // namespace

template <>
Kernels<ScatterAssign> kernels<ScatterAssign, Backend::cuda>() {
  return {{.name = "copy", .reject = reject, .run = run, .prepare = prepare, .report = report}};
}

}  // namespace d2deploy
