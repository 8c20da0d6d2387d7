#include "operators/batch_permutation/batch_permutation.h"

#include <cstring>

#include "core/threads.h"

namespace d2deploy {

namespace {

// The first dimension is the outermost in every layout.
void run(const NoParams&, const Call& call) {
  const std::int64_t rows = call.input(0).dim(0);
  BatchPermutation::check_rows(rows, call.input(1).shape());
  if (rows == 0) return;
  const std::int64_t row_bytes = call.input(0).bytes() / rows;
  const auto* x = static_cast<const std::byte*>(call.input(0).raw());
  auto* y = static_cast<std::byte*>(call.output(0).raw());
  const auto* indices = call.in<std::int32_t>(1);
  constexpr std::int64_t kGrainBytes = 1 << 16;
  parallel_for(rows, kGrainBytes / (row_bytes + 1) + 1, [&](std::int64_t begin, std::int64_t end) {
    for (std::int64_t i = begin; i < end; ++i) {
      BatchPermutation::check_index(i, indices[i], rows);
      std::memcpy(y + i * row_bytes, x + indices[i] * row_bytes, static_cast<std::size_t>(row_bytes));
    }
  });
}

}  // namespace

template <>
Kernels<BatchPermutation> kernels<BatchPermutation, Backend::cpu>() {
  return {{"copy", accepts_all<BatchPermutation>, run}};
}

}  // namespace d2deploy
