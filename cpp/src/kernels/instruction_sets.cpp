#include "kernels/instruction_sets.h"

#if defined(__x86_64__)
#include <cpuid.h>
#endif

#include <cstdlib>
#include <string_view>

#include "core/check.h"

namespace d2deploy {

namespace {

enum class Set { baseline, avx2, avx512 };

// What the environment says, so that one CPU can stand for an older one.
std::string_view allowed() {
  const char* text = std::getenv("D2DEPLOY_INSTRUCTION_SET");
  return text == nullptr ? "" : text;
}

Set most() {
  const std::string_view name = allowed();
  check(name.empty() || name == "avx512" || name == "avx2" || name == "baseline", "D2DEPLOY_INSTRUCTION_SET is '", name,
        "', must be avx512, avx2 or baseline");
  return name == "baseline" ? Set::baseline : name == "avx2" ? Set::avx2 : Set::avx512;
}

#if defined(__x86_64__)
// Not every compiler's __builtin_cpu_supports knows it.
bool has_avx_vnni() {
  constexpr unsigned kFeatures = 7, kMore = 1, kBit = 1U << 4;
  unsigned a = 0, b = 0, c = 0, d = 0;
  return __get_cpuid_count(kFeatures, kMore, &a, &b, &c, &d) != 0 && (a & kBit) != 0;
}
#endif

}  // namespace

// All that cpp/src/CMakeLists.txt has the compiler use.
bool has_avx2() {
#if defined(__x86_64__)
  return most() >= Set::avx2 && __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma");
#else
  return false;
#endif
}

bool has_avx512() {
#if defined(__x86_64__)
  return most() >= Set::avx512 && __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512vl") &&
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

bool has_amx_bfloat16() {
#if defined(__x86_64__)
  return has_bfloat16() && __builtin_cpu_supports("amx-bf16");
#else
  return false;
#endif
}

bool has_vnni() {
#if defined(__x86_64__)
  return (has_avx512() && __builtin_cpu_supports("avx512vnni")) || (has_avx2() && has_avx_vnni());
#else
  return false;
#endif
}

std::string refuse_without_avx512() {
  if (has_avx512()) return "";
  return allowed().empty() ? "the CPU has no AVX-512" : "D2DEPLOY_INSTRUCTION_SET leaves no AVX-512";
}

}  // namespace d2deploy
