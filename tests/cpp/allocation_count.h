// Counts the allocations of this program.
#pragma once
#include <cstdint>

namespace d2deploy::testing {

/// While one exists, calls of operator new and aligned_alloc are counted, in all threads, but for those that oneDNN
/// makes for itself.
class AllocationCount {
 public:
  AllocationCount();
  ~AllocationCount();
  AllocationCount(const AllocationCount&) = delete;
  AllocationCount& operator=(const AllocationCount&) = delete;

  std::int64_t count() const;
};

}  // namespace d2deploy::testing
