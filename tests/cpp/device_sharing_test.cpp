// Many sessions, models and threads on one device, and on several.
#include <gtest/gtest.h>
#ifdef D2DEPLOY_TEST_EMULATED

#include <array>
#include <thread>

#include "core/device.h"
#include "core/emulated_stream.h"
#include "d2deploy/session_pool.h"
#include "on_gpu.h"
#include "small_nets.h"

namespace d2deploy::testing {
namespace {

// On the host in place of a GPU each has a block of up to 1024 fibers, whose stacks take two of the 65530 mappings that
// a process may have; sanitizers keep much memory for each.
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
constexpr std::size_t kThreads = 4;
#elif defined(D2DEPLOY_TEST_EMULATED)
constexpr std::size_t kThreads = 16;
#else
constexpr std::size_t kThreads = 32;
#endif

// What the threads found wrong; empty: nothing.
std::string in_threads(const std::function<bool(std::size_t thread)>& is_right) {
  std::array<std::string, kThreads> wrong;
  {
    std::vector<std::jthread> threads;
    for (std::size_t i = 0; i < kThreads; ++i)
      threads.emplace_back([&, i] {
        try {
          if (!is_right(i)) wrong[i] = join("thread ", i, " got something else\n");
        } catch (const std::exception& e) {
          wrong[i] = e.what() + std::string("\n");
        }
      });
  }
  std::string all;
  for (const auto& text : wrong) all += text;
  return all;
}

std::vector<Tensors> answers(const std::shared_ptr<const Model>& model) {
  std::vector<Tensors> all;
  for (std::int64_t i = 0; i < kImages; ++i) all.push_back(cloned(Session(model).run(image(pictures(), i))));
  return all;
}

// Half of the sessions end while others run.
TEST(SharedDevice, ServesManyThreadsOfOneModel) {
  const auto model = model_of(detector(2, mask_head(2), "mask"), on_gpu());
  const std::vector<Tensors> want = answers(model);
  SessionPool pool(model);
  EXPECT_EQ(in_threads([&](std::size_t thread) {
              bool right = true;
              for (std::size_t run = 0; run < 2; ++run) {
                const std::size_t picture = (thread + run) % kImages;
                const Tensors one = image(pictures(), static_cast<std::int64_t>(picture));
                if (thread % 2 == 0) {
                  right = right && same_bits(Session(model).run(one), want[picture]);
                } else {
                  const SessionPool::Lease session(pool);
                  right = right && same_bits(session->run(one), want[picture]);
                }
              }
              return right;
            }),
            "");
}

// Models on both devices; half of the threads change from one to the other.
TEST(SharedDevice, StandsBesideAnother) {
  ASSERT_GE(device_count(Device::cuda), 2);
  const std::array before{emulated_device(0).bytes.load(), emulated_device(1).bytes.load()};
  {
    const std::array models{model_of(small_detector(), on_gpu("float32", "cuda:0")),
                            model_of(small_detector(), on_gpu("float32", "cuda:1"))};
    const std::vector<Tensors> want = answers(models[0]);
    EXPECT_EQ(in_threads([&](std::size_t thread) {
                Session a(models[thread % 2]), b(models[thread / 2 % 2]);
                bool right = true;
                for (std::size_t picture = 0; picture < 2; ++picture)
                  for (Session* session : {&a, &b}) {
                    const Tensors one = image(pictures(), static_cast<std::int64_t>(picture));
                    right = right && same_bits(session->run(one), want[picture]);
                  }
                return right;
              }),
              "");
    for (const std::size_t i : {0, 1}) EXPECT_GT(emulated_device(static_cast<int>(i)).bytes, before[i]);
  }
  for (const std::size_t i : {0, 1}) EXPECT_EQ(emulated_device(static_cast<int>(i)).bytes, before[i]);
}

TEST(SharedDevice, GetsAllOfItsMemoryBack) {
  const std::size_t before = emulated_device(0).bytes;
  const std::string text = "input data float32 1x2x3x5\n" + weights("w", "3x2x3x3", 54) + weights("b", "3", 3) +
                           "x = Conv(data, w, b) {kernels=[3,3] pads=[1,1,1,1]}\ny = Sigmoid(x)\noutput y\n";
  const Tensors given{{"data", noise({1, 2, 3, 5})}};
  const Tensors want = cloned(Session(model_of(text, on_gpu())).run(given));
  for (int i = 0; i < 1000; ++i) {
    const auto model = model_of(text, on_gpu());
    Session session(model);
    ASSERT_TRUE(same_bits(session.run(given), want)) << "model " << i;
    ASSERT_GT(emulated_device(0).bytes, before);
  }
  EXPECT_EQ(emulated_device(0).bytes, before);
}

// The library refuses in the emulation what is launched while another device is the thread's.
TEST(SharedDevice, TakesLaunchesOfItsOwnThreadsAlone) {
  const Stream stream({Device::cuda, 1});
  auto& emulated = *static_cast<EmulatedStream*>(stream.handle());
  EXPECT_EQ(message_of<InternalError>([&] {
              check_launch(emulated, {"kernel", {}});
            }),
            "kernel is launched into a stream of cuda:1 while the thread's device is cuda:0");
  const DeviceScope scope({Device::cuda, 1});
  check_launch(emulated, {"kernel", {}});
}

}  // namespace
}  // namespace d2deploy::testing
#endif
