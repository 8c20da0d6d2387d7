#include "operators/cast/cast.h"

#include "core/element_type.h"
#include "core/threads.h"

namespace d2deploy {

namespace {

template <class To, class From>
To convert(From x) {
  if constexpr (kReal<From> && !std::is_same_v<From, float>)
    return convert<To>(static_cast<float>(x));
  else if constexpr (kReal<To>)
    return static_cast<To>(Cast::convert<float>(x));
  else
    return Cast::convert<To>(x);
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
