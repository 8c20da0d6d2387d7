// Plans: which kernels are chosen and why, where values share memory, how plans are cached.
#include "runtime/plan.h"

#include <cstdlib>

#include "environment.h"
#include "net_run.h"

using namespace d2deploy;

namespace {

const char* const kConvRelu =
    "input data float32 ?x2x?x?\n"
    "const w float32 3x2x1x1 = 1 -2 3 -4 5 -6\n"
    "const b float32 3 = 1 2 3\n"
    "c = Conv(data, w, b) {kernels=[1,1]}\n"
    "y = Relu(c)\n"
    "output y\n";

std::string run_kernel(const ModelOptions& options, const std::string& type) {
  Session session(model_of(kConvRelu, options));
  session.set_profiling(true);
  (void)session.run({{"data", noise({1, 2, 16, 16})}});
  return kernel_of(session, type);
}

TEST(Kernels, AForcedOneRuns) {
  ModelOptions options;
  options.kernels = "ConvRelu=direct_f32";
  EXPECT_EQ(run_kernel(options, "ConvRelu"), "direct_f32");
  options.optimize = false;
  options.kernels = "Relu=loop,Conv=direct_f32";
  EXPECT_EQ(run_kernel(options, "Conv"), "direct_f32");
}

TEST(Kernels, TheEnvironmentForcesWhereTheOptionIsEmpty) {
  const Environment forced("D2DEPLOY_KERNELS", "ConvRelu=direct_f32");
  EXPECT_EQ(run_kernel({}, "ConvRelu"), "direct_f32");
  ModelOptions options;
  options.optimize = false;
  options.kernels = "Conv=direct_f32";
  EXPECT_EQ(run_kernel(options, "Conv"), "direct_f32");
}

TEST(Kernels, WhatIsNotThereIsNamed) {
  const auto error = [](const char* text) {
    return message_of<InvalidArgument>([&] { (void)parse_forced_kernels(text); });
  };
  EXPECT_EQ(error("Conv"), "kernels: 'Conv' is not Operator=kernel");
  EXPECT_EQ(error("Konv=direct_f32"), "kernels: there is no operator 'Konv'");
  EXPECT_EQ(error("Softmax=direct_f32"), "kernels: Softmax has no kernel 'direct_f32'; known: rows_f32");
  EXPECT_EQ(error("Flatten=x"), "kernels: Flatten has no kernel 'x'; known: ");
  const Environment forced("D2DEPLOY_KERNELS", "Softmax=fast");
  EXPECT_EQ(message_of<InvalidArgument>([] { (void)model_of(kConvRelu); }),
            "kernels: Softmax has no kernel 'fast'; known: rows_f32");
  EXPECT_TRUE(parse_forced_kernels("").empty());
  EXPECT_EQ(parse_forced_kernels("CopyCPUToGPU=copy").at("Copy"), "copy");
}

#ifdef D2DEPLOY_TEST_ONEDNN
TEST(Kernels, RefusalsAreLogged) {
  std::string messages;
  ModelOptions options;
  options.log = [&](LogLevel, std::string_view m) { messages += std::string(m) + '\n'; };
  options.optimize = false;
  Session session(
      model_of("input x float32 1x2x4x4\ninput w float32 1x2x1x1\ny = Conv(x, w) {kernel=1}\noutput y", options));
  (void)session.run({{"x", noise({1, 2, 4, 4})}, {"w", noise({1, 2, 1, 1})}});
  EXPECT_NE(messages.find("node (Conv -> y): kernel onednn_f32 refused: the weights are not constant"),
            std::string::npos)
      << messages;
}

TEST(Kernels, AForcedOneThatRefusesAPlainOperatorIsAnError) {
  ModelOptions options;
  options.kernels = "Conv=onednn_f32";
  Session session(
      model_of("input x float32 1x2x4x4\ninput w float32 1x2x1x1\ny = Conv(x, w) {kernel=1}\noutput y", options));
  EXPECT_NE(message_of<Unsupported>([&] {
              (void)session.run({{"x", noise({1, 2, 4, 4})}, {"w", noise({1, 2, 1, 1})}});
            }).find("no kernel takes this call: onednn_f32: the weights are not constant"),
            std::string::npos);
}

// The bias of the fused node is an input, so the forced kernel refuses it. `y.conv` is a name of the net: the plain
// operators that run instead must not take it for theirs.
TEST(Kernels, AFusedNodeThatNoKernelTakesRunsAsItsMeaning) {
  const std::string text =
      "input x float32 1x2x4x4\n"
      "input b float32 3\n"
      "const w float32 3x2x1x1 = 1 -2 3 -4 5 -6\n"
      "y.conv = Sigmoid(x)\n"
      "c = Conv(x, w, b) {kernels=[1,1]}\n"
      "y = Relu(c)\n"
      "z = Concat(y.conv, y)\n"
      "output z\n";
  std::string messages;
  ModelOptions options;
  options.kernels = "ConvRelu=onednn_f32";
  options.log = [&](LogLevel, std::string_view m) { messages += std::string(m) + '\n'; };
  Session session(model_of(text, options));
  session.set_profiling(true);
  const Tensors inputs{{"x", noise({1, 2, 4, 4})}, {"b", noise({3})}};
  EXPECT_EQ(difference(session.run(inputs), outputs_by_evaluation(text, inputs)), "");
  EXPECT_NE(messages.find("runs as its plain operators: onednn_f32: the bias is not constant"), std::string::npos)
      << messages;
  EXPECT_EQ(kernel_of(session, "ConvRelu"), "");
  EXPECT_TRUE(kernel_of(session, "Conv").starts_with("packed_f32"));
}
#endif

// The addend turns out to be one pixel only when the size of the inputs is known.
// One channel that is spread over three: the pass cannot know, since files do not say what comes.
TEST(Kernels, PicturesWithFewerChannelsThanTheirMeanAreSpread) {
  const std::string net =
      "input x float32 ?x?x?x?\n"
      "const mean float32 3x1x1 = 1 2 3\n"
      "const std float32 3x1x1 = 0.5 2 4\n"
      "const w float32 2x3x1x1 = 1 -2 3 4 5 6\n"
      "const b float32 2 = 1 2\n"
      "s = Sub(x, mean)\n"
      "d = Div(s, std)\n"
      "y = Conv(d, w, b) {kernels=[1,1]}\n"
      "output y\n";
  for (const std::int64_t channels : {1, 3}) {
    Session session(model_of(net));
    session.set_profiling(true);
    const Tensors inputs{{"x", noise({1, channels, 8, 8})}};
    EXPECT_EQ(difference(session.run(inputs), outputs_by_evaluation(net, inputs)), "");
    EXPECT_EQ(kernel_of(session, "NormaliseImage"), channels == 3 ? "blocks" : "") << channels;
  }
}

TEST(Kernels, AFusedNodeThatDoesNotFitItsInputsRunsAsItsMeaning) {
  const std::string text =
      "input x float32 ?x2x?x?\n"
      "input a float32 ?x3x?x?\n"
      "const w float32 3x2x1x1 = 1 -2 3 -4 5 -6\n"
      "const b float32 3 = 1 2 3\n"
      "c = Conv(x, w, b) {kernels=[1,1]}\n"
      "s = Add(c, a)\n"
      "y = Relu(s)\n"
      "output y\n";
  Session session(model_of(text));
  session.set_profiling(true);
  const Tensors same{{"x", noise({1, 2, 4, 4})}, {"a", noise({1, 3, 4, 4}, 2)}};
  EXPECT_EQ(difference(session.run(same), outputs_by_evaluation(text, same)), "");
  EXPECT_NE(kernel_of(session, "ConvAddRelu"), "");
  const Tensors spread{{"x", noise({1, 2, 4, 4})}, {"a", noise({1, 3, 1, 1}, 2)}};
  EXPECT_EQ(difference(session.run(spread), outputs_by_evaluation(text, spread)), "");
  EXPECT_EQ(kernel_of(session, "ConvAddRelu"), "");
}

TEST(Plans, AreKeptForTheLastEightShapes) {
  const auto model = model_of(kConvRelu);
  const auto plan = [&](std::int64_t width) { return impl_of(*model).plan({{"data", f32({1, 2, 4, width})}}); };
  const auto first = plan(1);
  for (std::int64_t width = 2; width <= 8; ++width) (void)plan(width);
  EXPECT_EQ(plan(1), first);  // still there, and now the one used last
  const auto second = plan(2);
  (void)plan(9);
  EXPECT_EQ(plan(1), first);
  EXPECT_EQ(plan(2), second);
  for (std::int64_t width = 10; width <= 17; ++width) (void)plan(width);
  EXPECT_NE(plan(1), first);
}

TEST(Plans, ElementwiseChainsShareOneBlock) {
  const auto model =
      model_of("input x float32 1000\na = Sigmoid(x)\nb = Relu(a)\nc = Sigmoid(b)\ny = Add(c, x)\noutput y");
  EXPECT_EQ(impl_of(*model).plan({{"x", f32({1000})}})->arena_bytes, 4032U);  // 4000 in whole cache lines
}

TEST(Plans, AViewKeepsTheMemoryOfItsSource) {
  const std::string text =
      "input x float32 2x3x4\n"
      "a = Relu(x)\n"
      "f = Flatten(a)\n"
      "b = Sigmoid(a)\n"  // must not write where f is read below
      "g = Flatten(b)\n"
      "y = Sub(f, g)\n"
      "z = Add(f, f)\n"
      "output y\n"
      "output z\n"
      "output f\n";
  Session session(model_of(text));
  const Tensors inputs{{"x", noise({2, 3, 4})}};
  EXPECT_EQ(difference(session.run(inputs), outputs_by_evaluation(text, inputs)), "");
}

// a is needed once s and t are done with each other: made just before it is read, it has the place of one of them.
TEST(Plans, StepsRunLateWhereThatNeedsLessMemory) {
  const std::string net =
      "input x float32 1000\n"
      "a = Sigmoid(x)\n"
      "s = Exp(x)\n"
      "t = Sqrt(s)\n"
      "u = Sub(s, t)\n"
      "y = Div(u, a)\n"
      "output y\n";
  const auto model = model_of(net);
  const auto plan = impl_of(*model).plan({{"x", f32({1000})}});
  EXPECT_EQ(plan->arena_bytes, 2U * 4032);
  std::vector<std::string> order;
  for (const Step& step : plan->steps) order.push_back(step.op->type);
  EXPECT_EQ(order, (std::vector<std::string>{"Exp", "Sqrt", "Sub", "Sigmoid", "Div"}));
  const Tensors inputs{{"x", noise({1000})}};
  EXPECT_EQ(difference(Session(model).run(inputs), outputs_by_evaluation(net, inputs)), "");
}

// b frees more than it takes: it runs before c is there, and d before c too.
TEST(Plans, StepsThatFreeMemoryRunEarly) {
  const std::string net =
      "input x float32 1000\n"
      "input y float32 1000\n"
      "a = Sigmoid(x)\n"
      "c = Exp(y)\n"
      "b = Slice(a) {starts=[0] ends=[10]}\n"
      "d = Slice(c) {starts=[0] ends=[10]}\n"
      "s = Add(b, d)\n"
      "output s\n";
  const auto model = model_of(net);
  const auto plan = impl_of(*model).plan({{"x", f32({1000})}, {"y", f32({1000})}});
  EXPECT_LE(plan->arena_bytes, 4032U + 2 * 64);
  const Tensors inputs{{"x", noise({1000})}, {"y", noise({1000})}};
  EXPECT_EQ(difference(Session(model).run(inputs), outputs_by_evaluation(net, inputs)), "");
}

// a stays where it is: s, which it needs, would wait with it, and is larger.
TEST(Plans, StepsThatMakeLessThanTheyReadDoNotWait) {
  const auto model = model_of(
      "input x float32 1000\n"
      "s = Sigmoid(x)\n"
      "a = Slice(s) {starts=[0] ends=[10]}\n"
      "t = Exp(x)\n"
      "u = Slice(t) {starts=[0] ends=[10]}\n"
      "y = Div(u, a)\n"
      "output y\n");
  const auto plan = impl_of(*model).plan({{"x", f32({1000})}});
  EXPECT_LE(plan->arena_bytes, 4032U + 2 * 64);
}

TEST(Plans, ALargerTensorThanAllowedIsRefused) {
  ModelOptions options;
  options.max_tensor_bytes = 1000;
  Session session(
      model_of("input x float32 1x1x?x?\ny = ResizeNearest(x) {height_scale=2.0 width_scale=2.0}\noutput y", options));
  EXPECT_NO_THROW((void)session.run({{"x", noise({1, 1, 4, 4})}}));
  const std::string error = message_of<InvalidArgument>([&] { (void)session.run({{"x", noise({1, 1, 8, 8})}}); });
  EXPECT_NE(error.find("a tensor of shape (1, 1, 16, 16) takes 1024 bytes, allowed are 1000 (max_tensor_bytes)"),
            std::string::npos)
      << error;
}

TEST(Plans, ALargerTensorThanAllowedIsRefusedWhereDataDecides) {
  ModelOptions options;
  options.max_tensor_bytes = 1000;
  Session session(model_of("input x float32 1x1x4x4\ninput s float32 2\ny = ResizeNearest(x, s)\noutput y", options));
  const Tensors small{{"x", noise({1, 1, 4, 4})}, {"s", Tensor::of<float>({2}, {2, 2})}};
  const Tensors large{{"x", noise({1, 1, 4, 4})}, {"s", Tensor::of<float>({2}, {4, 4})}};
  EXPECT_EQ(session.run(small).at("y").shape(), Shape({1, 1, 8, 8}));
  const std::string error = message_of<InvalidArgument>([&] { (void)session.run(large); });
  EXPECT_NE(error.find("takes 1024 bytes, allowed are 1000"), std::string::npos) << error;
  EXPECT_EQ(session.run(small).at("y").shape(), Shape({1, 1, 8, 8}));
}

TEST(Constants, ArePackedOnceDroppedAndRestored) {
  Constant constant(Tensor::of<float>({2}, {1, 2}));
  int packings = 0, unpackings = 0;
  const auto pack = [&](const Tensor& plain) -> Constant::Packed {
    ++packings;
    const Tensor copy = plain.clone();
    return {std::make_shared<Tensor>(copy), 8, [copy, &unpackings] {
              ++unpackings;
              return copy.clone();
            }};
  };
  constant.drop_plain();  // nothing to restore it from: it stays
  const Tensor early = constant.plain();
  EXPECT_EQ(unpackings, 0);
  const auto packed = constant.packed("a", "kernel", pack);
  EXPECT_EQ(constant.packed("a", "kernel", pack), packed);
  EXPECT_EQ(packings, 1);
  constant.drop_plain();
  EXPECT_EQ(early.data<float>()[1], 2.0F);  // handed out before, and still valid
  EXPECT_EQ(constant.type(), f32({2}));
  EXPECT_NE(constant.packed("b", "other", pack), packed);  // made from the restored values
  EXPECT_EQ(packings, 2);
  EXPECT_EQ(unpackings, 1);
  constant.drop_plain();
  EXPECT_EQ(constant.plain().data<float>()[0], 1.0F);
  EXPECT_EQ(constant.plain().data<float>()[1], 2.0F);
  EXPECT_EQ(unpackings, 2);
}

TEST(LowMemory, WeightsAreKeptInNoLargerForm) {
  constexpr std::size_t kPlain = std::size_t{64} * 64 * 9 * sizeof(float);
  const auto kept = [](const ModelOptions& options) {
    const auto model = model_of(
        "input data float32 1x64x40x40\nconst w float32 64x64x3x3\ny = Conv(data, w) {kernels=[3,3] pads=[1,1,1,1]}\n"
        "output y\n",
        options);
    (void)impl_of(*model).plan({{"data", f32({1, 64, 40, 40})}});
    std::size_t bytes = 0;
    for (const auto& form : impl_of(*model).constants.at("w")->forms()) bytes += form.bytes;
    return bytes;
  };
  ModelOptions low;
  low.low_memory = true;
  EXPECT_LE(kept(low), kPlain + kPlain / 8);  // whole panels
  EXPECT_GE(kept({}), 4 * kPlain);
  low.kernels = "Conv=winograd_3x3_f32";  // who asks for it gets it
  EXPECT_GE(kept(low), 4 * kPlain);
}

}  // namespace
