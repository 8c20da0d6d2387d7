// Which steps wait for which, in plans made by hand.
#include "runtime/step_waits.h"

#include <gtest/gtest.h>

namespace d2deploy {
namespace {

class HandMadePlan {
 public:
  // A value of so many floats at an offset of the arena.
  std::size_t value(std::size_t offset, std::int64_t size = 16, int rows = -1) {
    PlannedValue v;
    v.type = f32({size});
    v.rows = rows;
    v.root = plan_.values.size();
    v.offset = offset;
    plan_.values.push_back(v);
    return v.root;
  }
  Step& step(std::vector<std::size_t> inputs, std::vector<std::size_t> outputs) {
    Step s;
    s.op = find_operator("Relu");
    s.kernel = s.op->kernels.data();
    s.inputs = std::move(inputs);
    s.outputs = std::move(outputs);
    plan_.steps.push_back(s);
    return plan_.steps.back();
  }
  PlannedValue& at(std::size_t v) { return plan_.values[v]; }
  PartOrder order() const { return step_waits(plan_); }

 private:
  Plan plan_;
};

TEST(StepWaits, FollowsData) {
  HandMadePlan plan;
  const auto a = plan.value(0), b = plan.value(64), c = plan.value(128), d = plan.value(192);
  plan.step({}, {a});
  plan.step({a}, {b});
  plan.step({a}, {c});
  plan.step({b, c}, {d});
  EXPECT_EQ(plan.order(), (PartOrder{{}, {0}, {0}, {2, 1}}));
}

TEST(StepWaits, LeavesOutWhatOthersWaitForAlready) {
  HandMadePlan plan;
  const auto a = plan.value(0), b = plan.value(64), c = plan.value(128);
  plan.step({}, {a});
  plan.step({a}, {b});
  plan.step({a, b}, {c});
  EXPECT_EQ(plan.order(), (PartOrder{{}, {0}, {1}}));
}

// The memory of a value is another's later, of which it is a part.
TEST(StepWaits, DoesNotOverwriteWhatIsStillRead) {
  HandMadePlan plan;
  const auto a = plan.value(0, 32), b = plan.value(128), c = plan.value(64), d = plan.value(192);
  plan.step({}, {a});
  plan.step({a}, {b});
  plan.step({}, {c});
  plan.step({c}, {d});
  EXPECT_EQ(plan.order(), (PartOrder{{}, {0}, {1}, {2}}));
}

TEST(StepWaits, KeepsScratchMemoryApart) {
  HandMadePlan plan;
  const auto a = plan.value(0), b = plan.value(64), c = plan.value(128);
  for (const auto v : {a, b}) {
    Step& step = plan.step({}, {v});
    step.prepared.scratch_bytes = 8;
    step.scratch_offset = 256;
  }
  Step& apart = plan.step({}, {c});
  apart.prepared.scratch_bytes = 8;
  apart.scratch_offset = 264;
  EXPECT_EQ(plan.order(), (PartOrder{{}, {0}, {}}));
}

TEST(StepWaits, WaitsForRowCounts) {
  HandMadePlan plan;
  const auto a = plan.value(0, 16, 0), b = plan.value(64, 16, 0), c = plan.value(128);
  plan.step({}, {a}).writes = {0};
  plan.step({b}, {c});  // reads other memory than the first step writes
  plan.step({}, {plan.value(192)}).writes = {1};
  EXPECT_EQ(plan.order(), (PartOrder{{}, {0}, {}}));
}

TEST(StepWaits, SeesThroughViewsAndPastInputs) {
  HandMadePlan plan;
  const auto x = plan.value(0), a = plan.value(0), view = plan.value(999), b = plan.value(64), c = plan.value(128);
  plan.at(x).place = PlannedValue::Place::input;
  plan.at(view).place = PlannedValue::Place::alias;
  plan.at(view).root = a;
  plan.step({x}, {a});  // the input's memory is not the arena's
  plan.step({a}, {view}).kernel = nullptr;
  plan.step({view}, {b});
  plan.step({x}, {c});
  EXPECT_EQ(plan.order(), (PartOrder{{}, {}, {0}, {}}));
}

}  // namespace
}  // namespace d2deploy
