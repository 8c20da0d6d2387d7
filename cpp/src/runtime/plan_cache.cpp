#include "runtime/plan_cache.h"

#include <algorithm>

namespace d2deploy {

std::shared_ptr<const Plan> PlanCache::get(const TypeMap& types, const std::function<Plan()>& make) {
  std::promise<std::shared_ptr<const Plan>> promise;
  Future plan;
  bool maker = false;
  {
    const std::lock_guard lock(mutex_);
    const auto it = std::ranges::find(entries_, types, &Entry::types);
    maker = it == entries_.end();
    if (maker) {
      plan = promise.get_future().share();
      entries_.push_front({types, plan});
      if (entries_.size() > kMostPlans) entries_.pop_back();
    } else {
      plan = it->plan;
      entries_.splice(entries_.begin(), entries_, it);
    }
  }
  if (!maker) return plan.get();
  try {
    promise.set_value(std::make_shared<const Plan>(make()));
  } catch (...) {
    {
      const std::lock_guard lock(mutex_);
      std::erase_if(entries_, [&](const Entry& e) { return e.types == types; });
    }
    promise.set_exception(std::current_exception());
  }
  return plan.get();
}

}  // namespace d2deploy
