// Some compilers check by default that longjmp stays on one stack.
#undef _FORTIFY_SOURCE
#include "kernels/simt/fiber.h"

#include <sys/mman.h>

#include "core/check.h"

// Which sanitizers the build has; these files themselves are compiled without ThreadSanitizer.
#ifdef D2DEPLOY_SIMT_ASAN
#include <sanitizer/asan_interface.h>
#include <sanitizer/common_interface_defs.h>
#endif
#ifdef D2DEPLOY_SIMT_TSAN
#include <sanitizer/tsan_interface.h>
#endif

namespace d2deploy::simt::host {

namespace {

constexpr std::size_t kGuardBytes = std::size_t{64} << 10;  // a page, on any machine
#ifdef D2DEPLOY_SIMT_ASAN
constexpr std::size_t kStackBytes = std::size_t{256} << 10;  // its frames are several times as large
#else
constexpr std::size_t kStackBytes = std::size_t{64} << 10;
#endif

constinit thread_local Fiber* starting = nullptr;  // makecontext passes no pointers

// A system call in every swapcontext makes it some twenty times as slow as a jump, which does for all but the first
// time. ThreadSanitizer takes jumps for those within a stack.
void switch_stacks(Fiber::Context& from, Fiber::Context& to) {
#ifdef D2DEPLOY_SIMT_TSAN
  swapcontext(&from.start, &to.start);
#else
  from.has_place = true;
  if (_setjmp(from.place) != 0) return;
  if (to.has_place) _longjmp(to.place, 1);
  setcontext(&to.start);
#endif
}

}  // namespace

Fiber::Fiber(Body body) : body_(body) {
  void* memory = mmap(nullptr, kGuardBytes + kStackBytes, PROT_READ | PROT_WRITE,
                      MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE | MAP_STACK, -1, 0);
  check<OutOfMemory>(memory != MAP_FAILED, "out of memory: ", kStackBytes, " bytes for a stack wanted");
  (void)mprotect(memory, kGuardBytes, PROT_NONE);  // without it an overflow is merely harder to find
  memory_ = static_cast<std::byte*>(memory);
  getcontext(&context_.start);
  context_.start.uc_stack.ss_sp = memory_ + kGuardBytes;
  context_.start.uc_stack.ss_size = kStackBytes;
  makecontext(&context_.start, &Fiber::enter, 0);
#ifdef D2DEPLOY_SIMT_TSAN
  tsan_ = __tsan_create_fiber(0);
#endif
}

Fiber::~Fiber() {
#ifdef D2DEPLOY_SIMT_TSAN
  __tsan_destroy_fiber(tsan_);
#endif
  allow_access(memory_ + kGuardBytes, kStackBytes);
  munmap(memory_, kGuardBytes + kStackBytes);
}

void Fiber::enter() {
  Fiber& self = *starting;
#ifdef D2DEPLOY_SIMT_ASAN
  __sanitizer_finish_switch_fiber(nullptr, &self.resumer_stack_, &self.resumer_stack_bytes_);
#endif
  self.body_();
}

void Fiber::resume() {
  starting = this;
#ifdef D2DEPLOY_SIMT_TSAN
  resumer_tsan_ = __tsan_get_current_fiber();
  __tsan_switch_to_fiber(tsan_, __tsan_switch_to_fiber_no_sync);
#endif
#ifdef D2DEPLOY_SIMT_ASAN
  void* fake_stack = nullptr;
  __sanitizer_start_switch_fiber(&fake_stack, memory_ + kGuardBytes, kStackBytes);
#endif
  switch_stacks(resumer_, context_);
#ifdef D2DEPLOY_SIMT_ASAN
  __sanitizer_finish_switch_fiber(fake_stack, nullptr, nullptr);
#endif
}

void Fiber::yield() {
#ifdef D2DEPLOY_SIMT_TSAN
  __tsan_switch_to_fiber(resumer_tsan_, __tsan_switch_to_fiber_no_sync);
#endif
#ifdef D2DEPLOY_SIMT_ASAN
  __sanitizer_start_switch_fiber(&fake_stack_, resumer_stack_, resumer_stack_bytes_);
#endif
  switch_stacks(context_, resumer_);
#ifdef D2DEPLOY_SIMT_ASAN
  __sanitizer_finish_switch_fiber(fake_stack_, &resumer_stack_, &resumer_stack_bytes_);
#endif
}

#ifdef D2DEPLOY_SIMT_TSAN
const bool kStacksMayBeShared = false;
#else
const bool kStacksMayBeShared = true;
#endif

void forbid_access([[maybe_unused]] const void* memory, [[maybe_unused]] std::size_t bytes) {
#ifdef D2DEPLOY_SIMT_ASAN
  ASAN_POISON_MEMORY_REGION(memory, bytes);
#endif
}

void allow_access([[maybe_unused]] const void* memory, [[maybe_unused]] std::size_t bytes) {
#ifdef D2DEPLOY_SIMT_ASAN
  ASAN_UNPOISON_MEMORY_REGION(memory, bytes);
#endif
}

void publish([[maybe_unused]] void* point) {
#ifdef D2DEPLOY_SIMT_TSAN
  __tsan_release(point);
#endif
}

void observe([[maybe_unused]] void* point) {
#ifdef D2DEPLOY_SIMT_TSAN
  __tsan_acquire(point);
#endif
}

}  // namespace d2deploy::simt::host
