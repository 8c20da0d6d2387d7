// Many sessions of one model in many threads: each gets, bit for bit, what it gets alone. The preset tsan runs this
// under the thread sanitizer.
#include <gtest/gtest.h>

#include <algorithm>
#include <atomic>
#include <cstring>
#include <thread>

#include "graph/graph.h"
#include "runtime/model.h"
#include "small_detector.h"

namespace d2deploy::testing {
namespace {

constexpr int kThreads = 6;
constexpr int kShapes = 11;  // more than a model keeps plans for, so that plans come and go while others run
constexpr int kRuns = 33;

float value(std::uint32_t& state) {
  state = state * 1664525U + 1013904223U;  // Numerical Recipes' generator
  return static_cast<float>(state >> 16) / 4096.0F - 8.0F;
}

// Request number i: its own size, picture and number of images.
Tensors request(int i) {
  auto state = static_cast<std::uint32_t>(i + 1);
  const std::int64_t images = 1 + i % 2;
  Tensor data = Tensor::allocate({DType::float32, {images, 2, 8 + i % kShapes, 9 + i % 3}, Layout::row_major});
  for (std::int64_t k = 0; k < data.size(); ++k) data.data<float>()[k] = value(state);
  Tensor im_info = Tensor::allocate({DType::float32, {images, 3}, Layout::row_major});
  for (std::int64_t n = 0; n < images; ++n) {
    const float row[] = {16.0F + static_cast<float>(i % kShapes), 18.0F, 1.0F};
    std::memcpy(im_info.data<float>() + 3 * n, row, sizeof row);
  }
  return {{"data", data}, {"im_info", im_info}};
}

Tensors cloned(const Tensors& tensors) {
  Tensors out;
  for (const auto& [name, tensor] : tensors) out[name] = tensor.clone();
  return out;
}

bool same_bits(const Tensors& a, const Tensors& b) {
  return a.size() == b.size() && std::ranges::all_of(a, [&](const auto& entry) {
           const auto it = b.find(entry.first);
           if (it == b.end() || it->second.type() != entry.second.type()) return false;
           return std::memcmp(it->second.raw(), entry.second.raw(), static_cast<std::size_t>(entry.second.bytes())) ==
                  0;
         });
}

// The answer to every request, from a model and a session that see no other.
std::vector<Tensors> answers_alone(const ModelOptions& options) {
  std::vector<Tensors> answers;
  for (int i = 0; i < kRuns; ++i) {
    Session session(Model::Impl::make(parse_graph(small_detector()), options));
    answers.push_back(cloned(session.run(request(i))));
  }
  return answers;
}

class Threads : public ::testing::TestWithParam<int> {};

TEST_P(Threads, SessionsOfOneModelDoNotTouch) {
  ModelOptions options;
  options.threads = GetParam();
  const std::vector<Tensors> alone = answers_alone(options);
  ASSERT_GT(alone[0].at("score").size(), 0) << "the detector finds nothing, so there is little to compare";

  const auto model = Model::Impl::make(parse_graph(small_detector()), options);
  std::atomic<int> wrong = 0, failed = 0;
  std::vector<std::thread> threads;
  for (int t = 0; t < kThreads; ++t)
    threads.emplace_back([&, t] {
      try {
        Session first(model), second(model);  // two of one caller must not touch either
        for (int r = 0; r < kRuns; ++r) {
          const auto a = static_cast<std::size_t>((r * 5 + t * 7) % kRuns), b = (a + 1) % kRuns;
          const Tensors found_a = first.run(request(static_cast<int>(a)));
          const Tensors found_b = second.run(request(static_cast<int>(b)));
          wrong += same_bits(found_a, alone[a]) ? 0 : 1;
          wrong += same_bits(found_b, alone[b]) ? 0 : 1;
        }
      } catch (const std::exception& e) {
        ++failed;
        ADD_FAILURE() << "thread " << t << ": " << e.what();
      }
    });
  for (auto& thread : threads) thread.join();
  EXPECT_EQ(failed, 0);
  EXPECT_EQ(wrong, 0) << "of " << 2 * kThreads * kRuns << " answers";
}
INSTANTIATE_TEST_SUITE_P(PerRun, Threads, ::testing::Values(1, 2));

// An error in one thread, while others run, leaves them and the model alone.
TEST(ThreadErrors, StayWithTheirCaller) {
  ModelOptions options;
  options.threads = 1;
  const auto model = Model::Impl::make(parse_graph(small_detector()), options);
  const Tensors want = cloned(Session(model).run(request(0)));
  std::atomic<int> refused = 0, wrong = 0;
  std::vector<std::thread> threads;
  for (int t = 0; t < kThreads; ++t)
    threads.emplace_back([&, t] {
      Session session(model);
      for (int r = 0; r < kRuns; ++r) {
        Tensors inputs = request(0);
        if (t % 2 == 1) inputs.erase("im_info");
        try {
          wrong += same_bits(session.run(inputs), want) ? 0 : 1;
        } catch (const InvalidArgument&) {
          ++refused;
        }
      }
    });
  for (auto& thread : threads) thread.join();
  EXPECT_EQ(wrong, 0);
  EXPECT_EQ(refused, kThreads / 2 * kRuns);
}

}  // namespace
}  // namespace d2deploy::testing
