#include "operators/nchw2nhwc/nchw2nhwc.h"

#include "kernels/reorder.h"

namespace d2deploy {

template <>
Kernels<NCHW2NHWC> kernels<NCHW2NHWC, Backend::cpu>() {
  return {{"transpose", accepts_all<NCHW2NHWC>, [](const NoParams&, const Call& call) {
             const Shape& x = call.input(0).shape();
             // In memory it is a change of layout, whatever dimensions an image has.
             const Shape images{x[0], x[1], x.size(2, x.rank()), 1};
             reorder({call.input(0).dtype(), images, Layout::row_major}, call.input(0).raw(), Layout::channels_last,
                     call.output(0).raw());
           }}};
}

}  // namespace d2deploy
