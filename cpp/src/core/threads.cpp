#include "core/threads.h"

#include <sched.h>

#include <algorithm>
#include <cmath>
#include <memory>
#include <thread>
#include <utility>
#include <vector>
#ifdef _OPENMP
#include <pthread.h>

#include <omp.h>
#endif

#include "core/cgroup.h"
#include "core/check.h"
#include "core/thread_pool.h"

namespace d2deploy {

namespace {

// CPUs that the system's scheduler may put this thread on.
int affinity() {
  constexpr std::size_t kMostCpus = std::size_t{1} << 20;
  for (std::size_t cpus = 1024; cpus <= kMostCpus; cpus *= 2) {  // too small a set is refused
    std::vector<cpu_set_t> set(cpus / CPU_SETSIZE);
    const std::size_t bytes = set.size() * sizeof(cpu_set_t);
    if (sched_getaffinity(0, bytes, set.data()) == 0) return CPU_COUNT_S(bytes, set.data());
  }
  return static_cast<int>(std::thread::hardware_concurrency());
}

}  // namespace

int available_threads(const std::string& root) {
  double threads = affinity();
  if (const auto quota = cpu_quota(root)) threads = std::min(threads, std::ceil(*quota));
  return std::max(1, static_cast<int>(threads));
}

int threads_for(int wanted) {
  check(wanted >= 0 && wanted <= kMostThreads, "threads is ", wanted, ", wanted 0 (as many as the process may use) to ",
        kMostThreads);
  return wanted == 0 ? available_threads() : wanted;
}

#ifdef _OPENMP

// Where oneDNN runs on OpenMP our loops do too: two kinds of threads would wait for the same CPUs, each spinning.
//
// GCC's OpenMP keeps the team of a thread for its next loop. A child process has none of these threads, but is not
// told: its first loop would wait for them for ever. So the team is let go before a fork, and both processes make new
// ones. This is the one place where something is remembered outside of objects, since the system announces a fork to
// functions without arguments.
namespace {

enum class Team {
  none,
  kept,
  lost,  // forked inside of a loop, where the team cannot be let go
};
thread_local Team team = Team::none;

void before_fork() {
  if (team == Team::kept && omp_pause_resource_all(omp_pause_hard) == 0) team = Team::none;
}

void in_child() {
  if (team == Team::kept) team = Team::lost;
}

// To be called where this thread is about to run a loop on several.
void expect_team() {
  check<DeviceError>(team != Team::lost, kForkedInside);
  static const bool announced = [] {
    check<DeviceError>(pthread_atfork(before_fork, nullptr, in_child) == 0, "out of memory: forks are not announced");
    return true;
  }();
  if (announced) team = Team::kept;
}

}  // namespace

int thread_count() { return omp_get_max_threads(); }
bool inside_loop() { return omp_in_parallel() != 0; }

void for_each_part(std::uint32_t parts, const std::function<void(std::uint32_t)>& part) {
  expect_team();
  std::exception_ptr error;
#pragma omp parallel for schedule(dynamic)
  for (std::uint32_t p = 0; p < parts; ++p) {
    try {
      part(p);
    } catch (...) {
#pragma omp critical
      error = std::current_exception();
    }
  }
  if (error) std::rethrow_exception(error);
}

ThreadScope::ThreadScope(int threads) : before_(thread_count()) {
  if (threads <= 0) threads = before_;
  if (threads > 1) expect_team();
  omp_set_num_threads(threads);
}

ThreadScope::~ThreadScope() { omp_set_num_threads(before_); }

#else

namespace {

// What belongs to a thread of a caller.
struct Caller {
  int threads = 0;  // 0: nobody said
  bool inside = false;
  std::unique_ptr<ThreadPool> pool;
};
thread_local Caller caller;

ThreadPool& pool() {
  // A child process has the memory of its parent's pool, but not its threads.
  if (!caller.pool || !caller.pool->is_of_this_process()) caller.pool = std::make_unique<ThreadPool>();
  return *caller.pool;
}

// While one of the parts runs.
class Inside {
 public:
  Inside() : before_(std::exchange(caller.inside, true)) {}
  ~Inside() { caller.inside = before_; }
  Inside(const Inside&) = delete;
  Inside& operator=(const Inside&) = delete;

 private:
  bool before_;
};

}  // namespace

bool inside_loop() { return caller.inside; }

int thread_count() {
  if (caller.inside) return 1;
  if (caller.threads == 0) caller.threads = available_threads();
  return caller.threads;
}

void for_each_part(std::uint32_t parts, const std::function<void(std::uint32_t)>& part) {
  const int threads = static_cast<int>(std::min<std::uint32_t>(static_cast<std::uint32_t>(thread_count()), parts));
  if (threads > 1) {
    pool().run(threads, parts, [&part](std::uint32_t p) {
      const Inside inside;
      part(p);
    });
  } else {
    for (std::uint32_t p = 0; p < parts; ++p) part(p);
  }
}

ThreadScope::ThreadScope(int threads) : before_(caller.threads) {
  if (threads > 0) caller.threads = threads;
}

ThreadScope::~ThreadScope() { caller.threads = before_; }

#endif

}  // namespace d2deploy
