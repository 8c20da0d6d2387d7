#include "core/threads.h"
#include "kernels/gelu.h"
#include "operators/gelu/gelu.h"
#include "operators/map/map_cpu.h"

namespace d2deploy {

namespace {

std::string reject(const Gelu::Params& p, const CallSite&) {
  return p.fast_gelu ? "fast_gelu is a hyperbolic tangent" : "";
}

void run(const Gelu::Params&, const Call& call) {
  const float* x = call.in<float>(0);
  float* y = call.out<float>(0);
  parallel_for(call.input(0).size(), 1 << 14,
               [&](std::int64_t begin, std::int64_t end) { gelu_f32(x + begin, end - begin, y + begin); });
}

}  // namespace

template <>
Kernels<Gelu> kernels<Gelu, Backend::cpu>() {
  return {{.name = "vectors_f32", .reject = reject, .run = run},
          {.name = "loop", .reject = accepts_all<Gelu>, .run = run_map<Gelu>, .takes = Takes::any_real}};
}

}  // namespace d2deploy
