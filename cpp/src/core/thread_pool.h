// The threads that help one other thread with its loops.
#pragma once
#include <atomic>
#include <cstdint>
#include <exception>
#include <functional>
#include <thread>
#include <vector>

#include <sys/types.h>

namespace d2deploy {

inline constexpr const char* kForkedInside =
    "this process was forked inside of a loop on several threads, which it does not have; start it anew instead "
    "(spawn), or load the model with threads = 1";

/// Helpers of the thread that makes it; only that thread may call `run`. Parts are taken one by one by whoever is free,
/// the caller too: it never waits for a helper that has not begun, so a machine that is busy with other things costs
/// little more than what they take. Waiting threads spin for some microseconds only, then they sleep.
class ThreadPool {
 public:
  ThreadPool();
  ~ThreadPool();
  ThreadPool(const ThreadPool&) = delete;
  ThreadPool& operator=(const ThreadPool&) = delete;

  bool is_of_this_process() const;

  /// Calls part(0) to part(parts - 1), each once, on at most `threads` threads: fewer where the system gives no more.
  /// The first exception is rethrown once all are done. Throws DeviceError in a child process that was forked inside
  /// of a part, where the others never end.
  void run(int threads, std::uint32_t parts, const std::function<void(std::uint32_t)>& part);

 private:
  void start_helpers(std::size_t count);
  void help(std::size_t number);
  /// Takes parts of loop number `loop` until none is left.
  void work_on(std::uint32_t loop);
  void wait_for_others();

  // The number of the loop in the upper half, its parts that nobody has taken in the lower one: in one word, so that
  // a helper that comes late cannot take a part of another loop than it thinks.
  std::atomic<std::uint64_t> tickets_ = 0;
  std::atomic<std::uint32_t> loop_ = 0;    // what helpers wait for
  std::atomic<std::uint32_t> undone_ = 0;  // parts that have not come to their end
  std::atomic<std::size_t> wanted_ = 0;    // helpers of this loop
  std::atomic<bool> ending_ = false;
  std::atomic_flag failed_;
  std::exception_ptr error_;
  // Of the loop whose parts are being taken: read by those who have taken one, and unchanged until they are done.
  const std::function<void(std::uint32_t)>* part_ = nullptr;
  std::uint32_t parts_ = 0;
  std::vector<std::thread> helpers_;
  pid_t process_;
};

}  // namespace d2deploy
