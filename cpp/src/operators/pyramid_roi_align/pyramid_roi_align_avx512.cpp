#include "operators/pyramid_roi_align/pyramid_pooling.h"

namespace d2deploy {

namespace {

std::string reject(const PyramidRoIAlign::Params&, const CallSite& site) { return reject_avx512(site); }

template <class T>
void run(const PyramidRoIAlign::Params& p, const Call& call) {
  run_separable<T>(p, call, pool_bin_channels_last_avx512);
}

void run_int8(const PyramidRoIAlign::Params& p, const Call& call) {
  has_sign(call) ? run<std::int8_t>(p, call) : run<std::uint8_t>(p, call);
}

}  // namespace

template <>
Kernels<PyramidRoIAlign> kernels<PyramidRoIAlign, Backend::avx512>() {
  return {{"separable_f32_avx512", reject, run<float>, prepare_separable},
          {.name = "separable_bf16_avx512",
           .reject = reject,
           .run = run<BFloat16>,
           .prepare = prepare_separable,
           .real = DType::bfloat16},
          {.name = "separable_int8_avx512",
           .reject = reject,
           .run = run_int8,
           .prepare = prepare_separable,
           .real = DType::int8}};
}

}  // namespace d2deploy
