#include "kernels/instruction_sets.h"

namespace d2deploy {

// All that cpp/src/CMakeLists.txt has the compiler use.
bool has_avx2() {
#if defined(__x86_64__)
  return __builtin_cpu_supports("avx2");
#else
  return false;
#endif
}

bool has_avx512() {
#if defined(__x86_64__)
  return __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512vl") &&
         __builtin_cpu_supports("avx512bw") && __builtin_cpu_supports("avx512dq") && __builtin_cpu_supports("fma");
#else
  return false;
#endif
}

// AMX is not asked for: every CPU that has it has this too.
bool has_bfloat16() {
#if defined(__x86_64__)
  return has_avx512() && __builtin_cpu_supports("avx512bf16");
#else
  return false;
#endif
}

std::string refuse_without_avx512() { return has_avx512() ? "" : "the CPU has no AVX-512"; }

}  // namespace d2deploy
