#include "operators/affine_channel/affine_channel.h"

#include "operators/scale_shift_cuda.h"

namespace d2deploy {

template <>
Kernels<AffineChannel> kernels<AffineChannel, Backend::cuda>() {
  return {{"scale_shift_f32", accepts_all<AffineChannel>, [](const AffineChannel::Params&, const Call& call) {
             launch_scale_shift("AffineChannel", Maps::of(call.input(0).type()),
                                {device_in<float>(call, 1), device_in<float>(call, 2)}, device_in<float>(call, 0),
                                device_out<float>(call, 0), stream_of(call));
           }}};
}

}  // namespace d2deploy
