#include "operators/nhwc2nchw/nhwc2nchw.h"

#include "kernels/simt/move.h"
#include "operators/device_call.h"

namespace d2deploy {

namespace {

void run(const NoParams&, const Call& call) {
  const Shape& x = call.input(0).shape();
  const simt::Matrices images{x[0], x.size(1, x.rank() - 1), x[x.rank() - 1]};
  with_element_bytes(call.input(0).dtype(), [&]<class T>(T) {
    simt::launch_transpose("NHWC2NCHW", reinterpret_cast<const T*>(device_bytes_in(call, 0)),
                           reinterpret_cast<T*>(device_bytes_out(call, 0)), images, stream_of(call));
  });
}

}  // namespace

template <>
Kernels<NHWC2NCHW> kernels<NHWC2NCHW, Backend::cuda>() {
  return {{"transpose", accepts_all<NHWC2NCHW>, run}};
}

}  // namespace d2deploy
