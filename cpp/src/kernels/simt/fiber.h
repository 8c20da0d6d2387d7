// Stacks that take turns on one thread of the host. The sanitizers are told of every switch.
#pragma once
#include <setjmp.h>
#include <ucontext.h>

#include <cstddef>

namespace d2deploy::simt::host {

/// Calls a body, which must not return, on a stack of its own. Once its owner lets go of it, a body is never resumed:
/// nothing on its stack is destroyed.
class Fiber {
 public:
  // Where a stack stands.
  struct Context {
    ucontext_t start{};
    jmp_buf place;
    bool has_place = false;
  };
  using Body = void (*)();
  explicit Fiber(Body body);  ///< throws DeviceError where there is no memory for the stack
  ~Fiber();
  Fiber(const Fiber&) = delete;
  Fiber& operator=(const Fiber&) = delete;

  void resume();  ///< goes on with the body until it yields
  void yield();   ///< back to who resumed it; the body calls this

 private:
  static void enter();

  Body body_;
  std::byte* memory_ = nullptr;  // a guard page, then the stack
  Context context_{}, resumer_{};
  void *fake_stack_ = nullptr, *tsan_ = nullptr, *resumer_tsan_ = nullptr;
  const void* resumer_stack_ = nullptr;
  std::size_t resumer_stack_bytes_ = 0;
};

/// Memory that AddressSanitizer reports every access to, until it is allowed again.
void forbid_access(const void* memory, std::size_t bytes);
void allow_access(const void* memory, std::size_t bytes);

/// Whether fibers may share a stack, one after the other. Not for ThreadSanitizer: to it the frames of one would be the
/// memory of another, which nothing orders.
extern const bool kStacksMayBeShared;

/// What a thread did before it publishes `point` comes before what others do once they observed it. For
/// ThreadSanitizer, which knows of no order between fibers.
void publish(void* point);
void observe(void* point);

}  // namespace d2deploy::simt::host
