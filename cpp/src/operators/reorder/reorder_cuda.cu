#include "operators/reorder/reorder.h"

#include "kernels/simt/move.h"
#include "operators/device_call.h"

namespace d2deploy {

namespace {

// An image is a matrix, (C, H*W) in row-major and (H*W, C) in channels-last layout.
template <class From, class To>
void reorder(const Call& call) {
  const TensorType &x = call.input(0).type(), &y = call.output(0).type();
  const auto* from = static_cast<const From*>(call.input(0).raw());
  auto* to = static_cast<To*>(call.output(0).raw());
  if (x.layout == y.layout) return simt::launch_convert("Reorder", from, to, x.shape.size(), stream_of(call));
  const std::int64_t channels = x.shape[1], pixels = x.shape[2] * x.shape[3];
  const bool last = y.layout == Layout::channels_last;
  simt::launch_transpose("Reorder", from, to, {x.shape[0], last ? channels : pixels, last ? pixels : channels},
                         stream_of(call));
}

void run(const Reorder::Params&, const Call& call) {
  const DType from = call.input(0).dtype(), to = call.output(0).dtype();
  (void)device_bytes_in(call, 0), (void)device_bytes_out(call, 0);
  if (from == to) return with_element_bytes(from, [&]<class T>(T) { reorder<T, T>(call); });
  with_real_type(from, [&]<class From>(From) {
    with_real_type(to, [&]<class To>(To) {
      if constexpr (!std::is_same_v<From, To>) reorder<From, To>(call);
    });
  });
}

std::string reject(const Reorder::Params&, const CallSite& site) {
  const DType x = site.inputs[0].dtype, y = site.outputs[0].dtype;
  return x == y || (is_real(x) && is_real(y)) ? "" : "takes no quantised numbers to convert";
}

}  // namespace

template <>
Kernels<Reorder> kernels<Reorder, Backend::cuda>() {
  return {{"transpose", reject, run}};
}

}  // namespace d2deploy
