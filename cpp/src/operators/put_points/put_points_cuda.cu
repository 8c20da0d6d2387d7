#include "kernels/simt/move.h"
#include "operators/first_fault_cuda.h"
#include "operators/put_points/put_points.h"

namespace d2deploy {

namespace {

using namespace simt;

struct Job {
  const std::int32_t* at;  // places
  const float* values;
  DeviceRows rows;
  std::int64_t count, channels, cells, width;
  std::int64_t value_columns;
  Strides4 from, to;
  float* y;

  SIMT_DEVICE std::int64_t places() const { return rows.count() * count; }
  SIMT_DEVICE bool is_fault(std::int64_t i) const { return at[i] < 0 || at[i] >= cells; }
  SIMT_DEVICE DeviceFault fault(std::int64_t i) const { return {1, i, static_cast<double>(at[i])}; }
};

// Neighbouring threads take the channels of a place.
SIMT_KERNEL put_points(Job job) {
  for (std::int64_t i = first_item(); i < job.places() * job.channels; i += item_step()) {
    const std::int64_t n = quotient(i, job.channels), c = i - n * job.channels;
    if (job.is_fault(n)) continue;  // it was found before
    const std::int64_t row = quotient(n, job.count), k = n - row * job.count, place = job.at[n];
    const std::int64_t down = quotient(k, job.value_columns), y = quotient(place, job.width);
    job.y[row * job.to.n + c * job.to.c + y * job.to.h + (place - y * job.width) * job.to.w] =
        job.values[row * job.from.n + c * job.from.c + down * job.from.h + (k - down * job.value_columns) * job.from.w];
  }
}

void run(const NoParams&, const Call& call) {
  const Tensor &x = call.input(0), &values = call.input(2);
  if (call.output(0).raw() != x.raw()) {
    CopyList copies("PutPoints: X", stream_of(call));
    copies.add({device_bytes_in(call, 0), device_bytes_out(call, 0), 0, 0, x.bytes(), 1});
    copies.run();
  }
  const Job job{device_in<std::int32_t>(call, 1),
                device_in<float>(call, 2),
                rows_of_input(call, 0),
                call.input(1).dim(1),
                x.dim(1),
                x.dim(2) * x.dim(3),
                x.dim(3),
                values.dim(3),
                strides4(values.type()),
                strides4(call.output(0).type()),
                device_out<float>(call, 0)};
  const std::int64_t items = job.rows.most * job.count * job.channels;
  launch_find_first_fault("PutPoints: find_first_fault", call, job);
  if (items == 0) return;
  launch("PutPoints", put_points, {blocks_for(items, kMoveThreads), kMoveThreads, 0, stream_of(call)}, job);
}

void report(const NoParams&, const CallSite& site, const DeviceFault& fault) {
  PutPoints::check_place(fault.row, static_cast<std::int64_t>(fault.found), site.inputs[0].shape.size(2, 4));
}

}  // namespace

template <>
Kernels<PutPoints> kernels<PutPoints, Backend::cuda>() {
  return {{.name = "copy_f32",
           .reject = accepts_all<PutPoints>,
           .run = run,
           .prepare =
               [](const NoParams&, const CallSite&) {
                 Prepared prepared;
                 prepared.accumulates = 0;
                 return prepared;
               },
           .report = report}};
}

}  // namespace d2deploy
