#include "operators/scatter_assign/scatter_assign.h"

#include <cstring>

namespace d2deploy {

namespace {

template <class Index>
void scatter(const Call& call) {
  const std::int64_t rows = call.input(0).dim(0), count = call.input(1).size();
  const std::int64_t row_bytes = rows == 0 ? 0 : call.input(0).bytes() / rows;
  const auto* indices = call.in<Index>(1);
  const auto* slices = static_cast<const std::byte*>(call.input(2).raw());
  auto* y = static_cast<std::byte*>(call.output(0).raw());
  for (std::int64_t i = 0; i < count; ++i) {
    ScatterAssign::check_index(i, indices[i], rows);
    std::memcpy(y + indices[i] * row_bytes, slices + i * row_bytes, static_cast<std::size_t>(row_bytes));
  }
}

void run(const NoParams&, const Call& call) {
  const Tensor& x = call.input(0);
  Tensor& y = call.output(0);
  ScatterAssign::check_slices(x.shape(), call.input(1).shape(), call.input(2).shape());
  if (y.raw() != x.raw() && x.size() > 0) std::memcpy(y.raw(), x.raw(), static_cast<std::size_t>(x.bytes()));
  if (call.input(1).dtype() == DType::int32)
    scatter<std::int32_t>(call);
  else
    scatter<std::int64_t>(call);
}

}  // namespace

template <>
Kernels<ScatterAssign> kernels<ScatterAssign, Backend::cpu>() {
  return {{"copy", accepts_all<ScatterAssign>, run, [](const NoParams&, const CallSite&) {
             Prepared prepared;
             prepared.accumulates = 0;
             return prepared;
           }}};
}

}  // namespace d2deploy
