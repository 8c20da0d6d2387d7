// Whole nets on a GPU, or on the host in place of one: what the CPU gives, in every run, and how the host goes about
// it.
#include <gtest/gtest.h>

#include <cstdio>

#include "frame_run.h"
#include "on_gpu.h"
#include "small_nets.h"
#ifdef D2DEPLOY_TEST_EMULATED
#include "core/emulated_stream.h"
#endif

namespace d2deploy::testing {
namespace {

// The largest difference of each output, relative to its largest number: sums are made in another order.
std::string gap(const Tensors& have, const Tensors& want) {
  constexpr float kTolerance = 2e-5F;
  if (have.size() != want.size()) return join(have.size(), " outputs, wanted ", want.size());
  for (const auto& [name, w] : want) {
    if (!have.contains(name) || have.at(name).type() != w.type()) return name + " is missing, or of another type";
    float most = 0, scale = 1;
    for (std::int64_t i = 0; i < w.size(); ++i) {
      most = std::max(most, std::fabs(have.at(name).data<float>()[i] - w.data<float>()[i]));
      scale = std::max(scale, std::fabs(w.data<float>()[i]));
    }
    if (!(most <= kTolerance * scale)) return join(name, " differs by ", most, ", its largest is ", scale);
  }
  return {};
}

class NetsOnAGpu : public ::testing::TestWithParam<SmallNet> {};

TEST_P(NetsOnAGpu, GiveWhatTheCpuGives) {
  const SmallNet& net = GetParam();
  Session cpu(model_of(net.text)), gpu(model_of(net.text, on_gpu()));
  for (std::int64_t i = 0; i < kImages; ++i) {
    const Tensors one = image(pictures(), i);
    EXPECT_EQ(gap(cloned(gpu.run(one)), cpu.run(one)), "") << "image " << i;
  }
  EXPECT_EQ(gap(cloned(gpu.run(pictures())), cpu.run(pictures())), "") << "all images";
}

// Operators that passes replace, each with its rows. Those of several values in one have no slot of their own.
TEST_P(NetsOnAGpu, GiveTheSameWithoutPassesOrRefuse) {
  ModelOptions options = on_gpu();
  options.optimize = false;
  Session cpu(model_of(GetParam().text)), gpu(model_of(GetParam().text, options));
  const Tensors one = image(pictures(), 1), want = cpu.run(one);
  if (GetParam().text.find("Concat(") != std::string::npos) {
    EXPECT_EQ(
        message_of<Unsupported>([&] { gpu.run(one); }),
        "node (Concat -> shuffled): has shapes that depend on data in a way that cuda:0 does not support; run it on "
        "the CPU, or let the passes replace it (optimize)");
    return;
  }
  for (int i = 0; i < 3; ++i) EXPECT_EQ(gap(cloned(gpu.run(one)), want), "") << "run " << i;
}

// The first run is launched step by step, the second recorded, the others are replayed.
TEST_P(NetsOnAGpu, GiveTheSameInEveryRun) {
  Session gpu(model_of(GetParam().text, on_gpu()));
  const Tensors first = cloned(gpu.run(image(pictures(), 0))), other = image(pictures(), 1);
  const Tensors fresh = cloned(Session(model_of(GetParam().text, on_gpu())).run(other));
  EXPECT_TRUE(same_bits(cloned(gpu.run(other)), fresh));
  EXPECT_TRUE(same_bits(cloned(gpu.run(image(pictures(), 0))), first));
  EXPECT_TRUE(same_bits(cloned(gpu.run(other)), fresh));
}

TEST_P(NetsOnAGpu, GiveEachImageWhatItGetsAlone) {
  const SmallNet& net = GetParam();
  Session gpu(model_of(net.text, on_gpu()));
  Tensors together = cloned(gpu.run(pictures()));
  together.erase("batch_splits");
  std::int64_t first = 0;
  for (std::int64_t i = 0; i < kImages; ++i) {
    const Tensors alone = cloned(gpu.run(image(pictures(), i)));
    const auto count = alone.contains("score") ? alone.at("score").dim(0) : 0;
    Tensors have;
    for (const auto& [name, t] : together)
      have[name] = net.of_images.contains(name) ? rows(t, i, 1) : rows(t, first, count);
    EXPECT_TRUE(same_bits(have, alone)) << "image " << i << ": " << difference(have, alone);
    first += count;
  }
}

// Reduced numbers move boxes a little, and may tip the choice among them: shapes alone are looked at, and that numbers
// are there.
TEST_P(NetsOnAGpu, RunInEveryPrecision) {
  for (const char* precision : {"tf32", "float16", "bfloat16"}) {
    Session gpu(model_of(GetParam().text, on_gpu(precision)));
    const Tensors found = gpu.run(image(pictures(), 0));
    for (const auto& [name, t] : found) {
      EXPECT_EQ(t.dtype(), DType::float32) << precision << ' ' << name;
      for (const float x : t.values<float>()) EXPECT_TRUE(std::isfinite(x)) << precision << ' ' << name;
    }
  }
}

INSTANTIATE_TEST_SUITE_P(All, NetsOnAGpu, ::testing::ValuesIn(small_nets()),
                         [](const auto& tested) { return std::string(tested.param.name); });

// On a real one this takes seconds for each new size.
TEST(NetOnAGpu, SaysThatItMakesConvolutionsReady) {
  std::string messages;
  ModelOptions options = on_gpu();
  options.log = [&](LogLevel, std::string_view m) {
    if (m.find("convolutions") != std::string_view::npos) messages += std::string(m) + '\n';
  };
  Session gpu(model_of(retinanet(), options));
  EXPECT_EQ(messages, "");
  gpu.run(image(pictures(), 0));
  int before = 0, after = 0;
  double seconds = -1;
  ASSERT_EQ(std::sscanf(messages.c_str(),
                        "making %d convolutions ready for cuda:0 and these sizes of inputs "
                        "%d convolutions were made ready for cuda:0 in %lf s",
                        &before, &after, &seconds),
            3)
      << messages;
  EXPECT_EQ(before, after);
  EXPECT_GE(before, 4);
  EXPECT_GE(seconds, 0);
  messages.clear();
  gpu.run(image(pictures(), 1));
  EXPECT_EQ(messages, "") << "made already";
}

TEST(NetOnAGpu, TakesBytes) {
  const std::string text = "input data float32 ?x2x?x?\nx = Relu(data)\noutput x\n";
  Tensor bytes = Tensor::allocate({DType::uint8, {1, 2, 3, 5}, Layout::row_major});
  for (std::int64_t i = 0; i < bytes.size(); ++i) bytes.data<std::uint8_t>()[i] = static_cast<std::uint8_t>(i * 9);
  Session cpu(model_of(text)), gpu(model_of(text, on_gpu()));
  const Tensors want = cpu.run({{"data", bytes}});
  for (int i = 0; i < 3; ++i) EXPECT_TRUE(same_bits(gpu.run({{"data", bytes}}), want)) << "run " << i;
}

TEST(NetOnAGpu, SaysWhatIsWrongWithTheData) {
  const std::string text =
      "input data float32 1x2x4x4\ninput rois float32 ?x5\n"
      "y = RoIAlign(data, rois) {spatial_scale=1.0 pooled_h=1 pooled_w=1}\noutput y\n";
  const Tensors bad{{"data", noise({1, 2, 4, 4})}, {"rois", Tensor::of<float>({1, 5}, {3, 0, 0, 2, 2})}};
  const Tensors good{{"data", noise({1, 2, 4, 4})}, {"rois", Tensor::of<float>({1, 5}, {0, 0, 0, 2, 2})}};
  Session cpu(model_of(text)), gpu(model_of(text, on_gpu()));
  const std::string want = message_of<Error>([&] { cpu.run(bad); });
  ASSERT_FALSE(want.empty());
  for (int i = 0; i < 3; ++i) {
    EXPECT_EQ(message_of<Error>([&] { gpu.run(bad); }), want) << "run " << i;
    EXPECT_EQ(difference(cloned(gpu.run(good)), cpu.run(good)), "") << "after a fault";
  }
}

TEST(NetOnAGpu, RefusesWhatItCannotDo) {
  ModelOptions unknown;
  unknown.device = "cuda:x";
  EXPECT_EQ(message_of<Unsupported>([&] { (void)model_of(small_detector(), unknown); }),
            "device 'cuda:x' is not available; available: cpu, cuda, cuda:N");
  ModelOptions int8 = on_gpu("int8");
  EXPECT_EQ(message_of<Unsupported>([&] { (void)model_of(small_detector(), int8); }),
            "precision 'int8' is not available on cuda:0; available: float32, tf32, float16, bfloat16");
  ModelOptions caffe2 = on_gpu();
  caffe2.engine = "caffe2";
  EXPECT_EQ(message_of<Unsupported>([&] { (void)model_of(small_detector(), caffe2); }),
            "engine 'caffe2' runs on the CPU alone, got device 'cuda:0'");
}

#ifdef D2DEPLOY_TEST_EMULATED
EmulatedStream& stream_of(const Frame& frame) { return *static_cast<EmulatedStream*>(frame.stream().handle()); }

TEST_P(NetsOnAGpu, AreWaitedForOnceARun) {
  const auto frame = frame_of(*model_of(GetParam().text, on_gpu()), image(pictures(), 0));
  const auto& stream = stream_of(*frame);
  const int before = stream.synchronizations;
  frame->run();
  EXPECT_EQ(stream.synchronizations, before + 1);
  frame->run();
  const int submissions = stream.submissions;
  frame->run();
  EXPECT_EQ(stream.synchronizations, before + 3);
  EXPECT_EQ(stream.submissions, submissions + 1) << "more than the replay of one recording";
}

// On the device, nor on the host; what the host does as a GPU is left out.
TEST_P(NetsOnAGpu, AllocateNothingAfterTheFirstRuns) {
  const auto model = model_of(GetParam().text, on_gpu());
  const Tensors one = image(pictures(), 0), other = image(pictures(), 1);
  const auto frame = frame_of(*model, one);
  for (int i = 0; i < 2; ++i) frame->run();
  const std::size_t before = emulated_device(0).allocations;
  frame->set_inputs(other);
  frame->run();
  EXPECT_EQ(emulated_device(0).allocations, before);
  stream_of(*frame).idle = true;
  const AllocationCount allocations;
  for (int i = 0; i < 3; ++i) {
    frame->set_inputs(one);
    frame->run();
  }
  EXPECT_EQ(allocations.count(), 0);
}

// Whatever the data are: kernels cover the most rows there can be.
TEST_P(NetsOnAGpu, LaunchTheSameEachTime) {
  const auto model = model_of(GetParam().text, on_gpu());
  std::vector<EmulatedLaunch> first;
  for (std::int64_t i = 0; i < 2; ++i) {
    const Tensors one = image(pictures(), i);
    const auto frame = frame_of(*model, one);
    for (int run = 0; run < 2; ++run) frame->run();
    const auto& launches = stream_of(*frame).launches;
    EXPECT_GE(launches.size(), GetParam().of_images.size());
    if (i == 0) first = launches;
    EXPECT_EQ(launches, first);
  }
}
#endif

}  // namespace
}  // namespace d2deploy::testing
