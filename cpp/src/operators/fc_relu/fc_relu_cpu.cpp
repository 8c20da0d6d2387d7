#include "operators/fc_relu/fc_relu.h"

namespace d2deploy {

template <>
std::vector<KernelOf<FCRelu>> kernels<FCRelu, Backend::cpu>() {
  return {{"tiles_f32", accepts_all<FCRelu>,
           [](const FCParams& p, const Call& call) { run_fc("FCRelu", p, call, true); },
           [](const FCParams& p, const CallSite& site) { return prepare_fc("FCRelu", p, site); }}};
}

}  // namespace d2deploy
