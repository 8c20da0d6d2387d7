#include "operators/fc/fc_cuda.h"

#include "kernels/simt/narrow.h"
#include "operators/conv_cuda.h"

namespace d2deploy::fc_on_gpu {

namespace {

/// Where an element stands in memory whose index in row-major order is known.
struct FlatOrder {
  bool plain = true;
  std::int64_t channels = 1, height = 1, width = 1;

  explicit FlatOrder(const TensorType& t) : plain(t.layout == Layout::row_major) {
    if (plain) return;
    channels = t.shape[1];
    height = t.shape[2];
    width = t.shape[3];
  }
  SIMT_DEVICE std::int64_t operator()(std::int64_t i) const {
    if (plain) return i;
    const std::int64_t cells = height * width, image = i / (channels * cells), c = i / cells % channels;
    return (image * cells + i % cells) * channels + c;
  }
};

// A row-major matrix that lies in another order, of which columns are summed up.
template <class T>
struct ReorderedOperand {
  const T* data;
  std::int64_t columns;
  FlatOrder order;
  bool deep = true;

  using Line = std::int64_t;
  using Depth = std::int64_t;
  SIMT_DEVICE Line line(std::int64_t i) const { return i * columns; }
  SIMT_DEVICE Depth depth(std::int64_t k) const { return k; }
  SIMT_DEVICE float read(Line line, Depth depth) const { return simt::to_float(data[order(line + depth)]); }
};

template <class Y>
struct ReorderedWriter {
  ProductWriter<Y> in_order;  // with y and columns of the output
  FlatOrder order;

  using Line = std::int64_t;
  SIMT_DEVICE Line line(std::int64_t i) const { return i * in_order.columns; }
  SIMT_DEVICE void write(Line line, std::int64_t j, float sum) const { in_order.write(order(line + j) - j, j, sum); }
  SIMT_DEVICE void move(std::int64_t elements) { in_order.move(elements); }
};

template <class T, class Y>
void multiply(const FCSizes& s, const Call& call, bool relu) {
  const Tensor &x = call.input(0), &w = call.input(1), &y = call.output(0);
  const ProductExtents extents{extent_of_input(call, 0, 0, s.axis),
                               {{s.columns}, 1},
                               extent_of_input(call, 0, s.axis, x.shape().rank()),
                               {{s.depth}, 1}};
  const T* a = device_in<T>(call, 0);
  const float* b = device_in<float>(call, 1);
  const ProductWriter<Y> plain{device_out<Y>(call, 0), s.columns, device_in<float>(call, 2), relu};
  if (fc_reads_in_place(s, x.type(), w.type()) && y.layout() == Layout::row_major)
    return launch_product("FC: direct", call, extents, {}, matrix_operand(a, s.depth, true),
                          matrix_operand(b, s.depth, true), plain);
  launch_product("FC: direct", call, extents, {}, ReorderedOperand<T>{a, s.depth, FlatOrder(x.type())},
                 ReorderedOperand<float>{b, s.depth, FlatOrder(w.type())},
                 ReorderedWriter<Y>{plain, FlatOrder(y.type())});
}

FCSizes sizes_of(const char* type, const FCParams& p, const Call& call) {
  return FCSizes::of(type, p, call.input(0).shape(), call.input(1).shape(), call.input(2).shape());
}

}  // namespace

void run_direct(const char* type, const FCParams& p, const Call& call, bool relu) {
  with_sum_types(call, [&]<class T, class Y>(T, Y) { multiply<T, Y>(sizes_of(type, p, call), call, relu); });
}

std::string reject_narrow(const char* type, const FCParams& p, const CallSite& site) {
  if (auto why = reject_packed_product(type, p, site); !why.empty()) return why;
  const FCSizes s = FCSizes::of(type, p, site);
  if (s.axis == 0) return "takes matrices of several rows";
  const char* why = nullptr;
  with_real_type(site.inputs[0].dtype, [&]<class T>(T) { why = simt::reject_narrow<T>(s.columns, s.depth); });
  return why == nullptr ? std::string() : why;
}

void run_narrow(const char* type, const FCParams& p, const Call& call, bool relu) {
  const Tensor& x = call.input(0);
  if (call.output(0).size() == 0) return;
  if (reinterpret_cast<std::uintptr_t>(x.raw()) % 16 != 0) return run_direct(type, p, call, relu);
  const FCSizes s = sizes_of(type, p, call);
  const Extent rows = extent_of_input(call, 0, 0, s.axis);
  with_sum_types(call, [&]<class T, class Y>(T, Y) {
    const simt::NarrowJob<T, Y> job{
        device_in<T>(call, 0),  device_in<float>(call, 1),   device_in<float>(call, 2), nullptr,
        device_out<Y>(call, 0), static_cast<int>(s.columns), static_cast<int>(s.depth), relu};
    simt::launch_narrow("FC: narrow", job, rows.most(), rows, stream_of(call));
  });
}

}  // namespace d2deploy::fc_on_gpu
