#include "core/memory.h"

#include <algorithm>
#include <cstdlib>
#include <fstream>
#include <limits>
#include <string>

#include "core/check.h"
#ifdef __linux__
#include <sys/mman.h>
#endif

namespace d2deploy {

std::size_t available_memory() {
  std::size_t available = std::numeric_limits<std::size_t>::max();
  std::ifstream system("/proc/meminfo");
  for (std::string line; std::getline(system, line);)
    if (line.starts_with("MemAvailable:")) {
      constexpr std::size_t kUnit = 1024;  // the file's "kB"
      available = std::strtoull(line.c_str() + line.find(':') + 1, nullptr, 10) * kUnit;
    }
  // "max" where there is no limit. What the group uses is not taken off: that counts caches, which give way.
  std::ifstream group("/sys/fs/cgroup/memory.max");
  if (std::size_t most = 0; group >> most) available = std::min(available, most);
  return available;
}

std::shared_ptr<void> allocate(std::size_t bytes) {
  constexpr std::size_t kHugePage = std::size_t{2} << 20;
  const bool large = bytes >= 4 * kHugePage;
  constexpr std::size_t kWorthAsking = std::size_t{256} << 20;
  if (bytes >= kWorthAsking) {
    const std::size_t available = available_memory();
    check<DeviceError>(bytes <= available, "out of memory: ", bytes, " bytes of host memory wanted, ", available,
                       " are available");
  }
  const std::size_t alignment = large ? kHugePage : kAlignment;
  void* data = std::aligned_alloc(alignment, align_up(bytes == 0 ? 1 : bytes, alignment));
  if (data == nullptr) fail<DeviceError>("out of memory: ", bytes, " bytes of host memory wanted");
#ifdef __linux__
  if (large) (void)madvise(data, bytes, MADV_HUGEPAGE);  // only advice: a refusal costs speed alone
#endif
  return {data, [](void* p) { std::free(p); }};
}

}  // namespace d2deploy
