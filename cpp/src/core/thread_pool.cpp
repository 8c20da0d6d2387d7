#include "core/thread_pool.h"

#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <system_error>
#include <utility>

#include "core/check.h"

namespace d2deploy {

namespace {

// Longer than most gaps between two loops of a net, and short beside the milliseconds that a scheduler gives to others.
constexpr std::chrono::microseconds kSpin{40};

void pause() {
#if defined(__x86_64__)
  __builtin_ia32_pause();
#elif defined(__aarch64__)
  asm volatile("yield");
#endif
}

/// Waits until `value` is not `old` any more, and returns what it is then.
std::uint32_t wait_while(const std::atomic<std::uint32_t>& value, std::uint32_t old) {
  constexpr int kLooks = 32;  // between two looks at the clock
  const auto end = std::chrono::steady_clock::now() + kSpin;
  do {
    for (int i = 0; i < kLooks; ++i) {
      if (const auto now = value.load(std::memory_order_acquire); now != old) return now;
      pause();
    }
  } while (std::chrono::steady_clock::now() < end);
  value.wait(old, std::memory_order_acquire);
  return value.load(std::memory_order_acquire);
}

std::uint64_t ticket(std::uint32_t loop, std::uint32_t left) { return (std::uint64_t{loop} << 32) | left; }

}  // namespace

ThreadPool::ThreadPool() : process_(getpid()) {}

ThreadPool::~ThreadPool() {
  if (!is_of_this_process()) {  // a child process: the helpers stayed behind, and there is nobody to join
    (void)new std::vector<std::thread>(std::move(helpers_));
    return;
  }
  ending_ = true;
  loop_.fetch_add(1);
  loop_.notify_all();
  for (auto& helper : helpers_) helper.join();
}

bool ThreadPool::is_of_this_process() const { return process_ == getpid(); }

void ThreadPool::start_helpers(std::size_t count) {
  helpers_.reserve(count);
  try {
    while (helpers_.size() < count) helpers_.emplace_back([this, number = helpers_.size()] { help(number); });
  } catch (const std::system_error&) {  // the system gives no more threads: those that there are do the work
  }
}

void ThreadPool::help(std::size_t number) {
  std::uint32_t seen = 0;
  while (!ending_) {
    if (const auto loop = loop_.load(std::memory_order_acquire); loop != seen) {
      seen = loop;
      if (number < wanted_.load(std::memory_order_relaxed)) work_on(loop);
    } else {
      wait_while(loop_, seen);
    }
  }
}

void ThreadPool::work_on(std::uint32_t loop) {
  std::uint64_t now = tickets_.load(std::memory_order_acquire);
  for (;;) {
    const auto left = static_cast<std::uint32_t>(now);
    if (now >> 32 != loop || left == 0) return;
    if (!tickets_.compare_exchange_weak(now, ticket(loop, left - 1), std::memory_order_acq_rel)) continue;
    try {
      (*part_)(parts_ - left);
    } catch (...) {
      if (!failed_.test_and_set()) error_ = std::current_exception();
    }
    if (undone_.fetch_sub(1, std::memory_order_acq_rel) == 1) undone_.notify_one();
    now = tickets_.load(std::memory_order_acquire);
  }
}

void ThreadPool::wait_for_others() {
  for (auto left = undone_.load(std::memory_order_acquire); left != 0; left = wait_while(undone_, left))
    check<DeviceError>(is_of_this_process(), kForkedInside);
}

void ThreadPool::run(int threads, std::uint32_t parts, const std::function<void(std::uint32_t)>& part) {
  if (parts == 0) return;
  const auto wanted = static_cast<std::size_t>(std::max(threads, 1) - 1);
  if (helpers_.size() < wanted) start_helpers(wanted);
  part_ = &part;
  parts_ = parts;
  failed_.clear();
  error_ = nullptr;
  wanted_.store(wanted, std::memory_order_relaxed);
  undone_.store(parts, std::memory_order_relaxed);
  const std::uint32_t loop = loop_.load(std::memory_order_relaxed) + 1;
  tickets_.store(ticket(loop, parts), std::memory_order_release);
  loop_.store(loop, std::memory_order_release);
  loop_.notify_all();
  work_on(loop);
  wait_for_others();
  if (error_) std::rethrow_exception(std::exchange(error_, nullptr));
}

}  // namespace d2deploy
