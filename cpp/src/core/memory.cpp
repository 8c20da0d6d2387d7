#include "core/memory.h"

#include <cstdlib>

#include "core/check.h"
#ifdef __linux__
#include <sys/mman.h>
#endif

namespace d2deploy {

std::shared_ptr<void> allocate(std::size_t bytes) {
  constexpr std::size_t kHugePage = std::size_t{2} << 20;
  const bool large = bytes >= 4 * kHugePage;
  const std::size_t alignment = large ? kHugePage : kAlignment;
  void* data = std::aligned_alloc(alignment, align_up(bytes == 0 ? 1 : bytes, alignment));
  if (data == nullptr) fail<DeviceError>("out of memory: ", bytes, " bytes of host memory wanted");
#ifdef __linux__
  if (large) (void)madvise(data, bytes, MADV_HUGEPAGE);  // only advice: a refusal costs speed alone
#endif
  return {data, [](void* p) { std::free(p); }};
}

}  // namespace d2deploy
