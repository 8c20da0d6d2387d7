#include "operators/affine_channel/affine_channel.h"

#include "kernels/scale_shift.h"

namespace d2deploy {

namespace {

void run(const AffineChannel::Params&, const Call& call) {
  scale_shift(Maps::of(call.input(0).type()), {call.in<float>(1), call.in<float>(2)}, call.in<float>(0),
              call.out<float>(0));
}

}  // namespace

template <>
Kernels<AffineChannel> kernels<AffineChannel, Backend::cpu>() {
  return {{"scale_shift_f32", accepts_all<AffineChannel>, run}};
}

}  // namespace d2deploy
