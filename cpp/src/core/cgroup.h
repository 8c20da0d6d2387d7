// What the control groups of this process (its container's, its service's) let it use, of either version of them.
#pragma once
#include <cstddef>
#include <optional>
#include <string>

namespace d2deploy {

/// CPUs' worth of time that the process may use, as 1.5; nothing where there is no limit. `root`: the folder in which
/// proc and sys are.
std::optional<double> cpu_quota(const std::string& root = "/");

/// Bytes of memory that all processes of the group may use together; nothing where there is no limit.
std::optional<std::size_t> memory_limit(const std::string& root = "/");

}  // namespace d2deploy
