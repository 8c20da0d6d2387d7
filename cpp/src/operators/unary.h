// The loop of operators with one input and one output of its type, element by element.
#pragma once
#include "core/threads.h"
#include "operators/operator.h"

namespace d2deploy {

/// Y = f(X), where X holds elements of type T. Y may be X.
template <class T, class F>
void for_each_element(const Call& call, F f) {
  const T* x = call.in<T>(0);
  T* y = call.out<T>(0);
  parallel_for(call.input(0).size(), 1 << 14, [&](std::int64_t begin, std::int64_t end) {
#pragma GCC ivdep
    for (std::int64_t i = begin; i < end; ++i) y[i] = f(x[i]);
  });
}

}  // namespace d2deploy
