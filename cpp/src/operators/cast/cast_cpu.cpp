#include "operators/cast/cast.h"

#include <limits>

#include "core/element_type.h"
#include "core/threads.h"

namespace d2deploy {

namespace {

// A float that is beyond the range of an integer has no defined conversion in C++.
template <class T>
T integer(float x) {
  constexpr auto kLow = static_cast<float>(std::numeric_limits<T>::min());
  constexpr auto kHigh = -kLow;  // one past the largest: that itself is no float
  if (x >= kHigh) return std::numeric_limits<T>::max();
  if (x < kLow) return std::numeric_limits<T>::min();
  return x == x ? static_cast<T>(x) : T{0};
}

template <class To, class From>
To convert(From x) {
  if constexpr (std::is_same_v<To, From>)
    return x;
  else if constexpr (kReal<From> && !std::is_same_v<From, float>)
    return convert<To>(static_cast<float>(x));
  else if constexpr (kReal<To>)
    return static_cast<To>(static_cast<float>(x));
  else if constexpr (std::is_same_v<To, bool>)
    return x != From{0};
  else if constexpr (std::is_same_v<From, float> && sizeof(To) == 1)
    return static_cast<To>(integer<std::int32_t>(x));
  else if constexpr (std::is_same_v<From, float>)
    return integer<To>(x);
  else
    return static_cast<To>(x);
}

void run(const Cast::Params&, const Call& call) {
  with_element_type(call.input(0).dtype(), [&]<class From>(From) {
    with_element_type(call.output(0).dtype(), [&]<class To>(To) {
      const From* x = call.in<From>(0);
      To* y = call.out<To>(0);
      parallel_for(call.input(0).size(), 1 << 15, [&](std::int64_t begin, std::int64_t end) {
        for (std::int64_t i = begin; i < end; ++i) y[i] = convert<To>(x[i]);
      });
    });
  });
}

}  // namespace

template <>
Kernels<Cast> kernels<Cast, Backend::cpu>() {
  return {{"loop", accepts_all<Cast>, run}};
}

}  // namespace d2deploy
