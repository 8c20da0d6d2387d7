#include "core/element_type.h"
#include "kernels/simt/index.h"
#include "operators/first_fault_cuda.h"
#include "operators/own_class/own_class.h"

namespace d2deploy {

namespace {

using namespace simt;

struct Job {
  const float* classes;
  DeviceRows rows;
  std::int64_t class_count, cells, step, of_class;

  SIMT_DEVICE std::int64_t places() const { return rows.count(); }
  SIMT_DEVICE bool is_fault(std::int64_t row) const {
    return !(classes[row] >= 0 && classes[row] < static_cast<float>(class_count));
  }
  SIMT_DEVICE DeviceFault fault(std::int64_t row) const { return {1, row, classes[row]}; }
};

template <class Unit>
SIMT_KERNEL pick(Job job, const Unit* x, Unit* y) {
  for (std::int64_t i = first_item(); i < job.rows.count() * job.cells; i += item_step()) {
    const std::int64_t row = quotient(i, job.cells);
    if (job.is_fault(row)) continue;  // it was found before
    const auto own = static_cast<std::int64_t>(job.classes[row]);
    y[i] = x[row * job.class_count * job.cells + own * job.of_class + (i - row * job.cells) * job.step];
  }
}

void run(const NoParams&, const Call& call) {
  check_class_of_each_row("OwnClass", call);
  const Tensor& x = call.input(0);
  const bool last = x.layout() == Layout::channels_last;
  const std::int64_t cells = x.dim(2) * x.dim(3);
  const Job job{device_in<float>(call, 1), rows_of_input(call, 0), x.dim(1), cells,
                last ? x.dim(1) : 1,       last ? 1 : cells};
  launch_find_first_fault("OwnClass: find_first_fault", call, job);
  if (job.rows.most * cells == 0) return;
  constexpr unsigned kThreads = 256;
  with_element_bytes(x.dtype(), [&]<class Unit>(Unit) {
    launch("OwnClass", pick<Unit>, {blocks_for(job.rows.most * cells, kThreads), kThreads, 0, stream_of(call)}, job,
           reinterpret_cast<const Unit*>(device_bytes_in(call, 0)), reinterpret_cast<Unit*>(device_bytes_out(call, 0)));
  });
}

void report(const NoParams&, const CallSite& site, const DeviceFault& fault) {
  (void)own_class("OwnClass", static_cast<float>(fault.found), fault.row, site.inputs[0].shape[1]);
}

}  // namespace

template <>
Kernels<OwnClass> kernels<OwnClass, Backend::cuda>() {
  return {{.name = "copy", .reject = accepts_all<OwnClass>, .run = run, .report = report, .takes = Takes::any_element}};
}

}  // namespace d2deploy
