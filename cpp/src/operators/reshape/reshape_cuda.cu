#include "operators/reshape/reshape.h"

#include "operators/write_numbers_cuda.h"

namespace d2deploy {

namespace {

// Y is a view, so that only the old shape is to be written.
void run(const Reshape::Params&, const Call& call) {
  const auto each = [](std::size_t i) { return i; };
  const std::size_t rank = call.input(0).shape().rank();
  if (call.output(1).dtype() == DType::int32)
    write_shape<std::int32_t>("Reshape: old_shape", call, 1, rank, each);
  else
    write_shape<std::int64_t>("Reshape: old_shape", call, 1, rank, each);
}

}  // namespace

template <>
Kernels<Reshape> kernels<Reshape, Backend::cuda>() {
  return {{"old_shape", accepts_all<Reshape>, run}};
}

}  // namespace d2deploy
