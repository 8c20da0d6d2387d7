#include "kernels/axis_runs.h"
#include "kernels/simt/move.h"
#include "operators/first_fault_cuda.h"
#include "operators/gather/gather.h"

namespace d2deploy {

namespace {

using namespace simt;

template <class Index>
struct Job {
  const Index* indices;
  DeviceRows index_rows;
  std::int64_t indices_per_row;
  DeviceRows size;  // of the dimension that is picked from
  bool wraps;
  std::int64_t outer, run_bytes;

  SIMT_DEVICE std::int64_t places() const { return index_rows.count() * indices_per_row; }
  SIMT_DEVICE bool is_fault(std::int64_t i) const {
    const std::int64_t least = wraps ? -size.count() : 0;
    return indices[i] < least || indices[i] >= size.count();
  }
  SIMT_DEVICE DeviceFault fault(std::int64_t i) const {
    return {1, i, static_cast<double>(indices[i]), static_cast<double>(size.count())};
  }
};

template <class Unit, class Index>
SIMT_KERNEL gather_runs(Job<Index> job, const Unit* x, Unit* y) {
  const std::int64_t units = job.run_bytes / static_cast<std::int64_t>(sizeof(Unit));
  const std::int64_t most = job.index_rows.most * job.indices_per_row, places = job.places();
  for (std::int64_t i = first_item(); i < job.outer * most * units; i += item_step()) {
    const std::int64_t run = quotient(i, units), outer = quotient(run, most), place = run - outer * most;
    if (place >= places || job.is_fault(place)) continue;  // a fault was found before
    const auto index = static_cast<std::int64_t>(job.indices[place]);
    const std::int64_t from = outer * job.size.most + (index < 0 ? index + job.size.count() : index);
    y[i] = x[from * units + i - run * units];
  }
}

template <class Index>
void gather(const Gather::Params& p, const Call& call) {
  const Tensor &x = call.input(0), &indices = call.input(1);
  const auto axis = canonical_axis("Gather", p.axis, x.shape().rank());
  const auto runs = axis_runs(x.type(), axis);
  const std::int64_t count = indices.size();
  DeviceRows rows{1};
  if (indices.shape().rank() > 0) rows = rows_of_input(call, 1);
  DeviceRows size{runs.length};
  if (axis == 0) size = rows_of_input(call, 0);
  const Job<Index> job{device_in<Index>(call, 1), rows,       count / rows.most, size,
                       Gather::wraps(p),          runs.outer, runs.run_bytes};
  launch_find_first_fault("Gather: find_first_fault", call, job);
  const std::byte* from = device_bytes_in(call, 0);
  std::byte* to = device_bytes_out(call, 0);
  with_unit(address(from) | address(to) | static_cast<std::uintptr_t>(runs.run_bytes), [&]<class Unit>(Unit) {
    const std::int64_t units = runs.outer * count * (runs.run_bytes / static_cast<std::int64_t>(sizeof(Unit)));
    launch("Gather", gather_runs<Unit, Index>, {blocks_for(units, kMoveThreads), kMoveThreads, 0, stream_of(call)}, job,
           reinterpret_cast<const Unit*>(from), reinterpret_cast<Unit*>(to));
  });
}

void run(const Gather::Params& p, const Call& call) {
  if (call.output(0).size() == 0) return;
  if (call.input(1).dtype() == DType::int32)
    gather<std::int32_t>(p, call);
  else
    gather<std::int64_t>(p, call);
}

void report(const Gather::Params& p, const CallSite&, const DeviceFault& fault) {
  Gather::check_index(p, fault.row, static_cast<std::int64_t>(fault.found), static_cast<std::int64_t>(fault.wanted));
}

}  // namespace

template <>
Kernels<Gather> kernels<Gather, Backend::cuda>() {
  return {{.name = "copy", .reject = accepts_all<Gather>, .run = run, .report = report}};
}

}  // namespace d2deploy
