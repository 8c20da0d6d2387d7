// What this CPU can do beyond what every one of its kind can. Files that are compiled for more, kernels/*_<set>.cpp,
// hold nothing that the linker could take for the same function of another file: no templates, inline functions or
// classes of the standard library, and no function of ours whose name does not end in the set's. scripts/check_objects
// looks for such.
#pragma once
#include <string>

namespace d2deploy {

/// Both are false where the environment variable D2DEPLOY_INSTRUCTION_SET allows less: avx2, or baseline for what every
/// CPU has. Throw InvalidArgument where it says anything else but avx512.
bool has_avx2();
bool has_avx512();
/// Products of bfloat16: AVX512-BF16 or AMX.
bool has_bfloat16();
/// Those of AMX, eight times as fast.
bool has_amx_bfloat16();
/// Sums of products of 8 bits: AVX512-VNNI or AVX-VNNI.
bool has_vnni();

/// The reason of a kernel to refuse a call; empty where the CPU has it.
std::string refuse_without_avx512();

}  // namespace d2deploy
