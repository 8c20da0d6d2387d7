// Plans are made outside of the cache's lock, one maker per key.
#include "runtime/plan_cache.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <latch>
#include <thread>

#include "core/check.h"
#include "net_run.h"

namespace d2deploy {
namespace {

TypeMap key(std::int64_t width) { return {{"x", f32({1, 1, 1, width})}}; }

TEST(PlanCache, OthersOfTheKeyWaitEverythingElseRunsOn) {
  PlanCache cache;
  std::latch started(1), finish(1);
  std::shared_ptr<const Plan> slow, waited;
  std::atomic<int> makers = 0;
  const auto make = [&] {
    ++makers;
    started.count_down();
    finish.wait();
    return Plan();
  };
  std::thread maker([&] { slow = cache.get(key(1), make); });
  started.wait();
  std::thread waiter([&] { waited = cache.get(key(1), make); });
  // The maker stands still; under one lock these would hang.
  const auto other = cache.get(key(2), [] { return Plan(); });
  EXPECT_EQ(cache.get(key(2), [] { return Plan(); }), other);
  finish.count_down();
  maker.join();
  waiter.join();
  EXPECT_EQ(makers, 1);
  EXPECT_EQ(slow, waited);
  EXPECT_NE(slow, other);
}

TEST(PlanCache, AnErrorReachesTheCallerAndTheNextOneTriesAgain) {
  PlanCache cache;
  const auto fails = []() -> Plan { fail<InvalidArgument>("too large"); };
  EXPECT_EQ(message_of<InvalidArgument>([&] { (void)cache.get(key(1), fails); }), "too large");
  EXPECT_NE(cache.get(key(1), [] { return Plan(); }), nullptr);
}

#ifdef D2DEPLOY_TEST_ONEDNN
TEST(Constants, HaveOneFormForAllImageSizes) {
  const auto model = model_of(
      "input x float32 1x16x?x?\n"
      "const w float32 32x16x3x3\n"
      "const b float32 32\n"
      "y = Conv(x, w, b) {kernels=[3,3] pads=[1,1,1,1]}\n"
      "output y\n");
  const Model::Impl& impl = impl_of(*model);
  Constant& weights = *impl.constants.at("w");
  for (const std::int64_t side : {64, 32, 48, 200, 40, 56, 72, 80, 88, 96, 64})  // more than are kept
    (void)impl.plan({{"x", f32({1, 16, side, side + 5})}});
  const auto forms = weights.forms();
  ASSERT_EQ(forms.size(), 1U);
  EXPECT_EQ(forms[0].owner, "Conv/onednn float32, group 1");
  EXPECT_GE(forms[0].bytes, std::size_t{4} * 32 * 16 * 9);
  EXPECT_TRUE(forms[0].exact);
}

// Winograd's form does not give the plain values back exactly: they stay, until oneDNN, for images of few tiles, has
// packed them in its own.
TEST(Constants, AFormThatIsNotExactServesAllLargeImages) {
  const auto model = model_of(
      "input x float32 1x64x?x?\n"
      "const w float32 64x64x3x3\n"
      "const b float32 64\n"
      "y = Conv(x, w, b) {kernels=[3,3] pads=[1,1,1,1]}\n"
      "output y\n");
  const Model::Impl& impl = impl_of(*model);
  Constant& weights = *impl.constants.at("w");
  const auto kernel_for = [&](std::int64_t side) {
    const auto plan = impl.plan({{"x", f32({1, 64, side, side})}});
    const auto conv = std::ranges::find(plan->steps, "Conv", [](const Step& step) { return step.op->type; });
    return conv == plan->steps.end() ? "none" : conv->kernel->name;
  };
  for (const std::int64_t side : {48, 32, 100}) EXPECT_EQ(kernel_for(side), "winograd_3x3_f32");
  auto forms = weights.forms();
  ASSERT_EQ(forms.size(), 1U);
  EXPECT_EQ(forms[0].owner, "Conv/winograd_3x3_f32");
  EXPECT_FALSE(forms[0].exact);
  const auto plain_values = [&] {
    const Tensor plain = weights.plain();
    const auto values = plain.values<float>();
    return std::vector<float>(values.begin(), values.end());
  };
  const std::vector<float> before = plain_values();
  EXPECT_EQ(kernel_for(8), "onednn_f32");
  forms = weights.forms();
  ASSERT_EQ(forms.size(), 2U);
  EXPECT_TRUE(forms[1].exact);
  EXPECT_EQ(plain_values(), before);
}
#endif

}  // namespace
}  // namespace d2deploy
