// What goes wrong on a device: it says so, and what can go on does.
#include <gtest/gtest.h>
#ifdef D2DEPLOY_TEST_EMULATED

#include <cstdio>

#include "core/device_driver.h"
#include "core/emulated_stream.h"
#include "on_gpu.h"
#include "runtime/session.h"
#include "small_nets.h"

namespace d2deploy::testing {
namespace {

const std::string kNet = "input data float32 ?x2x?x?\n" + weights("w", "4x2x3x3", 72) + weights("b", "4", 4) + R"(
x = Conv(data, w, b) {kernels=[3,3] pads=[1,1,1,1]}
y = MaxPool(x) {kernels=[2,2] strides=[2,2]}
z = Sigmoid(y)
output z
)";
const char* const kLost =
    "cuda:0 is lost to this process: an illegal memory access was encountered; start the process anew";

Tensors input(std::int64_t side) { return {{"data", noise({1, 2, side, side}, static_cast<unsigned>(side))}}; }

Tensors answer(std::int64_t side) { return cloned(Session(model_of(kNet, on_gpu())).run(input(side))); }

class FaultyDevice : public ::testing::Test {
 protected:
  EmulatedDevice& gpu = emulated_device(0);

  void TearDown() override {
    gpu.capacity = SIZE_MAX;
    gpu.launches_left = gpu.launches_until_broken = INT64_MAX;
    gpu.broken = false;
    forget_lost_devices();
  }

  static int pending(Session& session) {
    return static_cast<const EmulatedStream*>(impl_of(session).frame->stream().handle())->pending;
  }
};

// Whichever allocation it is that fails. What the failed run had got would not leave enough for the next one.
TEST_F(FaultyDevice, WithoutMemoryLeavesTheSessionUsable) {
  const Tensors small = answer(24), large = answer(40);
  const auto model = model_of(kNet, on_gpu());
  Session session(model);
  EXPECT_TRUE(same_bits(session.run(input(24)), small));
  const std::size_t used = gpu.bytes;
  int failures = 0;
  for (std::size_t more = 0;; more += 1 << 10) {
    gpu.capacity = used + more;
    bool has_run = false;
    const std::string message = message_of<DeviceError>([&] {
      session.run(input(40));
      has_run = true;
    });
    if (has_run) break;
    ++failures;
    const auto words = message.find("out of memory of cuda:0");
    ASSERT_NE(words, std::string::npos) << message;
    unsigned long long wanted = 0, free = 0, all = 0;
    ASSERT_EQ(std::sscanf(message.c_str() + words,
                          "out of memory of cuda:0: wanted %llu bytes, free are %llu of %llu; give smaller images",
                          &wanted, &free, &all),
              3)
        << message;
    EXPECT_GT(wanted, free) << message;
    EXPECT_EQ(all, gpu.capacity);
    EXPECT_TRUE(same_bits(session.run(input(24)), small)) << message;
    gpu.capacity = SIZE_MAX;
    EXPECT_TRUE(same_bits(Session(model).run(input(24)), small)) << "another session of the model";
  }
  EXPECT_GT(failures, 1);
  EXPECT_TRUE(same_bits(session.run(input(40)), large));
}

TEST_F(FaultyDevice, ThatIsLostSaysSoAtOnce) {
  const auto model = model_of(kNet, on_gpu());
  Session session(model), other(model_of(kNet, on_gpu("float32", "cuda:1")));
  const Tensors want = cloned(session.run(input(8)));
  Session fresh(model);
  gpu.launches_until_broken = 1;
  EXPECT_EQ(message_of<DeviceError>([&] { fresh.run(input(8)); }), kLost);
  const auto allocations = gpu.allocations.load();
  for (int i = 0; i < 2; ++i) {
    EXPECT_EQ(message_of<DeviceError>([&] { session.run(input(8)); }), kLost);
    EXPECT_EQ(message_of<DeviceError>([&] { (void)model_of(kNet, on_gpu()); }), kLost);
  }
  EXPECT_EQ(gpu.allocations, allocations);
  EXPECT_TRUE(same_bits(other.run(input(8)), want)) << "another device is not";
}

// In a run that is replayed, it shows when that is waited for.
TEST_F(FaultyDevice, ThatBreaksInAReplayIsLost) {
  Session session(model_of(kNet, on_gpu()));
  for (int i = 0; i < 2; ++i) session.run(input(8));
  gpu.broken = true;
  EXPECT_EQ(message_of<DeviceError>([&] { session.run(input(8)); }), kLost);
}

// The first run is launched, the second recorded.
TEST_F(FaultyDevice, ThatRefusesALaunchLeavesTheSessionUsable) {
  const Tensors want = answer(8);
  for (const int good_runs : {0, 1})
    for (const bool profiling : {false, true}) {
      Session session(model_of(kNet, on_gpu()));
      session.set_profiling(profiling);
      for (int i = 0; i < good_runs; ++i) session.run(input(8));
      gpu.launches_left = 2;
      const std::string message = message_of<DeviceError>([&] { session.run(input(8)); });
      EXPECT_NE(message.find("too many resources requested for launch"), std::string::npos) << message;
      EXPECT_EQ(pending(session), 0) << "work that reads the caller's memory was left under way";
      gpu.launches_left = INT64_MAX;
      for (int i = 0; i < 3; ++i) EXPECT_TRUE(same_bits(session.run(input(8)), want)) << good_runs << ' ' << i;
    }
}

}  // namespace
}  // namespace d2deploy::testing
#endif
