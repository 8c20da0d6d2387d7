#include "core/cgroup.h"

#include <algorithm>
#include <charconv>
#include <cstdint>
#include <filesystem>
#include <fstream>
#include <string>
#include <vector>

#include "core/text.h"

namespace d2deploy {

namespace {

namespace fs = std::filesystem;

// The words of a small file; none where it cannot be read.
std::vector<std::string> words_of(const fs::path& file) {
  std::ifstream in(file);
  std::vector<std::string> words;
  for (std::string line; std::getline(in, line);)
    for (const auto word : split(line, ' ')) words.emplace_back(word);
  return words;
}

// Not "max", and not the -1 that version 1 writes for the same.
std::optional<std::int64_t> number(const std::string& word) {
  std::int64_t value = 0;
  const auto [end, error] = std::from_chars(word.data(), word.data() + word.size(), value);
  if (error != std::errc() || end != word.data() + word.size() || value < 0) return std::nullopt;
  return value;
}

std::optional<std::int64_t> number_in(const fs::path& file) {
  const auto words = words_of(file);
  return words.size() == 1 ? number(words[0]) : std::nullopt;
}

// The folder of a group and those of the groups above it, up to the one where the hierarchy is mounted. A container
// sees the names that its group has outside, but only its own folder, as the mounted one: what is missing is passed by.
std::vector<fs::path> with_parents(const fs::path& mount, const fs::path& group) {
  std::vector<fs::path> folders{mount};
  for (const auto& part : group.relative_path()) {
    if (part == "..") return {mount};  // the group lies outside of what can be seen
    folders.push_back(folders.back() / part);
  }
  return folders;
}

/// The folders that may hold the process's limits. `controller` is version 1's name, as "cpu"; empty: version 2.
std::vector<fs::path> group_folders(const std::string& root, std::string_view controller) {
  std::vector<fs::path> folders;
  std::ifstream in(root + "/proc/self/cgroup");
  for (std::string line; std::getline(in, line);) {  // "4:cpu,cpuacct:/path", "0::/path"
    const auto first = line.find(':'), second = line.find(':', first + 1);
    if (first == std::string::npos || second == std::string::npos) continue;
    const std::string controllers = line.substr(first + 1, second - first - 1), group = line.substr(second + 1);
    const auto names = split(controllers, ',');
    const bool ours = controller.empty() ? names.empty() : std::ranges::find(names, controller) != names.end();
    if (!ours) continue;
    // "unified": beside version 1. Version 1's hierarchies are mounted under all their names together, or under one.
    for (const auto& name : controller.empty() ? std::vector<std::string>{"", "unified"}
                                               : std::vector<std::string>{controllers, std::string(controller)})
      for (auto& folder : with_parents(fs::path(root) / "sys/fs/cgroup" / name, group))
        folders.push_back(std::move(folder));
  }
  return folders;
}

template <class T>
void lower(std::optional<T>& least, T value) {
  least = least ? std::min(*least, value) : value;
}

}  // namespace

std::optional<double> cpu_quota(const std::string& root) {
  std::optional<double> least;
  const auto take = [&](std::optional<std::int64_t> quota, std::optional<std::int64_t> period) {
    if (quota && period && *period > 0) lower(least, static_cast<double>(*quota) / static_cast<double>(*period));
  };
  for (const auto& folder : group_folders(root, ""))
    if (const auto words = words_of(folder / "cpu.max"); words.size() == 2) take(number(words[0]), number(words[1]));
  for (const auto& folder : group_folders(root, "cpu"))
    take(number_in(folder / "cpu.cfs_quota_us"), number_in(folder / "cpu.cfs_period_us"));
  return least;
}

std::optional<std::size_t> memory_limit(const std::string& root) {
  std::optional<std::size_t> least;
  const auto take = [&](std::optional<std::int64_t> bytes) {
    if (bytes) lower(least, static_cast<std::size_t>(*bytes));
  };
  for (const auto& folder : group_folders(root, "")) take(number_in(folder / "memory.max"));
  for (const auto& folder : group_folders(root, "memory")) take(number_in(folder / "memory.limit_in_bytes"));
  return least;
}

}  // namespace d2deploy
