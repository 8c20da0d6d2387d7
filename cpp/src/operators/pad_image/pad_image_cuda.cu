#include <cstring>

#include "kernels/simt/move.h"
#include "operators/device_call.h"
#include "operators/pad_image/pad_image.h"

namespace d2deploy {

namespace {

using namespace simt;

// A plane holds cells: elements that lie together at one place.
template <class Cell>
struct Job {
  const Cell* x;
  Cell* y;
  Cell value;
  PadImage::Mode mode;
  std::int64_t planes, cell, height, width, out_height, out_width, pad_top, pad_left;
};

template <class Cell>
SIMT_KERNEL pad_cells(Job<Cell> job) {
  const std::int64_t count = job.planes * job.out_height * job.out_width * job.cell;
  for (std::int64_t i = first_item(); i < count; i += item_step()) {
    const std::int64_t place = quotient(i, job.cell), line = quotient(place, job.out_width);
    const std::int64_t plane = quotient(line, job.out_height);
    const std::int64_t row = PadImage::source(job.mode, line - plane * job.out_height - job.pad_top, job.height);
    const std::int64_t column = PadImage::source(job.mode, place - line * job.out_width - job.pad_left, job.width);
    const bool inside = row != PadImage::kNone && column != PadImage::kNone;
    job.y[i] =
        inside ? job.x[((plane * job.height + row) * job.width + column) * job.cell + i - place * job.cell] : job.value;
  }
}

// As many elements of T as make up a unit of memory.
template <class T, class Unit>
Unit repeated(T value) {
  static_assert(sizeof(Unit) % sizeof(T) == 0);
  Unit unit;
  for (std::size_t i = 0; i < sizeof(Unit); i += sizeof(T))
    std::memcpy(reinterpret_cast<std::byte*>(&unit) + i, &value, sizeof(T));
  return unit;
}

template <class T>
void run_typed(const PadImage::Params& p, const Call& call) {
  const TensorType &in = call.input(0).type(), &out = call.output(0).type();
  const Window w = PadImage::pads(p);
  const bool last = in.layout == Layout::channels_last;
  const T* x = device_in<T>(call, 0);
  T* y = device_out<T>(call, 0);
  const auto cell_bytes = static_cast<std::int64_t>(sizeof(T)) * (last ? in.shape[1] : 1);
  with_unit(address(x) | address(y) | static_cast<std::uintptr_t>(cell_bytes), [&]<class Unit>(Unit) {
    if constexpr (sizeof(Unit) >= sizeof(T)) {
      const Job<Unit> job{reinterpret_cast<const Unit*>(x),
                          reinterpret_cast<Unit*>(y),
                          repeated<T, Unit>(T(p.value)),
                          PadImage::mode(p),
                          last ? in.shape[0] : in.shape[0] * in.shape[1],
                          cell_bytes / static_cast<std::int64_t>(sizeof(Unit)),
                          in.shape[2],
                          in.shape[3],
                          out.shape[2],
                          out.shape[3],
                          w.pad_t,
                          w.pad_l};
      const std::int64_t units = out.bytes() / static_cast<std::int64_t>(sizeof(Unit));
      launch("PadImage", pad_cells<Unit>, {blocks_for(units, kMoveThreads), kMoveThreads, 0, stream_of(call)}, job);
    }
  });
}

void run(const PadImage::Params& p, const Call& call) {
  if (call.output(0).size() == 0) return;
  with_real_type(call.input(0).dtype(), [&]<class T>(T) { run_typed<T>(p, call); });
}

}  // namespace

template <>
Kernels<PadImage> kernels<PadImage, Backend::cuda>() {
  return {{.name = "cells", .reject = accepts_all<PadImage>, .run = run, .takes = Takes::any_real}};
}

}  // namespace d2deploy
