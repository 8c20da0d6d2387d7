// The kernel of operators that compute every element from those in its place, on a GPU.
#pragma once
#include <tuple>

#include "core/element_type.h"
#include "kernels/simt/element.h"
#include "operators/device_call.h"

namespace d2deploy {

constexpr unsigned kElementThreads = 256;

/// Whether threads may read and write 16 bytes at once there.
SIMT_HOST_DEVICE inline bool in_vectors(const void* x, const void* y) {
  return ((reinterpret_cast<std::uintptr_t>(x) | reinterpret_cast<std::uintptr_t>(y)) & 15) == 0;
}

template <class T, class F>
SIMT_KERNEL map_elements(const T* x, T* y, DeviceRows rows, std::int64_t row_size, F f) {
  using V = simt::Vector<T>;
  const std::int64_t count = rows.count() * row_size, vectors = in_vectors(x, y) ? count / V::kSize : 0;
  for (std::int64_t i = simt::first_item(); i < vectors; i += simt::item_step()) {
    V v = reinterpret_cast<const V*>(x)[i];
    for (T& value : v.values) value = f(value);
    reinterpret_cast<V*>(y)[i] = v;
  }
  for (std::int64_t i = vectors * V::kSize + simt::first_item(); i < count; i += simt::item_step()) y[i] = f(x[i]);
}

/// Y = f(X), where X holds elements of type T. Y may be X.
template <class T, class F>
void launch_map(const char* name, const Call& call, F f) {
  const std::int64_t count = call.input(0).size();
  if (count == 0) return;
  DeviceRows rows{1};
  if (call.input(0).shape().rank() > 0) rows = rows_of_input(call, 0);
  const unsigned blocks = simt::blocks_for(count / simt::Vector<T>::kSize, kElementThreads);
  simt::launch(name, map_elements<T, F>, {blocks, kElementThreads, 0, stream_of(call)}, device_in<T>(call, 0),
               device_out<T>(call, 0), rows, count / rows.most, f);
}

/// What computes in float32 on real numbers of another type, which are rounded.
template <class F>
struct InFloat {
  F f;
  template <class... T>
  SIMT_DEVICE auto operator()(T... x) const {
    using First = std::tuple_element_t<0, std::tuple<T...>>;
    return simt::from_float<First>(f(simt::to_float(x)...));
  }
};

/// Y = f(X), where X holds real numbers of any type.
template <class F>
void launch_real_map(const char* name, const Call& call, F f) {
  with_real_type(call.input(0).dtype(), [&]<class T>(T) { launch_map<T>(name, call, InFloat<F>{f}); });
}

}  // namespace d2deploy
