// Jobs of callers in many threads, done several at a time.
#pragma once
#include <algorithm>
#include <bit>
#include <condition_variable>
#include <deque>
#include <exception>
#include <functional>
#include <memory>
#include <mutex>
#include <span>
#include <utility>
#include <vector>

namespace d2deploy {

/// Callers that come while all turns are taken wait, and then go together: those who wait longest first, with all who
/// go with them, in numbers that are powers of two, so that a few plans serve. Where a turn is free nobody waits.
///
/// A Job has `bool goes_with(const Job&) const`, an equivalence.
template <class Job>
class Batcher {
 public:
  /// For as long as somebody holds it, one turn is taken.
  using Turn = std::shared_ptr<const void>;
  using Work = std::function<void(std::span<Job* const> jobs, const Turn& turn)>;

  /// Args: `turns` that may be taken at the same time; `most` jobs in one.
  Batcher(std::size_t turns, std::size_t most) : free_(turns), most_(most) {}

  /// Returns when the job is done: by `work` here, or by that of another caller. What work throws, all whose jobs it
  /// was given throw.
  void run(Job& job, const Work& work) {
    Entry own{&job};
    std::vector<Entry*> taken;
    std::vector<Job*> jobs;
    taken.reserve(most_);
    jobs.reserve(most_);
    std::unique_lock lock(mutex_);
    waiting_.push_back(&own);
    changed_.wait(lock, [&] { return own.done || (free_ > 0 && waiting_.front() == &own); });
    if (!own.done) {
      take(taken);
      --free_;
      changed_.notify_all();  // another may be in front now
      lock.unlock();
      std::exception_ptr error;
      try {
        for (const Entry* entry : taken) jobs.push_back(entry->job);
        const Turn turn(this, [](Batcher* batcher) { batcher->end_turn(); });
        work(jobs, turn);
      } catch (...) {
        error = std::current_exception();
      }
      lock.lock();
      for (Entry* entry : taken) {
        entry->error = error;
        entry->done = true;
      }
      changed_.notify_all();
    }
    lock.unlock();
    if (own.error) std::rethrow_exception(own.error);
  }

  /// Jobs that have not begun.
  std::size_t waiting() {
    const std::scoped_lock lock(mutex_);
    return waiting_.size();
  }

 private:
  struct Entry {
    Job* job;
    bool done = false;
    std::exception_ptr error = nullptr;
  };

  // Moves the first that waits, and who goes with it, to `taken`.
  void take(std::vector<Entry*>& taken) {
    const Job& first = *waiting_.front()->job;
    const auto goes = [&](const Entry* entry) { return entry->job->goes_with(first); };
    const auto count = static_cast<std::size_t>(std::ranges::count_if(waiting_, goes));
    const std::size_t wanted = std::bit_floor(std::min(count, most_));
    std::erase_if(waiting_, [&](Entry* entry) {
      const bool goes_now = taken.size() < wanted && goes(entry);
      if (goes_now) taken.push_back(entry);
      return goes_now;
    });
  }

  void end_turn() {
    const std::scoped_lock lock(mutex_);
    ++free_;
    changed_.notify_all();
  }

  std::mutex mutex_;
  std::condition_variable changed_;
  std::deque<Entry*> waiting_;  // in the order in which they came
  std::size_t free_;            // turns
  std::size_t most_;
};

}  // namespace d2deploy
