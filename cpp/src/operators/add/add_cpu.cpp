#include "operators/add/add.h"

namespace d2deploy {

namespace {

struct Sum {
  template <class T>
  T operator()(T a, T b) const {
    return wrapping(a, b, [](auto x, auto y) { return x + y; });
  }
};

}  // namespace

template <>
Kernels<Add> kernels<Add, Backend::cpu>() {
  return binary_kernels<Add, Sum>();
}

}  // namespace d2deploy
