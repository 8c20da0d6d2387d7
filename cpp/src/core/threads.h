// Loops over threads. The number of threads belongs to the caller's thread, not to the process.
#pragma once
#include <algorithm>
#include <cstdint>
#include <exception>
#ifdef _OPENMP
#include <omp.h>
#endif

namespace d2deploy {

/// Threads that parallel_for uses when called from this thread.
inline int thread_count() {
#ifdef _OPENMP
  return omp_get_max_threads();
#else
  return 1;
#endif
}

/// Sets the calling thread's thread count (0: leave it) and restores the old one at the end.
class ThreadScope {
 public:
  explicit ThreadScope([[maybe_unused]] int threads) {
#ifdef _OPENMP
    if (threads > 0) omp_set_num_threads(threads);
#endif
  }
  ~ThreadScope() {
#ifdef _OPENMP
    omp_set_num_threads(before_);
#endif
  }
  ThreadScope(const ThreadScope&) = delete;
  ThreadScope& operator=(const ThreadScope&) = delete;

 private:
  [[maybe_unused]] int before_ = thread_count();
};

/// Calls body(begin, end) on parts of [0, count), each at least `grain` long but the last, in
/// parallel. An exception of one part is rethrown once all are done. The parts depend on the thread
/// count, so a body must give each index the same result whichever part it falls in.
template <class Body>
void parallel_for(std::int64_t count, std::int64_t grain, const Body& body) {
  if (count <= 0) return;
  const std::int64_t parts =
      std::min<std::int64_t>(thread_count() * std::int64_t{4}, (count + grain - 1) / std::max<std::int64_t>(grain, 1));
  if (parts <= 1) {
    body(std::int64_t{0}, count);
    return;
  }
  std::exception_ptr error;
#ifdef _OPENMP
#pragma omp parallel for schedule(dynamic)
#endif
  for (std::int64_t p = 0; p < parts; ++p) {
    try {
      body(count * p / parts, count * (p + 1) / parts);
    } catch (...) {
#ifdef _OPENMP
#pragma omp critical
#endif
      error = std::current_exception();
    }
  }
  if (error) std::rethrow_exception(error);
}

}  // namespace d2deploy
