// The kernel for GPUs of operators that compute every element from the one in its place, by `Op::of`.
#pragma once
#include "operators/elementwise_cuda.h"

namespace d2deploy {

template <class Op>
struct MapOf {
  typename Op::Params params;
  SIMT_DEVICE float operator()(float x) const { return Op::of(params, x); }
};

template <class Op>
Kernels<Op> map_cuda_kernels() {
  return {{.name = "map",
           .reject = accepts_all<Op>,
           .run = [](const typename Op::Params& p,
                     const Call& call) { launch_real_map(Op::signature.type, call, MapOf<Op>{p}); },
           .takes = Takes::any_real}};
}

}  // namespace d2deploy
