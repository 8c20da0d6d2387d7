#include "kernels/packed_simd.h"

namespace d2deploy {

const PackedLoops& packed_avx2() {
  static constexpr PackedLoops loops = packed_loops_of<RegistersAvx2>("avx2");
  return loops;
}

}  // namespace d2deploy
