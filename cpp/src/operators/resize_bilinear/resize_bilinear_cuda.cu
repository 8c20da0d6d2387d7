#include "core/element_type.h"
#include "operators/resize_bilinear/resize_bilinear.h"
#include "operators/stretch_cuda.h"

namespace d2deploy {

namespace {

// The scales made the size of Y and do nothing else.
void run(const ResizeBilinear::Params&, const Call& call) {
  const Tensor &x = call.input(0), &y = call.output(0);
  with_real_type(x.dtype(), [&]<class T>(T) {
    launch_fill<T>("ResizeBilinear", call,
                   Stretched<T>{device_map<const T>(x), StretchAxis::of_corners(x.dim(2), y.dim(2)),
                                StretchAxis::of_corners(x.dim(3), y.dim(3)), false});
  });
}

}  // namespace

template <>
Kernels<ResizeBilinear> kernels<ResizeBilinear, Backend::cuda>() {
  return {{.name = "direct",
           .reject = [](const ResizeBilinear::Params&, const CallSite& site) { return reject_large_images(site); },
           .run = run,
           .takes = Takes::any_real}};
}

}  // namespace d2deploy
