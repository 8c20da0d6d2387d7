#include "kernels/convert_simd.h"

namespace d2deploy {

ConvertLoops convert_loops_avx2() {
  constexpr int kBytes = 32;
  return convert_loops_in_vectors<kBytes>("avx2");
}

}  // namespace d2deploy
