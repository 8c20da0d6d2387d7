#include "kernels/winograd_simd.h"

namespace d2deploy {

const WinogradLoops& winograd_baseline() {
  static constexpr WinogradLoops loops = winograd_loops_of<RegistersBaseline>(packed_baseline);
  return loops;
}

}  // namespace d2deploy
