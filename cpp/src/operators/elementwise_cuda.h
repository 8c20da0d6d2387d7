// The kernel of operators that compute every element from those in its place, on a GPU.
#pragma once
#include "operators/device_call.h"

namespace d2deploy {

template <class T, class F>
SIMT_KERNEL map_elements(const T* x, T* y, DeviceRows rows, std::int64_t row_size, F f) {
  const std::int64_t count = rows.count() * row_size;
  for (std::int64_t i = simt::first_item(); i < count; i += simt::item_step()) y[i] = f(x[i]);
}

/// Y = f(X), where X holds elements of type T. Y may be X.
template <class T, class F>
void launch_map(const char* name, const Call& call, F f) {
  const std::int64_t count = call.input(0).size();
  if (count == 0) return;
  DeviceRows rows{1};
  if (call.input(0).shape().rank() > 0) rows = rows_of_input(call, 0);
  constexpr unsigned kThreads = 256;
  simt::launch(name, map_elements<T, F>, {simt::blocks_for(count, kThreads), kThreads, 0, stream_of(call)},
               device_in<T>(call, 0), device_out<T>(call, 0), rows, count / rows.most, f);
}

}  // namespace d2deploy
