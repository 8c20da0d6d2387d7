// Loops over threads. The number of threads belongs to the caller's thread, not to the process.
#pragma once
#include <algorithm>
#include <cstdint>
#include <functional>
#include <string>

namespace d2deploy {

/// Threads that can run at the same time: as many as the process's affinity and the CPU quota of its control groups
/// allow, a part of a CPU counted as one, not as many as the machine has. `root`: the folder in which proc and sys are.
int available_threads(const std::string& root = "/");

/// More are refused: OpenMP ends the process where it cannot have the threads that it is told.
inline constexpr int kMostThreads = 4096;

/// What a caller who wants so many gets; of 0 as many as the process may use. Throws InvalidArgument below 0 and above
/// kMostThreads.
int threads_for(int wanted);

/// Threads that parallel_for uses when called from this thread.
int thread_count();

/// Whether the calling thread is inside of a part of a loop: loops in there run on it alone.
bool inside_loop();

/// Calls part(0) to part(parts - 1), each once, on as many threads as thread_count() says. An exception of one part is
/// rethrown once all are done. Throws DeviceError where the threads are missing: in a child process that was forked
/// inside of a loop.
void for_each_part(std::uint32_t parts, const std::function<void(std::uint32_t)>& part);

/// Sets the calling thread's thread count (0: leave it) and restores the old one at the end. Loops inside of oneDNN
/// obey it too.
class ThreadScope {
 public:
  explicit ThreadScope(int threads);
  ~ThreadScope();
  ThreadScope(const ThreadScope&) = delete;
  ThreadScope& operator=(const ThreadScope&) = delete;

 private:
  int before_ = 1;
};

/// Calls body(begin, end) on parts of [0, count), each at least `grain` long but the last, in
/// parallel. An exception of one part is rethrown once all are done. The parts depend on the thread
/// count, so a body must give each index the same result whichever part it falls in.
template <class Body>
void parallel_for(std::int64_t count, std::int64_t grain, const Body& body) {
  if (count <= 0) return;
  const int threads = thread_count();
  const std::int64_t parts =
      std::min<std::int64_t>(threads * std::int64_t{4}, (count + grain - 1) / std::max<std::int64_t>(grain, 1));
  if (threads <= 1 || parts <= 1) {
    body(std::int64_t{0}, count);
    return;
  }
  const auto part = [&](std::uint32_t p) { body(count * p / parts, count * (p + 1) / parts); };
  for_each_part(static_cast<std::uint32_t>(parts), std::ref(part));  // a reference: nothing is allocated
}

}  // namespace d2deploy
