#include "kernels/winograd_simd.h"

namespace d2deploy {

const WinogradLoops& winograd_avx512() {
  static constexpr WinogradLoops loops = winograd_loops_of<RegistersAvx512>(packed_avx512);
  return loops;
}

}  // namespace d2deploy
