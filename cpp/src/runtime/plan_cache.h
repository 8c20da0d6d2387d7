// The plans of a model that were used last, by the types of its inputs.
#pragma once
#include <functional>
#include <future>
#include <list>
#include <memory>
#include <mutex>

#include "runtime/plan.h"

namespace d2deploy {

/// Thread-safe. A plan is made outside of the lock by the first that asks for it; others that want the same one wait
/// for it, everybody else goes on. Where making it fails, all that waited get the error, and the next one tries again.
class PlanCache {
 public:
  static constexpr std::size_t kMostPlans = 8;  // a plan holds no weights: a few hundred kilobytes

  std::shared_ptr<const Plan> get(const TypeMap& types, const std::function<Plan()>& make);

 private:
  using Future = std::shared_future<std::shared_ptr<const Plan>>;
  struct Entry {
    TypeMap types;
    Future plan;
  };

  std::mutex mutex_;
  std::list<Entry> entries_;  // most recently used first
};

}  // namespace d2deploy
