#include "kernels/packed.h"

#include "kernels/instruction_sets.h"

namespace d2deploy {

const PackedLoops& packed_loops() {
#if defined(__x86_64__)
  if (has_avx512()) return packed_avx512();
  if (has_avx2()) return packed_avx2();
#endif
  return packed_baseline();
}

int rank_of_packed_rows() { return has_avx512() ? 0 : 1; }

}  // namespace d2deploy
