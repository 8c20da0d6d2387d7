#include "kernels/convert_simd.h"

namespace d2deploy {

ConvertLoops convert_loops_avx512() {
  constexpr int kBytes = 64;
  return convert_loops_in_vectors<kBytes>("avx512");
}

}  // namespace d2deploy
