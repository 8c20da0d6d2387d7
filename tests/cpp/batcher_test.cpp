// Jobs of several threads that are done together.
#include "detector/batcher.h"

#include <gtest/gtest.h>

#include <atomic>
#include <latch>
#include <stdexcept>
#include <thread>

namespace d2deploy {
namespace {

struct Job {
  int kind = 0, done_in = -1;
  bool goes_with(const Job& other) const { return kind == other.kind; }
};

using Jobs = Batcher<Job>;

// A batcher of one turn which is taken while jobs come, one after the other, and begin to wait.
class Gathered {
 public:
  Gathered(std::size_t most, const std::vector<int>& kinds) : batcher_(1, most), jobs_(kinds.size()) {
    std::latch begun(1), go(1);
    std::jthread first([&] {
      Job job;
      batcher_.run(job, [&](std::span<Job* const>, const Jobs::Turn&) {
        begun.count_down();
        go.wait();
      });
    });
    begun.wait();
    std::vector<std::jthread> threads;
    for (std::size_t i = 0; i < kinds.size(); ++i) {
      jobs_[i].kind = kinds[i];
      threads.emplace_back([this, i] {
        batcher_.run(jobs_[i], [this](std::span<Job* const> jobs, const Jobs::Turn&) {
          for (Job* job : jobs) job->done_in = static_cast<int>(sizes.size());
          sizes.push_back(jobs.size());  // one turn: no two at the same time
        });
      });
      while (batcher_.waiting() <= i) std::this_thread::yield();
    }
    go.count_down();
  }

  std::vector<std::size_t> sizes;  // of each call of work
  std::vector<int> done_in() const {
    std::vector<int> calls;
    for (const Job& job : jobs_) calls.push_back(job.done_in);
    return calls;
  }

 private:
  Jobs batcher_;
  std::vector<Job> jobs_;
};

TEST(Batcher, WhoeverFindsATurnGoesAlone) {
  Jobs batcher(2, 8);
  for (int i = 0; i < 3; ++i) {
    Job job;
    batcher.run(job, [](std::span<Job* const> jobs, const Jobs::Turn&) {
      ASSERT_EQ(jobs.size(), 1U);
      jobs[0]->done_in = 7;
    });
    EXPECT_EQ(job.done_in, 7);
  }
}

TEST(Batcher, WhoeverWaitsGoesTogether) {
  const Gathered four(4, {0, 0, 0, 0});
  EXPECT_EQ(four.sizes, std::vector<std::size_t>{4});
}

TEST(Batcher, TakesPowersOfTwoUpToTheMost) {
  const Gathered seven(8, {0, 0, 0, 0, 0, 0, 0});
  EXPECT_EQ(seven.sizes, (std::vector<std::size_t>{4, 2, 1}));
  EXPECT_EQ(seven.done_in(), (std::vector<int>{0, 0, 0, 0, 1, 1, 2}));
  const Gathered five(3, {0, 0, 0, 0, 0});
  EXPECT_EQ(five.sizes, (std::vector<std::size_t>{2, 2, 1}));
}

TEST(Batcher, OthersWaitForTheirTurnInOrder) {
  const Gathered mixed(4, {0, 1, 0, 2, 1, 0, 0});
  EXPECT_EQ(mixed.done_in(), (std::vector<int>{0, 1, 0, 2, 1, 0, 0}));
}

TEST(Batcher, ATurnLastsAsLongAsItIsHeld) {
  Jobs batcher(1, 1);
  Jobs::Turn held;
  Job first;
  batcher.run(first, [&](std::span<Job* const>, const Jobs::Turn& turn) { held = turn; });
  std::atomic<bool> second_done = false;
  const std::jthread second([&] {
    Job job;
    batcher.run(job, [](std::span<Job* const>, const Jobs::Turn&) {});
    second_done = true;
  });
  while (batcher.waiting() == 0 && !second_done) std::this_thread::yield();
  EXPECT_FALSE(second_done);
  held.reset();
}

TEST(Batcher, AnErrorIsThatOfAllAndEndsTheTurn) {
  Jobs batcher(1, 4);
  Job job;
  const auto fails = [](std::span<Job* const>, const Jobs::Turn&) { throw std::runtime_error("no"); };
  for (int i = 0; i < 2; ++i) EXPECT_THROW(batcher.run(job, fails), std::runtime_error);
  batcher.run(job, [](std::span<Job* const> jobs, const Jobs::Turn&) { jobs[0]->done_in = 1; });
  EXPECT_EQ(job.done_in, 1);
}

TEST(BatcherThreads, EveryJobIsDoneOnce) {
  Jobs batcher(2, 4);
  std::atomic<int> done = 0;
  std::vector<std::jthread> threads;
  for (int t = 0; t < 8; ++t)
    threads.emplace_back([&, t] {
      for (int i = 0; i < 200; ++i) {
        Job job{t % 3};
        batcher.run(job, [&](std::span<Job* const> jobs, const Jobs::Turn&) {
          for (Job* other : jobs) {
            EXPECT_EQ(other->kind, jobs[0]->kind);
            EXPECT_EQ(other->done_in, -1);
            other->done_in = 1;
            ++done;
          }
        });
        EXPECT_EQ(job.done_in, 1);
      }
    });
  threads.clear();
  EXPECT_EQ(done, 8 * 200);
}

}  // namespace
}  // namespace d2deploy
