#include "kernels/layer_norm.h"

#include "kernels/instruction_sets.h"
#include "kernels/layer_norm_simd.h"

namespace d2deploy {

void layer_norm(const LayerNormTask& task, std::int64_t begin, std::int64_t end) {
#if defined(__x86_64__)
  if (has_avx512()) return layer_norm_avx512(task, begin, end);
  if (has_avx2()) return layer_norm_avx2(task, begin, end);
#endif
  normalise_rows(task, begin, end);
}

}  // namespace d2deploy
