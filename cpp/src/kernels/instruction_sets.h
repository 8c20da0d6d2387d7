// What this CPU can do beyond what every one of its kind can. Files that are compiled for more, kernels/*_<set>.cpp,
// hold nothing that the linker could take for the same function of another file: no templates, inline functions or
// classes of the standard library, and no function of ours whose name does not end in the set's. scripts/check_objects
// looks for such.
#pragma once
#include <string>

namespace d2deploy {

bool has_avx2();
bool has_avx512();
/// Products of bfloat16: AVX512-BF16 or AMX.
bool has_bfloat16();

/// The reason of a kernel to refuse a call; empty where the CPU has it.
std::string refuse_without_avx512();

}  // namespace d2deploy
