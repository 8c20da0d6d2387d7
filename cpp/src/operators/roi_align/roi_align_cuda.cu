#include "operators/roi_align/pooling_cuda.h"
#include "operators/roi_align/roi_align.h"

namespace d2deploy {

namespace {

void run(const RoIAlign::Params& p, const Call& call) {
  if (call.output(0).size() == 0) return;
  with_real_type(call.input(0).dtype(), [&]<class T>(T) {
    PoolingCall<T> job = pooling_call<T>(p.grid(), call, 1);
    job.maps[0] = device_map<T>(call, 0, p.spatial_scale);
    job.level_count = 1;
    launch_pooling("RoIAlign", job, stream_of(call));
  });
}

void report(const RoIAlign::Params&, const CallSite& site, const DeviceFault& fault) {
  (void)image_index(RoIAlign::signature.type, fault.row, static_cast<float>(fault.found), site.inputs[0].shape[0]);
}

}  // namespace

template <>
Kernels<RoIAlign> kernels<RoIAlign, Backend::cuda>() {
  return {{.name = "direct", .reject = accepts_all<RoIAlign>, .run = run, .report = report, .takes = Takes::any_real}};
}

}  // namespace d2deploy
