#include "operators/nchw2nhwc/nchw2nhwc.h"

#include "kernels/simt/move.h"
#include "operators/device_call.h"

namespace d2deploy {

namespace {

void run(const NoParams&, const Call& call) {
  const Shape& x = call.input(0).shape();
  const simt::Matrices images{x[0], x[1], x.size(2, x.rank())};
  with_element_bytes(call.input(0).dtype(), [&]<class T>(T) {
    simt::launch_transpose("NCHW2NHWC", reinterpret_cast<const T*>(device_bytes_in(call, 0)),
                           reinterpret_cast<T*>(device_bytes_out(call, 0)), images, stream_of(call));
  });
}

}  // namespace

template <>
Kernels<NCHW2NHWC> kernels<NCHW2NHWC, Backend::cuda>() {
  return {{"transpose", accepts_all<NCHW2NHWC>, run}};
}

}  // namespace d2deploy
