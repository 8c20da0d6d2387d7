// The packed loops of every instruction set that this CPU has.
#pragma once
#include <vector>

#include "kernels/instruction_sets.h"
#include "kernels/packed.h"

namespace d2deploy {

inline std::vector<const PackedLoops*> all_packed_loops() {
  std::vector<const PackedLoops*> all{&packed_baseline()};
#if defined(__x86_64__)
  if (has_avx2()) all.push_back(&packed_avx2());
  if (has_avx512()) all.push_back(&packed_avx512());
#endif
  return all;
}

}  // namespace d2deploy
