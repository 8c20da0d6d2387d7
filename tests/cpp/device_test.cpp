// Memory of devices, and work on them: the CPU everywhere, a GPU where the build has one or emulates it.
#include "core/device.h"

#include <gtest/gtest.h>

#include <array>
#include <cstring>

#include "core/check.h"
#include "core/memory.h"
#include "message_of.h"

namespace d2deploy {

namespace {

constexpr Device kCpu{};
constexpr Device kGpu{Device::cuda, 0};

TEST(Device, TheHostIsOne) {
  EXPECT_EQ(device_count(Device::cpu), 1);
  EXPECT_EQ(device_name(kCpu), "CPU");
  const Stream stream;
  EXPECT_EQ(stream.device(), kCpu);
  EXPECT_EQ(stream.handle(), nullptr);
  stream.synchronize();
}

TEST(Device, OneThatIsNotThere) {
#ifdef D2DEPLOY_TEST_CUDA
  EXPECT_EQ(message_of<DeviceError>([] {
              (void)device_name({Device::cuda, 64});
            }),
            "there is no device cuda:64: this machine has " + std::to_string(device_count(Device::cuda)) +
                " of its kind, counted from 0");
#else
  EXPECT_EQ(device_count(Device::cuda), 0);
  EXPECT_EQ(message_of<Unsupported>([] { (void)allocate(kGpu, 8); }),
            "device cuda:0 is not available: this build runs on the CPU alone");
#endif
}

TEST(Device, MemoryIsAligned) {
  for (const std::size_t bytes : {0, 1, 65}) {
    const auto memory = allocate(kCpu, bytes);
    ASSERT_NE(memory, nullptr);
    EXPECT_EQ(reinterpret_cast<std::uintptr_t>(memory.get()) % kAlignment, 0U);
  }
}

TEST(Device, StreamsCopyAndClear) {
  std::array<int, 4> x{1, 2, 3, 4}, y{};
  const Stream stream;
  stream.copy(y.data(), kCpu, x.data(), kCpu, sizeof(x));
  EXPECT_EQ(y, x);
  stream.clear(&y[1], 2 * sizeof(int));
  EXPECT_EQ(y, (std::array<int, 4>{1, 0, 0, 4}));
  stream.copy(nullptr, kCpu, nullptr, kCpu, 0);
  EXPECT_EQ(message_of<InternalError>([&] { stream.copy(y.data(), kGpu, x.data(), kCpu, sizeof(x)); }),
            "a stream of device cpu cannot copy memory of cuda:0");
}

TEST(Device, EventsMeasureTime) {
  const Stream stream;
  Event begin, end;
  begin.record(stream);
  end.record(stream);
  end.synchronize();
  EXPECT_GE(end.milliseconds_since(begin), 0);
}

#ifdef D2DEPLOY_TEST_CUDA
TEST(Gpu, TensorsGoThereAndBack) {
  ASSERT_GE(device_count(Device::cuda), 1);
  EXPECT_NE(device_name(kGpu), "CPU");
  const Stream stream(kGpu);
  EXPECT_NE(stream.handle(), nullptr);
  const Tensor x = Tensor::of<float>({2, 2}, {1, 2, 3, 4});
  const Tensor there = copy_to(kGpu, x, stream), other = copy_to(kGpu, there, stream);
  EXPECT_EQ(there.device(), kGpu);
  EXPECT_EQ(there.type(), x.type());
  EXPECT_NE(there.raw(), other.raw());
  const Tensor back = copy_to(kCpu, other, stream);
  stream.synchronize();
  EXPECT_EQ(back.device(), kCpu);
  EXPECT_EQ(std::memcmp(back.raw(), x.raw(), static_cast<std::size_t>(x.bytes())), 0);
}

TEST(Gpu, TheHostDoesNotReadItsMemory) {
  const Stream stream(kGpu);
  const Tensor there = copy_to(kGpu, Tensor::of<float>({3}, {1, 2, 3}), stream);
  EXPECT_EQ(message_of<InternalError>([&] { (void)there.data<float>(); }),
            "tensor (3,) is in the memory of cuda:0, the host cannot read it");
  EXPECT_EQ(message_of<InternalError>([&] { (void)there.clone(); }), "clone: tensor (3,) is in the memory of cuda:0");
  const Event event(kGpu);
  Event of_host;
  EXPECT_EQ(message_of<InternalError>([&] { of_host.record(stream); }), "an event of device cpu in a stream of cuda:0");
}
#endif

}  // namespace
}  // namespace d2deploy
