#include "operators/div/div.h"

namespace d2deploy {

namespace {

struct Quotient {
  float operator()(float a, float b) const { return a / b; }
  template <class T>
  T operator()(T a, T b) const {
    Div::check_divisor(b != 0);
    if (b == -1) return wrapping(T{0}, a, [](auto x, auto y) { return x - y; });  // the least integer wraps around
    return a / b;
  }
};

}  // namespace

template <>
Kernels<Div> kernels<Div, Backend::cpu>() {
  return binary_kernels<Div, Quotient>();
}

}  // namespace d2deploy
