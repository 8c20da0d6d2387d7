#include "operators/nhwc2nchw/nhwc2nchw.h"

#include "kernels/reorder.h"

namespace d2deploy {

template <>
Kernels<NHWC2NCHW> kernels<NHWC2NCHW, Backend::cpu>() {
  return {{"transpose", accepts_all<NHWC2NCHW>, [](const NoParams&, const Call& call) {
             const Shape& x = call.input(0).shape();
             // In memory it is a change of layout, whatever dimensions an image has.
             const Shape images{x[0], x[x.rank() - 1], x.size(1, x.rank() - 1), 1};
             reorder({call.input(0).dtype(), images, Layout::channels_last}, call.input(0).raw(), Layout::row_major,
                     call.output(0).raw());
           }}};
}

}  // namespace d2deploy
