#include "core/memory.h"

#include <algorithm>
#include <cstdlib>
#include <fstream>
#include <limits>
#include <string>

#include "core/cgroup.h"
#include "core/check.h"
#include "core/text.h"
#ifdef __linux__
#include <sys/mman.h>
#endif

namespace d2deploy {

std::size_t available_memory(const std::string& root) {
  std::size_t available = std::numeric_limits<std::size_t>::max();
  std::ifstream system(root + "/proc/meminfo");
  for (std::string line; std::getline(system, line);) {  // "MemAvailable:   12345 kB"
    constexpr std::size_t kUnit = 1024;                  // what the file calls kB
    const auto words = split(line, ' ');
    if (words.size() == 3 && words[0] == "MemAvailable:")
      available = static_cast<std::size_t>(parse_int(words[1])) * kUnit;
  }
  // What the group uses is not taken off: that counts caches, which give way.
  if (const auto limit = memory_limit(root)) available = std::min(available, *limit);
  return available;
}

void check_available(std::size_t bytes) {
  constexpr std::size_t kWorthAsking = std::size_t{256} << 20;
  if (bytes < kWorthAsking) return;
  const std::size_t available = available_memory();
  check<OutOfMemory>(bytes <= available, "out of memory: ", bytes, " bytes of host memory wanted, ", available,
                     " are available");
}

std::shared_ptr<void> allocate(std::size_t bytes) {
  constexpr std::size_t kHugePage = std::size_t{2} << 20;
  const bool large = bytes >= 4 * kHugePage;
  check_available(bytes);
  const std::size_t alignment = large ? kHugePage : kAlignment;
  void* data = std::aligned_alloc(alignment, align_up(bytes == 0 ? 1 : bytes, alignment));
  if (data == nullptr) fail<OutOfMemory>("out of memory: ", bytes, " bytes of host memory wanted");
#ifdef __linux__
  if (large) (void)madvise(data, bytes, MADV_HUGEPAGE);  // only advice: a refusal costs speed alone
#endif
  return guarded([&] { return std::shared_ptr<void>(data, [](void* p) { std::free(p); }); });
}

}  // namespace d2deploy
