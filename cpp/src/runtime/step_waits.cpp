#include "runtime/step_waits.h"

#include <algorithm>

namespace d2deploy {

namespace {

// Bytes of the session's memory, or row slots.
struct Range {
  enum class Space { arena, slots } space;
  std::size_t begin, end;

  bool meets(const Range& other) const { return space == other.space && begin < other.end && other.begin < end; }
};

struct Accesses {
  std::vector<Range> reads, writes;
};

bool meet(const std::vector<Range>& a, const std::vector<Range>& b) {
  return std::ranges::any_of(
      a, [&](const Range& x) { return std::ranges::any_of(b, [&](const Range& y) { return x.meets(y); }); });
}

void add_value(const Plan& plan, std::size_t v, std::vector<Range>& ranges) {
  const PlannedValue& root = plan.values[plan.values[v].root];
  if (root.place != PlannedValue::Place::arena) return;  // inputs and constants, which no step writes
  ranges.push_back({Range::Space::arena, root.offset, root.offset + static_cast<std::size_t>(root.type.bytes())});
}

Accesses accesses_of(const Plan& plan, const Step& step) {
  Accesses all;
  if (step.kernel == nullptr) return all;  // a view touches no memory
  for (const std::size_t v : step.inputs) {
    add_value(plan, v, all.reads);
    if (const int slot = plan.values[v].rows; slot >= 0)
      all.reads.push_back({Range::Space::slots, static_cast<std::size_t>(slot), static_cast<std::size_t>(slot) + 1});
  }
  for (const std::size_t v : step.outputs) add_value(plan, v, all.writes);
  for (const std::size_t slot : step.writes) all.writes.push_back({Range::Space::slots, slot, slot + 1});
  if (step.prepared.scratch_bytes > 0)
    all.writes.push_back({Range::Space::arena, step.scratch_offset, step.scratch_offset + step.prepared.scratch_bytes});
  return all;
}

}  // namespace

PartOrder step_waits(const Plan& plan) {
  const std::size_t count = plan.steps.size();
  PartOrder after(count);
  std::vector<Accesses> accesses;
  std::vector<std::vector<bool>> waits_for;  // directly or not
  for (std::size_t i = 0; i < count; ++i) {
    accesses.push_back(accesses_of(plan, plan.steps[i]));
    waits_for.emplace_back(count);
    const Accesses& own = accesses[i];
    for (std::size_t j = i; j-- > 0;) {  // the latest first: they wait for most of the others
      const Accesses& other = accesses[j];
      if (waits_for[i][j] ||
          !(meet(other.writes, own.reads) || meet(other.writes, own.writes) || meet(other.reads, own.writes)))
        continue;
      after[i].push_back(j);
      waits_for[i][j] = true;
      for (std::size_t k = 0; k < j; ++k)
        if (waits_for[j][k]) waits_for[i][k] = true;
    }
  }
  return after;
}

}  // namespace d2deploy
