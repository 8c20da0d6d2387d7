// Scratch memory that follows from the inputs' shapes, for kernels that may be planned before these are known.
#pragma once
#include <memory>

#include "core/memory.h"
#include "operators/operator.h"

namespace d2deploy {

/// What `prepare` gives where `bytes` are needed for the planned shapes; 0 where these are unknown.
inline Prepared plan_scratch(std::size_t bytes) {
  Prepared prepared;
  prepared.scratch_bytes = bytes;
  prepared.state = std::make_shared<const std::size_t>(bytes);
  return prepared;
}

/// The scratch memory of a call that was prepared by plan_scratch: the planned one where it is large enough.
class CallScratch {
 public:
  CallScratch(const Call& call, std::size_t bytes) : memory_(call.scratch) {
    if (*static_cast<const std::size_t*>(call.state) >= bytes) return;
    own_ = allocate(bytes);
    memory_ = own_.get();
  }
  void* get() const { return memory_; }

 private:
  void* memory_;
  std::shared_ptr<void> own_;
};

}  // namespace d2deploy
