#include "core/threads.h"

#include <pthread.h>
#include <sched.h>

#include <cmath>
#include <thread>
#include <vector>
#ifdef _OPENMP
#include <omp.h>
#endif

#include "core/cgroup.h"
#include "core/check.h"

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

#ifdef _OPENMP

// GCC's OpenMP keeps the team of a thread for its next loop. A child process has none of these threads, but is not
// told: its first loop would wait for them for ever. So the team is let go before a fork, and both processes make new
// ones. This is the one place where something is remembered outside of objects, since the system announces a fork to
// functions without arguments.
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

#endif

}  // namespace

int available_threads(const std::string& root) {
  double threads = affinity();
  if (const auto quota = cpu_quota(root)) threads = std::min(threads, std::ceil(*quota));
  return std::max(1, static_cast<int>(threads));
}

#ifdef _OPENMP

int thread_count() { return omp_get_max_threads(); }

void expect_team() {
  check<DeviceError>(team != Team::lost,
                     "this process was forked inside of a loop on several threads, which it does not have; start it "
                     "anew instead (spawn), or load the model with threads = 1");
  static const bool announced = [] {
    check<DeviceError>(pthread_atfork(before_fork, nullptr, in_child) == 0, "out of memory: forks are not announced");
    return true;
  }();
  if (announced) team = Team::kept;
}

ThreadScope::ThreadScope(int threads) : before_(thread_count()) {
  if (threads <= 0) threads = before_;
  if (threads > 1) expect_team();
  omp_set_num_threads(threads);
}

ThreadScope::~ThreadScope() { omp_set_num_threads(before_); }

#else

int thread_count() { return 1; }
void expect_team() {}
ThreadScope::ThreadScope(int /*threads*/) {}
ThreadScope::~ThreadScope() = default;

#endif

}  // namespace d2deploy
