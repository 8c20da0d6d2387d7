#include "kernels/packed_simd.h"

namespace d2deploy {

const PackedLoops& packed_avx512() {
  static constexpr PackedLoops loops = packed_loops_of<RegistersAvx512>("avx512");
  return loops;
}

}  // namespace d2deploy
