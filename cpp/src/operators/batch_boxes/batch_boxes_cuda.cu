#include "kernels/batch_splits.h"
#include "kernels/boxes.h"
#include "operators/batch_boxes/batch_boxes.h"
#include "operators/device_call.h"

namespace d2deploy {

namespace {

using namespace simt;

struct Job {
  const float *boxes, *splits;
  DeviceRows rows;
  std::int64_t images;
  float* rois;
  DeviceFault* fault;
};

SIMT_KERNEL check_splits_of(Job job) {
  const std::int64_t rows = job.rows.count();
  const SplitFault found = find_split_fault(job.splits, job.images, rows);
  if (found.kind != SplitFault::none) *job.fault = {found.kind, found.index, found.found, static_cast<double>(rows)};
}

SIMT_KERNEL batch_boxes(Job job) {
  if (job.fault->code != 0) return;  // the splits are not to be trusted
  for (std::int64_t row = first_item(); row < job.rows.count(); row += item_step()) {
    std::int64_t image = 0, end = static_cast<std::int64_t>(job.splits[0]);
    while (row >= end) end += static_cast<std::int64_t>(job.splits[++image]);
    job.rois[row * 5] = static_cast<float>(image);
    store_box(load_box(job.boxes + row * 4), job.rois + row * 5 + 1);
  }
}

void run(const NoParams&, const Call& call) {
  const Job job{device_in<float>(call, 0), device_in<float>(call, 1),  rows_of_input(call, 0),
                call.input(1).dim(0),      device_out<float>(call, 0), call.fault};
  launch("BatchBoxes: check", check_splits_of, {1, 1, 0, stream_of(call)}, job);
  constexpr unsigned kThreads = 128;
  launch("BatchBoxes", batch_boxes, {blocks_for(job.rows.most, kThreads), kThreads, 0, stream_of(call)}, job);
}

void report(const NoParams&, const CallSite&, const DeviceFault& fault) {
  const SplitFault found{static_cast<SplitFault::Kind>(fault.code), fault.row, fault.found};
  check_split_fault(BatchBoxes::signature.type, found, static_cast<std::int64_t>(fault.wanted));
}

}  // namespace

template <>
Kernels<BatchBoxes> kernels<BatchBoxes, Backend::cuda>() {
  return {{"loop_f32", accepts_all<BatchBoxes>, run, nullptr, nullptr, DType::float32, report}};
}

}  // namespace d2deploy
