#include "operators/mul/mul.h"

namespace d2deploy {

namespace {

struct Product {
  template <class T>
  T operator()(T a, T b) const {
    return wrapping(a, b, [](auto x, auto y) { return x * y; });
  }
};

}  // namespace

template <>
Kernels<Mul> kernels<Mul, Backend::cpu>() {
  return binary_kernels<Mul, Product>();
}

}  // namespace d2deploy
