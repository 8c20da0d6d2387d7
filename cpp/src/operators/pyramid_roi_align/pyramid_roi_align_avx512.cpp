#include "operators/pyramid_roi_align/pyramid_pooling.h"

namespace d2deploy {

template <>
Kernels<PyramidRoIAlign> kernels<PyramidRoIAlign, Backend::avx512>() {
  return {
      {"separable_f32_avx512", [](const PyramidRoIAlign::Params&, const CallSite& site) { return reject_avx512(site); },
       [](const PyramidRoIAlign::Params& p, const Call& call) {
         run_separable(p, call, pool_bin_channels_last_avx512);
       },
       prepare_separable},
      {"separable_int8_avx512",
       [](const PyramidRoIAlign::Params&, const CallSite& site) { return reject_avx512(site); },
       [](const PyramidRoIAlign::Params& p, const Call& call) {
         run_separable(p, call, has_sign(call) ? pool_bin_s8_avx512 : pool_bin_u8_avx512);
       },
       prepare_separable, nullptr, DType::int8}};
}

}  // namespace d2deploy
