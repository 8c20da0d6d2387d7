#include "operators/cast/cast.h"

#include "kernels/simt/move.h"
#include "operators/device_call.h"

namespace d2deploy {

namespace {

using namespace simt;

template <class From, class To>
SIMT_KERNEL cast_elements(const From* x, To* y, DeviceRows rows, std::int64_t row_size) {
  const std::int64_t count = rows.count() * row_size;
  for (std::int64_t i = first_item(); i < count; i += item_step()) {
    if constexpr (kReal<From>)
      y[i] = Cast::convert<To>(to_float(x[i]));
    else
      y[i] = Cast::convert<To>(x[i]);
  }
}

void run(const Cast::Params&, const Call& call) {
  const std::int64_t count = call.input(0).size();
  if (count == 0) return;
  const DeviceRows rows = call.input(0).shape().rank() > 0 ? rows_of_input(call, 0) : DeviceRows{1};
  with_element_type(call.input(0).dtype(), [&]<class From>(From) {
    with_element_type(call.output(0).dtype(), [&]<class To>(To) {
      if constexpr (!kReal<To> || std::is_same_v<To, float>)  // no Cast makes the others
        launch("Cast", cast_elements<From, To>, {blocks_for(count, kMoveThreads), kMoveThreads, 0, stream_of(call)},
               device_in<From>(call, 0), device_out<To>(call, 0), rows, count / rows.most);
    });
  });
}

}  // namespace

template <>
Kernels<Cast> kernels<Cast, Backend::cuda>() {
  return {{"elements", accepts_all<Cast>, run}};
}

}  // namespace d2deploy
