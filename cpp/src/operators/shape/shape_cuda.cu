#include "operators/shape/shape.h"

#include "operators/write_numbers_cuda.h"

namespace d2deploy {

namespace {

void run(const ShapeOperator::Params& p, const Call& call) {
  const auto count = static_cast<std::size_t>(call.output(0).dim(0));
  write_shape<std::int64_t>("Shape", call, 0, count,
                            [&](std::size_t i) { return p.axes.empty() ? i : static_cast<std::size_t>(p.axes[i]); });
}

}  // namespace

template <>
Kernels<ShapeOperator> kernels<ShapeOperator, Backend::cuda>() {
  return {{"copy", accepts_all<ShapeOperator>, run}};
}

}  // namespace d2deploy
