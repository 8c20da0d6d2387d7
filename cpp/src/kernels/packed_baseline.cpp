#include "kernels/packed_simd.h"

namespace d2deploy {

const PackedLoops& packed_baseline() {
  static constexpr PackedLoops loops = packed_loops_of<RegistersBaseline>("baseline");
  return loops;
}

}  // namespace d2deploy
