#include "operators/batch_permutation/batch_permutation.h"

#include "kernels/simt/move.h"
#include "operators/first_fault_cuda.h"

namespace d2deploy {

namespace {

using namespace simt;

enum Fault : std::int32_t { kNone, kRows, kIndex };

struct Job {
  const std::int32_t* indices;
  DeviceRows index_rows, rows;
  std::int64_t row_bytes;

  SIMT_DEVICE bool rows_differ() const { return index_rows.count() != rows.count(); }
  SIMT_DEVICE bool is_index(std::int64_t i) const { return indices[i] >= 0 && indices[i] < rows.count(); }
  // Other numbers of rows are the fault of the first place.
  SIMT_DEVICE std::int64_t places() const { return rows_differ() ? 1 : rows.count(); }
  SIMT_DEVICE bool is_fault(std::int64_t i) const { return rows_differ() || !is_index(i); }
  SIMT_DEVICE DeviceFault fault(std::int64_t i) const {
    const std::int32_t code = rows_differ() ? kRows : kIndex;
    const auto found = static_cast<double>(code == kRows ? index_rows.count() : indices[i]);
    return {code, i, found, static_cast<double>(rows.count())};
  }
};

template <class Unit>
SIMT_KERNEL permute_rows(Job job, const Unit* x, Unit* y) {
  const std::int64_t units = job.row_bytes / static_cast<std::int64_t>(sizeof(Unit));
  for (std::int64_t i = first_item(); i < job.index_rows.count() * units; i += item_step()) {
    const std::int64_t row = quotient(i, units);
    if (job.is_index(row)) y[i] = x[job.indices[row] * units + i - row * units];
  }
}

void run(const NoParams&, const Call& call) {
  const std::int64_t most = call.input(0).dim(0);
  const Job job{device_in<std::int32_t>(call, 1), rows_of_input(call, 1), rows_of_input(call, 0),
                most == 0 ? 0 : call.input(0).bytes() / most};
  launch_find_first_fault("BatchPermutation: find_first_fault", call, job);
  const std::int64_t bytes = job.row_bytes * job.index_rows.most;
  if (bytes == 0) return;
  const std::byte* x = device_bytes_in(call, 0);
  std::byte* y = device_bytes_out(call, 0);
  with_unit(address(x) | address(y) | static_cast<std::uintptr_t>(job.row_bytes), [&]<class Unit>(Unit) {
    const unsigned blocks = blocks_for(bytes / static_cast<std::int64_t>(sizeof(Unit)), kMoveThreads);
    launch("BatchPermutation", permute_rows<Unit>, {blocks, kMoveThreads, 0, stream_of(call)}, job,
           reinterpret_cast<const Unit*>(x), reinterpret_cast<Unit*>(y));
  });
}

void report(const NoParams&, const CallSite&, const DeviceFault& fault) {
  const auto found = static_cast<std::int64_t>(fault.found), rows = static_cast<std::int64_t>(fault.wanted);
  if (fault.code == kRows) BatchPermutation::check_rows(rows, {found});
  BatchPermutation::check_index(fault.row, found, rows);
}

}  // namespace

template <>
Kernels<BatchPermutation> kernels<BatchPermutation, Backend::cuda>() {
  return {{.name = "copy", .reject = accepts_all<BatchPermutation>, .run = run, .report = report}};
}

}  // namespace d2deploy
