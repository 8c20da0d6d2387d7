// The threads of our loops: every part runs once, errors come out, helpers come and go. The preset tsan looks at them.
#include <gtest/gtest.h>

#include <sys/wait.h>
#include <unistd.h>

#include <array>
#include <atomic>
#include <chrono>
#include <mutex>
#include <set>
#include <stdexcept>
#include <string>
#include <thread>
#include <vector>

#include "core/thread_pool.h"
#include "core/threads.h"
#include "d2deploy/error.h"

namespace d2deploy {
namespace {

constexpr unsigned kSeconds = 60;  // after which a child process that hangs is ended

int exit_code_of(pid_t child) {
  int status = 0;
  return waitpid(child, &status, 0) == child && WIFEXITED(status) ? WEXITSTATUS(status) : -1;
}

// Runs three parts, none of which ends before all have begun: each needs a thread of its own.
void meet(ThreadPool& pool) {
  std::atomic<int> met = 0;
  pool.run(3, 3, [&](std::uint32_t) {
    ++met;
    while (met < 3) std::this_thread::yield();
  });
}

// Loops follow each other at once, so that helpers are late for most of them.
TEST(ThreadPool, EachPartOfManyLoopsRunsOnce) {
  ThreadPool pool;
  for (std::uint32_t loop = 0; loop < 3000; ++loop) {
    const std::uint32_t parts = loop % 9;
    std::vector<int> runs(parts, 0);  // not atomic: what a part writes is seen after the loop
    pool.run(1 + static_cast<int>(loop % 4), parts, [&](std::uint32_t p) { ++runs.at(p); });
    ASSERT_EQ(runs, std::vector<int>(parts, 1)) << "loop " << loop;
  }
}

TEST(ThreadPool, HelpersThatSleepAreWoken) {
  ThreadPool pool;
  for (int loop = 0; loop < 5; ++loop) {
    std::this_thread::sleep_for(std::chrono::milliseconds(5));  // much longer than they spin
    meet(pool);
  }
}

TEST(ThreadPool, AtMostAsManyThreadsAsWanted) {
  ThreadPool pool;
  for (const int threads : {4, 2, 1, 3}) {
    std::mutex mutex;
    std::set<std::thread::id> seen;
    for (int loop = 0; loop < 50; ++loop)
      pool.run(threads, 16, [&](std::uint32_t) {
        const std::lock_guard lock(mutex);
        seen.insert(std::this_thread::get_id());
      });
    EXPECT_LE(seen.size(), static_cast<std::size_t>(threads));
    if (threads == 1) {
      EXPECT_EQ(seen, std::set{std::this_thread::get_id()});
    }
  }
}

TEST(ThreadPool, AnErrorComesOutOnceAllPartsAreDone) {
  ThreadPool pool;
  for (int loop = 0; loop < 200; ++loop) {
    std::atomic<int> runs = 0;
    std::string message;
    try {
      pool.run(3, 12, [&](std::uint32_t p) {
        ++runs;
        if (p % 2 == 1) throw std::runtime_error("a part is odd");
      });
    } catch (const std::runtime_error& e) {
      message = e.what();
    }
    ASSERT_EQ(message, "a part is odd");
    ASSERT_EQ(runs, 12);
    pool.run(3, 12, [&](std::uint32_t) { ++runs; });  // and the next loop knows nothing of it
    ASSERT_EQ(runs, 24);
  }
}

TEST(ThreadPool, PoolsOfSeveralThreadsAtOnce) {
  std::vector<std::thread> callers;
  std::array<std::int64_t, 4> sums{};
  for (std::size_t c = 0; c < sums.size(); ++c)
    callers.emplace_back([&, c] {
      const ThreadScope threads(2);
      for (int loop = 0; loop < 300; ++loop) {
        std::atomic<std::int64_t> sum = 0;
        parallel_for(1000, 10, [&](std::int64_t begin, std::int64_t end) {
          for (std::int64_t i = begin; i < end; ++i) sum += i;
        });
        sums[c] += sum;
      }
    });
  for (auto& caller : callers) caller.join();
  for (const auto sum : sums) EXPECT_EQ(sum, 300 * 499500);
}

TEST(ThreadPool, AChildProcessIsTold) {
  ThreadPool pool;
  meet(pool);
  EXPECT_TRUE(pool.is_of_this_process());
  const pid_t child = fork();
  if (child == 0) {
    alarm(kSeconds);
    if (pool.is_of_this_process()) _exit(1);
    ThreadPool own;
    meet(own);
    pool.~ThreadPool();  // waits for nobody
    _exit(0);
  }
  EXPECT_EQ(exit_code_of(child), 0);
  meet(pool);
}

// The helper's part never ends there: it was left behind.
TEST(ThreadPool, AChildThatWasForkedInsideOfAPartDoesNotWait) {
  ThreadPool pool;
  const auto caller = std::this_thread::get_id();
  std::atomic<bool> forked = false;
  std::atomic<int> begun = 0;
  pid_t child = -1;
  try {
    pool.run(2, 2, [&](std::uint32_t) {
      ++begun;
      while (begun < 2) std::this_thread::yield();
      if (std::this_thread::get_id() == caller) {
        child = fork();
        if (child == 0) alarm(kSeconds);
        forked = true;
      }
      while (!forked) std::this_thread::yield();
    });
  } catch (const DeviceError& e) {
    if (child == 0) _exit(std::string(e.what()).find("forked inside of a loop") != std::string::npos ? 42 : 1);
    throw;
  }
  if (child == 0) _exit(2);
  EXPECT_EQ(exit_code_of(child), 42);
}

TEST(ParallelFor, ALoopInsideOfALoopRunsOnItsThread) {
  const ThreadScope threads(3);
  EXPECT_FALSE(inside_loop());
  std::atomic<int> elsewhere = 0, outside = 0, runs = 0;
  parallel_for(6, 1, [&](std::int64_t, std::int64_t) {
    const auto self = std::this_thread::get_id();
    if (!inside_loop()) ++outside;
    parallel_for(8, 1, [&](std::int64_t begin, std::int64_t end) {
      runs += static_cast<int>(end - begin);
      if (std::this_thread::get_id() != self) ++elsewhere;
    });
  });
  EXPECT_EQ(runs, 6 * 8);
  EXPECT_EQ(elsewhere, 0);
  EXPECT_EQ(outside, 0);
  EXPECT_FALSE(inside_loop());
}

TEST(ParallelFor, ThreadCountsAreTheCallersAndComeBack) {
  const int before = thread_count();
  {
    const ThreadScope three(3);
    EXPECT_EQ(thread_count(), 3);
    {
      const ThreadScope same(0);
      EXPECT_EQ(thread_count(), 3);
      const ThreadScope one(1);
      EXPECT_EQ(thread_count(), 1);
    }
    EXPECT_EQ(thread_count(), 3);
    int elsewhere = 0;
    std::thread([&] { elsewhere = thread_count(); }).join();
    EXPECT_EQ(elsewhere, before) << "another thread has its own count";
  }
  EXPECT_EQ(thread_count(), before);
}

}  // namespace
}  // namespace d2deploy
