// The portable kernel of operators that compute every element from the one in its place, by `Op::of`.
#pragma once
#include "core/element_type.h"
#include "core/threads.h"
#include "operators/operator.h"

namespace d2deploy {

template <class Op>
void run_map(const typename Op::Params& p, const Call& call) {
  with_real_type(call.input(0).dtype(), [&]<class T>(T) {
    const T* x = call.in<T>(0);
    T* y = call.out<T>(0);
    parallel_for(call.input(0).size(), 1 << 13, [&](std::int64_t begin, std::int64_t end) {
      for (std::int64_t i = begin; i < end; ++i) y[i] = static_cast<T>(Op::of(p, static_cast<float>(x[i])));
    });
  });
}

template <class Op>
Kernels<Op> map_cpu_kernels() {
  return {{.name = "loop", .reject = accepts_all<Op>, .run = run_map<Op>, .takes = Takes::any_real}};
}

}  // namespace d2deploy
