#include "kernels/winograd_simd.h"

namespace d2deploy {

const WinogradLoops& winograd_avx2() {
  static constexpr WinogradLoops loops = winograd_loops_of<RegistersAvx2>(packed_avx2);
  return loops;
}

}  // namespace d2deploy
