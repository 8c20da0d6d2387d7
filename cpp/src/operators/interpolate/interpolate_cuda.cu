#include "core/element_type.h"
#include "operators/interpolate/interpolate.h"
#include "operators/stretch_cuda.h"

namespace d2deploy {

namespace {

StretchAxis axis(const Interpolate::Params& p, float scale, bool to_size, std::int64_t in, std::int64_t out) {
  if (p.align_corners) return StretchAxis::of_corners(in, out);
  const float step =
      to_size ? static_cast<float>(in) / static_cast<float>(out) : static_cast<float>(1.0 / static_cast<double>(scale));
  return {static_cast<std::int32_t>(in), step, p.mode == "nearest" ? 0.0F : 0.5F};
}

void run(const Interpolate::Params& p, const Call& call) {
  const Tensor &x = call.input(0), &y = call.output(0);
  const bool to_size = call.has_input(1);
  with_real_type(x.dtype(), [&]<class T>(T) {
    launch_fill<T>("Interpolate", call,
                   Stretched<T>{device_map<const T>(x), axis(p, p.height_scale, to_size, x.dim(2), y.dim(2)),
                                axis(p, p.width_scale, to_size, x.dim(3), y.dim(3)), p.mode == "nearest"});
  });
}

}  // namespace

template <>
Kernels<Interpolate> kernels<Interpolate, Backend::cuda>() {
  return {{.name = "direct",
           .reject = [](const Interpolate::Params&, const CallSite& site) { return reject_large_images(site); },
           .run = run,
           .takes = Takes::any_real}};
}

}  // namespace d2deploy
