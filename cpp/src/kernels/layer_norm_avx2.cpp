#include "kernels/layer_norm.h"

#include "kernels/layer_norm_simd.h"

namespace d2deploy {

void layer_norm_avx2(const LayerNormTask& task, std::int64_t begin, std::int64_t end) {
  normalise_rows(task, begin, end);
}

}  // namespace d2deploy
