#include "operators/sub/sub.h"

namespace d2deploy {

namespace {

struct Difference {
  template <class T>
  T operator()(T a, T b) const {
    return wrapping(a, b, [](auto x, auto y) { return x - y; });
  }
};

}  // namespace

template <>
Kernels<Sub> kernels<Sub, Backend::cpu>() {
  return binary_kernels<Sub, Difference>();
}

}  // namespace d2deploy
