#include "runtime/step_order.h"

#include <algorithm>
#include <numeric>

namespace d2deploy {

namespace {

using Place = PlannedValue::Place;
using Indices = std::vector<std::size_t>;

// An order, and what moving a step of it would change. A step has a turn, the place in the order that it would like,
// and those with the same turn run as they stood: no step so comes before what makes its inputs.
class Order {
 public:
  explicit Order(const Plan& plan) : plan_(plan), steps_(plan.steps.size()), root_(plan.values.size()) {
    std::iota(steps_.begin(), steps_.end(), std::size_t{0});
    std::iota(root_.begin(), root_.end(), std::size_t{0});
    for (const Step& step : plan.steps)
      if (step.op->is(view)) root_[step.outputs[0]] = root_[step.inputs[0]];
  }

  // Steps that free more than they make come right behind what they wait for.
  void hoist() {
    const std::size_t count = steps_.size();
    Indices last(root_.size(), 0), made(root_.size(), 0), read(root_.size(), 0), turns(count);
    for (std::size_t i = 0; i < count; ++i)
      for (const auto v : step(i).inputs) last[root_[v]] = i;
    for (const auto v : plan_.outputs) last[root_[v]] = count;
    for (std::size_t i = 0; i < count; ++i) {
      std::size_t turn = 0;
      std::int64_t freed = 0;
      for (const auto v : step(i).inputs) turn = std::max(turn, made[v]);
      for (const auto v : memory_read(step(i))) {
        if (last[v] != i) continue;
        freed += bytes(v);
        turn = std::max(turn, read[v]);
      }
      turns[i] = freed > bytes_made(step(i)) || step(i).op->is(view) ? turn : i;
      for (const auto v : step(i).outputs) made[v] = turns[i];
      for (const auto v : step(i).inputs) read[root_[v]] = std::max(read[root_[v]], turns[i]);
    }
    sort_by(turns);
  }

  // The others come right before what reads them first.
  void postpone() {
    const std::size_t count = steps_.size();
    Indices first(root_.size(), count), last(root_.size(), 0), turns(count);
    for (const auto v : plan_.outputs) last[root_[v]] = count;
    for (std::size_t i = count; i-- > 0;) {
      std::size_t turn = count;
      for (const auto v : step(i).outputs) turn = std::min(turn, first[v]);
      std::int64_t kept = 0;
      for (const auto v : memory_read(step(i)))
        if (last[v] < turn) kept += bytes(v);
      const bool waits = turn < count && (kept <= bytes_made(step(i)) || step(i).op->is(view));
      turns[i] = waits ? turn : i;
      for (const auto v : step(i).inputs) {
        first[v] = std::min(first[v], turns[i]);
        last[root_[v]] = std::max(last[root_[v]], turns[i]);
      }
    }
    sort_by(turns);
  }

  Indices steps() const { return steps_; }

 private:
  const Step& step(std::size_t i) const { return plan_.steps[steps_[i]]; }

  std::int64_t bytes(std::size_t v) const {
    return plan_.values[v].place == Place::arena ? plan_.values[v].type.bytes() : 0;
  }
  std::int64_t bytes_made(const Step& step) const {
    std::int64_t made = 0;
    for (const auto v : step.outputs) made += root_[v] == v ? bytes(v) : 0;
    return made;
  }
  // Each memory once.
  Indices memory_read(const Step& step) const {
    Indices roots;
    for (const auto v : step.inputs) roots.push_back(root_[v]);
    std::ranges::sort(roots);
    roots.erase(std::unique(roots.begin(), roots.end()), roots.end());
    return roots;
  }

  void sort_by(const Indices& turns) {
    Indices places(steps_.size());
    std::iota(places.begin(), places.end(), std::size_t{0});
    std::ranges::stable_sort(places, {}, [&](std::size_t i) { return turns[i]; });
    Indices sorted;
    for (const auto i : places) sorted.push_back(steps_[i]);
    steps_ = std::move(sorted);
  }

  const Plan& plan_;
  Indices steps_, root_;  // root: of a view, the value whose memory it shows
};

}  // namespace

std::vector<std::size_t> order_for_memory(const Plan& plan) {
  Order order(plan);
  if (std::ranges::any_of(plan.steps, &Step::late)) return order.steps();
  order.hoist();
  order.postpone();
  return order.steps();
}

}  // namespace d2deploy
