#include "operators/reshape/reshape.h"

namespace d2deploy {

namespace {

// Y is a view, so that only the old shape is to be written.
void run(const Reshape::Params&, const Call& call) {
  const Shape& x = call.input(0).shape();
  if (call.output(1).dtype() == DType::int32)
    std::transform(x.begin(), x.end(), call.out<std::int32_t>(1), [](auto d) { return static_cast<std::int32_t>(d); });
  else
    std::copy(x.begin(), x.end(), call.out<std::int64_t>(1));
}

}  // namespace

template <>
Kernels<Reshape> kernels<Reshape, Backend::cpu>() {
  return {{"old_shape", accepts_all<Reshape>, run}};
}

}  // namespace d2deploy
