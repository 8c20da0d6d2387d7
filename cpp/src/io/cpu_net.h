// Nets written for a GPU, rewritten for a runtime that runs them on the CPU.
#pragma once
#include <filesystem>

namespace d2deploy {

/// Writes to `target` what `net` is without device options, with copies between devices as plain `Copy` operators.
/// Returns: false, and writes nothing, where the net has neither; an option that names the CPU does not count.
/// Throws InvalidModel where the file is no NetDef, InvalidArgument where it cannot be read or the target not written.
bool write_cpu_net(const std::filesystem::path& net, const std::filesystem::path& target);

}  // namespace d2deploy
