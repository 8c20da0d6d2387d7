// Jobs of callers in many threads, done several at a time.
#pragma once
#include <algorithm>
#include <atomic>
#include <bit>
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
    own.led.reserve(most_);
    {
      const std::scoped_lock lock(mutex_);
      waiting_.push_back(&own);
      begin_next();
    }
    own.woken.wait(0);
    if (!own.led.empty()) lead(own, work);
    if (own.error) std::rethrow_exception(own.error);
  }

  /// Jobs that have not begun.
  std::size_t waiting() {
    const std::scoped_lock lock(mutex_);
    return waiting_.size();
  }

 private:
  // A caller. It waits with an atomic: a condition variable would need a newer libstdc++ than wheels may.
  struct Entry {
    Job* job;
    std::vector<Entry*> led = {};  // itself and who goes with it; of the others none
    std::exception_ptr error = nullptr;
    std::atomic<int> woken = 0;

    void wake() {
      woken = 1;
      woken.notify_one();
    }
  };

  void lead(Entry& own, const Work& work) {
    try {
      const Turn turn(this, [](Batcher* batcher) { batcher->end_turn(); });
      std::vector<Job*> jobs;
      for (const Entry* entry : own.led) jobs.push_back(entry->job);
      work(jobs, turn);
    } catch (...) {
      own.error = std::current_exception();
    }
    for (Entry* entry : own.led)
      if (entry != &own) {
        entry->error = own.error;
        entry->wake();  // the last that may be done with it: its caller returns
      }
  }

  // While there are turns, the first that waits leads those who go with it. Under the lock.
  void begin_next() {
    while (free_ > 0 && !waiting_.empty()) {
      Entry& first = *waiting_.front();
      const auto goes = [&](const Entry* entry) { return entry->job->goes_with(*first.job); };
      const auto count = static_cast<std::size_t>(std::ranges::count_if(waiting_, goes));
      const std::size_t wanted = std::bit_floor(std::min(count, most_));
      std::erase_if(waiting_, [&](Entry* entry) {
        const bool goes_now = first.led.size() < wanted && goes(entry);
        if (goes_now) first.led.push_back(entry);
        return goes_now;
      });
      --free_;
      first.wake();
    }
  }

  void end_turn() {
    const std::scoped_lock lock(mutex_);
    ++free_;
    begin_next();
  }

  std::mutex mutex_;
  std::deque<Entry*> waiting_;  // in the order in which they came
  std::size_t free_;            // turns
  std::size_t most_;
};

}  // namespace d2deploy
