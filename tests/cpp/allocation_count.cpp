#include "allocation_count.h"

#include <execinfo.h>
#include <link.h>

#include <algorithm>
#include <atomic>
#include <cstdlib>
#include <cstring>
#include <new>

namespace {

std::atomic<bool> counting = false;
std::atomic<std::int64_t> counted = 0;

struct Range {
  std::uintptr_t begin = 0, end = 0;
};

// Where oneDNN's code lies; empty where it is not loaded.
Range onednn_code() {
  Range range;
  dl_iterate_phdr(
      [](dl_phdr_info* info, std::size_t, void* out) {
        if (std::strstr(info->dlpi_name, "libdnnl") == nullptr) return 0;
        for (int i = 0; i < info->dlpi_phnum; ++i) {
          const auto& part = info->dlpi_phdr[i];
          if (part.p_type != PT_LOAD || (part.p_flags & PF_X) == 0) continue;
          const std::uintptr_t begin = info->dlpi_addr + part.p_vaddr;
          *static_cast<Range*>(out) = {begin, begin + part.p_memsz};
        }
        return 1;
      },
      &range);
  return range;
}

// Whether oneDNN is among the callers. `caller` is the nearest one, which is enough for most.
bool inside_onednn(const void* caller) {
  static const Range code = onednn_code();
  const auto inside = [](const void* p) {
    const auto at = reinterpret_cast<std::uintptr_t>(p);
    return at >= code.begin && at < code.end;
  };
  if (inside(caller)) return true;
  void* callers[16];
  return std::any_of(callers, callers + backtrace(callers, 16), inside);
}

void note(const void* caller) {
  if (counting && !inside_onednn(caller)) ++counted;
}

void* checked(void* memory) {
  if (memory == nullptr) throw std::bad_alloc();
  return memory;
}

void* aligned(std::size_t alignment, std::size_t size) {
  void* memory = nullptr;
  return posix_memalign(&memory, alignment, size) == 0 ? memory : nullptr;
}

}  // namespace

void* operator new(std::size_t size) {
  note(__builtin_return_address(0));
  return checked(std::malloc(size == 0 ? 1 : size));
}
void* operator new(std::size_t size, std::align_val_t alignment) {
  note(__builtin_return_address(0));
  return checked(aligned(static_cast<std::size_t>(alignment), size));
}
void* operator new(std::size_t size, const std::nothrow_t&) noexcept {
  note(__builtin_return_address(0));
  return std::malloc(size == 0 ? 1 : size);
}
void operator delete(void* memory) noexcept { std::free(memory); }
void operator delete(void* memory, std::size_t) noexcept { std::free(memory); }
void operator delete(void* memory, std::align_val_t) noexcept { std::free(memory); }
void operator delete(void* memory, std::size_t, std::align_val_t) noexcept { std::free(memory); }

extern "C" void* aligned_alloc(std::size_t alignment, std::size_t size) {
  note(__builtin_return_address(0));
  return aligned(alignment, size);
}

namespace d2deploy::testing {

AllocationCount::AllocationCount() {
  void* caller[1];
  (void)backtrace(caller, 1);  // it allocates when it is called first
  counted = 0;
  counting = true;
}
AllocationCount::~AllocationCount() { counting = false; }
std::int64_t AllocationCount::count() const { return counted; }

}  // namespace d2deploy::testing
