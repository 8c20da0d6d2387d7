// Sessions: what they give for graphs of all kinds equals the portable kernels one after the other.
#include <sched.h>

#include <thread>

#include "core/threads.h"
#include "kernels/reorder.h"
#include "net_run.h"

using namespace d2deploy;

namespace {

// Both with and without the passes that make it fast.
void expect_meaning(const std::string& text, const Tensors& inputs) {
  const auto want = outputs_by_evaluation(text, inputs);
  for (const bool optimize : {true, false}) {
    ModelOptions options;
    options.optimize = optimize;
    Session session(model_of(text, options));
    for (int run = 0; run < 2; ++run)
      EXPECT_EQ(difference(session.run(inputs), want), "") << "optimize " << optimize << ", run " << run << ", of\n"
                                                           << text;
  }
}

const char* const kSmallNet =
    "input x float32 ?x2x?x?\n"
    "const w float32 4x2x3x3\n"
    "const v float32 4x4x1x1 = 1 -1 2 -2 3 -3 4 -4 1 2 3 4 -1 -2 -3 -4\n"
    "const b float32 4 = 1 -1 0.5 -0.5\n"
    "const fw float32 3x4 = 1 2 3 4 -1 -2 -3 -4 0.5 0.5 0.5 0.5\n"
    "const fb float32 3 = 0 1 -1\n"
    "a = Conv(x, w, b) {kernel=3 pad=1}\n"
    "r = Relu(a)\n"
    "p = MaxPool(r) {kernel=2 stride=2}\n"
    "q = Conv(p, v) {kernel=1}\n"
    "s = Add(q, p)\n"
    "t = Relu(s)\n"
    "u = ResizeNearest(t) {height_scale=2.0 width_scale=2.0}\n"
    "m = ReduceMean(u) {axes=[2,3] keepdims=0}\n"
    "y = FC(m, fw, fb)\n"
    "z = Softmax(y)\n"
    "output u\n"
    "output z\n";

TEST(Run, EqualsItsMeaning) { expect_meaning(kSmallNet, {{"x", noise({2, 2, 8, 6})}}); }

TEST(Run, AnySizesOneAfterTheOtherInOneSession) {
  Session session(model_of(kSmallNet));
  for (const Shape& shape :
       {Shape{1, 2, 16, 12}, Shape{1, 2, 4, 4}, Shape{3, 2, 32, 20}, Shape{1, 2, 16, 12}, Shape{1, 2, 2, 2}}) {
    const Tensors inputs{{"x", noise(shape)}};
    EXPECT_EQ(difference(session.run(inputs), outputs_by_evaluation(kSmallNet, inputs)), "") << shape;
  }
}

TEST(Run, OutputsMayBeInputsConstantsAndViews) {
  expect_meaning(
      "input x float32 2x3\n"
      "const w float32 2 = 1 2\n"
      "const v float32 1x2x1x1 = 3 4\n"
      "y = Relu(x)\n"
      "f = Flatten(x) {axis=0}\n"
      "output x\n"
      "output w\n"
      "output v\n"
      "output f\n"
      "output y\n",
      {{"x", noise({2, 3})}});
}

TEST(Run, AConstantThatAKernelPacksCanBeAnOutput) {
  const std::string text =
      "input x float32 1x2x8x8\n"
      "const w float32 3x2x1x1 = 1 -2 3 -4 5 -6\n"
      "const b float32 3 = 1 2 3\n"
      "y = Conv(x, w, b) {kernels=[1,1]}\n"
      "output y\n"
      "output w\n";
  expect_meaning(text, {{"x", noise({1, 2, 8, 8})}});
}

TEST(Run, SizesThatDataDecides) {
  const std::string text =
      "input x float32 1x2x4x4\n"
      "input s float32 2\n"
      "const w float32 3x2x1x1 = 1 -2 3 -4 5 -6\n"
      "const b float32 3 = 1 2 3\n"
      "u = ResizeNearest(x, s)\n"
      "c = Conv(u, w, b) {kernels=[1,1]}\n"
      "r = Relu(c)\n"
      "p = MaxPool(r) {kernel=2 stride=2}\n"
      "q = Sigmoid(p)\n"
      "z = Add(q, p)\n"
      "f = Flatten(z)\n"
      "y = Softmax(f)\n"
      "output z\n"
      "output y\n";
  for (const float scale : {1.0F, 2.0F, 1.5F})
    expect_meaning(text, {{"x", noise({1, 2, 4, 4})}, {"s", Tensor::of<float>({2}, {scale, 2 * scale})}});
}

// Scores decide how many boxes are kept: none, one, or some; what follows has as many rows.
TEST(Run, RowsThatDataDecides) {
  const std::string text =
      "input x float32 1x2x8x8\n"
      "input scores float32 ?x3\n"
      "input boxes float32 ?x12\n"
      "const w float32 5x8\n"
      "const b float32 5 = 1 2 3 4 5\n"
      "s, k, c = BoxWithNMSLimit(scores, boxes) {score_thresh=0.5 nms=0.5 detections_per_im=6}\n"
      "p = RoIAlign(x, k) {spatial_scale=0.25 pooled_h=2 pooled_w=2 sampling_ratio=2}\n"
      "f = Flatten(p)\n"
      "g = FC(f, w, b)\n"
      "r = Relu(g)\n"
      "h = Sigmoid(p)\n"
      "output s\noutput k\noutput c\noutput r\noutput h\n";
  Tensor boxes = Tensor::allocate(f32({4, 12}));
  for (std::int64_t i = 0; i < 16 * 3; ++i) {
    const std::int64_t row = i / 12, corner = i % 4;
    boxes.data<float>()[i] = static_cast<float>(corner < 2 ? row : row * 2 + 12);
  }
  Session fast(model_of(text));
  ModelOptions plain;
  plain.optimize = false;
  Session slow(model_of(text, plain));
  const auto x = noise({1, 2, 8, 8});
  for (const std::initializer_list<float> scores :
       {std::initializer_list<float>{.1F, .2F, .3F, .1F, .2F, .3F, .1F, .2F, .3F, .1F, .2F, .3F},
        {.1F, .2F, .9F, .1F, .2F, .3F, .1F, .2F, .3F, .1F, .2F, .3F},
        {.1F, .8F, .9F, .1F, .7F, .6F, .1F, .9F, .8F, .1F, .6F, .7F},
        {.1F, .2F, .3F, .1F, .2F, .3F, .1F, .2F, .3F, .1F, .2F, .3F}}) {
    const Tensors inputs{{"x", x}, {"scores", Tensor::of<float>({4, 3}, scores)}, {"boxes", boxes}};
    const Tensors want = outputs_by_evaluation(text, inputs);
    EXPECT_EQ(difference(fast.run(inputs), want), "") << want.at("s").size() << " rows";
    EXPECT_EQ(difference(slow.run(inputs), want), "") << want.at("s").size() << " rows";
  }
}

TEST(Run, RegionsOnSeveralLevels) {
  const std::string text =
      "input rois float32 ?x5\n"
      "input p2 float32 1x2x8x8\n"
      "input p3 float32 1x2x4x4\n"
      "r2, r3, restore = DistributeFpnProposals(rois) {roi_canonical_scale=8 roi_canonical_level=2 roi_min_level=2 "
      "roi_max_level=3}\n"
      "y2 = RoIAlign(p2, r2) {pooled_h=2 pooled_w=2 spatial_scale=0.25 sampling_ratio=2}\n"
      "y3 = RoIAlign(p3, r3) {pooled_h=2 pooled_w=2 spatial_scale=0.125 sampling_ratio=2}\n"
      "all, sizes = Concat(y2, y3) {axis=0}\n"
      "y = BatchPermutation(all, restore)\n"
      "output y\n";
  expect_meaning(text, {{"rois", Tensor::of<float>({3, 5}, {0, 1, 1, 8, 8, 0, 0, 0, 30, 30, 0, 4, 4, 9, 9})},
                        {"p2", noise({1, 2, 8, 8})},
                        {"p3", noise({1, 2, 4, 4}, 2)}});
}

// Graphs of elementwise operators and views: every value is read by random later nodes, some are outputs.
std::string random_graph(std::mt19937& random) {
  const auto below = [&](std::size_t n) { return random() % n; };
  std::string text = "input v0 float32 2x3\ninput v1 float32 2x3\nconst k float32 3 = 1 -2 0.5\n", outputs;
  std::size_t values = 2;
  const auto any = [&] { return "v" + std::to_string(values - 1 - below(std::min<std::size_t>(values, 4))); };
  for (const std::size_t nodes = 3 + below(12); values < nodes + 2; ++values) {
    const std::string y = "v" + std::to_string(values);
    const char* const unary[] = {"Relu", "Sigmoid", "Softmax", "Copy", "Flatten"};
    const char* const binary[] = {"Add", "Sub", "Mul"};
    if (below(2) == 0)
      text += y + " = " + unary[below(5)] + "(" + any() + ")\n";
    else
      text += y + " = " + binary[below(3)] + "(" + any() + ", " + (below(5) == 0 ? "k" : any()) + ")\n";
    if (below(4) == 0) outputs += "output " + y + '\n';
  }
  return text + outputs + (outputs.empty() ? "output v" + std::to_string(values - 1) + '\n' : "");
}

TEST(Run, SharedMemoryNeverHoldsWhatIsReadLater) {
  const unsigned seed = std::random_device()();
  SCOPED_TRACE("seed " + std::to_string(seed));
  std::mt19937 random(seed);
  for (int round = 0; round < 300 && !testing::Test::HasFailure(); ++round)
    expect_meaning(random_graph(random), {{"v0", noise({2, 3}, 1)}, {"v1", noise({2, 3}, 2)}});
}

TEST(Inputs, AreChecked) {
  Session session(
      model_of("input x float32 ?x2\ninput k int32 2\ny = Relu(x)\nz = Cast(k) {to=1}\noutput y\noutput z"));
  const Tensor x = noise({1, 2}), k = Tensor::of<std::int32_t>({2}, {1, 2});
  const auto error = [&](const Tensors& inputs) {
    return message_of<InvalidArgument>([&] { (void)session.run(inputs); });
  };
  EXPECT_EQ(session.run({{"x", x}, {"k", k}}).at("z").data<float>()[1], 2.0F);
  EXPECT_EQ(error({{"x", x}}), "input 'k' is missing; wanted: x, k");
  EXPECT_EQ(error({{"x", x}, {"k", k}, {"q", x}}), "there is no input 'q'; wanted: x, k");
  EXPECT_EQ(error({{"x", k}, {"k", k}}), "input 'x' is int32, wanted float32");
  EXPECT_EQ(error({{"x", x}, {"k", Tensor::allocate({DType::uint8, {2}})}}), "input 'k' is uint8, wanted int32");
  EXPECT_EQ(error({{"x", noise({2})}, {"k", k}}), "input 'x' is (2,), wanted (?, 2) with no dimension of 0");
  EXPECT_EQ(error({{"x", noise({1, 3})}, {"k", k}}), "input 'x' is (1, 3), wanted (?, 2) with no dimension of 0");
  EXPECT_EQ(error({{"x", noise({0, 2})}, {"k", k}}), "input 'x' is (0, 2), wanted (?, 2) with no dimension of 0");
}

TEST(Inputs, ImagesMayBeBytes) {
  Session session(model_of("input x float32 ?x?\nconst c float32 1 = 0.5\ny = Add(x, c)\noutput y\noutput x"));
  const Tensors want{{"x", Tensor::of<float>({1, 2}, {0, 255})}, {"y", Tensor::of<float>({1, 2}, {0.5F, 255.5F})}};
  EXPECT_TRUE(same_bits(session.run({{"x", Tensor::of<std::uint8_t>({1, 2}, {0, 255})}}), want));
}

TEST(Inputs, MustBeRowMajor) {
  Session session(model_of("input x float32 1x2x2x2\ny = Relu(x)\noutput y"));
  const Tensor x = reordered(noise({1, 2, 2, 2}), Layout::channels_last);
  EXPECT_EQ(message_of<InvalidArgument>([&] { (void)session.run({{"x", x}}); }), "input 'x' must be row-major");
}

TEST(Outputs, AreThoseOfTheFile) {
  const std::string text =
      "input scores float32 ?x2\ninput boxes float32 ?x8\ninput splits float32 ?\n"
      "s, b, c, n = BoxWithNMSLimit(scores, boxes, splits) {score_thresh=-2.0}\n";
  const Tensors inputs{{"scores", noise({2, 2})}, {"boxes", noise({2, 8})}, {"splits", Tensor::of<float>({1}, {2})}};
  const auto without = model_of(text + "output s\noutput c\n"), with = model_of(text + "output n\noutput s\n");
  EXPECT_EQ(without->outputs(), (std::vector<std::string>{"s", "c"}));
  EXPECT_EQ(with->outputs(), (std::vector<std::string>{"n", "s"}));
  EXPECT_FALSE(Session(without).run(inputs).contains("n"));
  Session session(with);
  EXPECT_EQ(session.run(inputs).at("n").size(), 1);
}

TEST(Model, CopiesWithoutInputsAreRefused) {
  // In a build that verifies passes the message says after which one.
  const auto text =
      message_of<InvalidModel>([] { (void)model_of("input x float32 1\ny = Relu(x)\nz = Copy()\noutput y"); });
  EXPECT_TRUE(text.ends_with("node (Copy -> z): Copy: got 0 inputs, wanted X")) << text;
}

// Whatever picture comes: no caller gave the wrong argument.
TEST(Model, ShapesThatContradictEachOtherAreTheFilesFault) {
  const auto fault = [](const std::string& lines) {
    return message_of<InvalidModel>([&] { (void)model_of("input x float32 ?x3x?x?\n" + lines + "output y"); });
  };
  const auto wide = fault("const w float32 4x2x1x1 = 1 1 1 1 1 1 1 1\ny = Conv(x, w) {kernel=1}\n");
  EXPECT_NE(wide.find("node (Conv -> y): Conv: X has 3 channels, W takes 2"), std::string::npos) << wide;
  const auto axis = fault("y = Concat(x, x) {axis=16}\n");
  EXPECT_NE(axis.find("node (Concat -> y): Concat: axis is 16, must be from -4 to 3"), std::string::npos) << axis;
}

TEST(Model, InfoHasTheArgumentsOfTheNet) {
  Graph graph = parse_graph("input x float32 1\ny = Relu(x)\noutput y");
  const auto defaults = Model::Impl::make(graph, {});
  EXPECT_EQ(defaults->info().meta_architecture, "GeneralizedRCNN");
  EXPECT_EQ(defaults->info().size_divisibility, 0);
  EXPECT_TRUE(defaults->info().arguments.empty());
  graph.attributes = {{"meta_architecture", std::string("RetinaNet")},
                      {"size_divisibility", std::int64_t{32}},
                      {"nms_threshold", 0.5F},
                      {"classes", Strings{"a", std::string("\xFF\0", 2)}},
                      {"strides", Ints{8, 16}},
                      {"mean", Floats{0.25F}}};
  const auto model = Model::Impl::make(graph, {});
  EXPECT_EQ(model->info().meta_architecture, "RetinaNet");
  EXPECT_EQ(model->info().size_divisibility, 32);
  EXPECT_EQ(model->info().arguments, graph.attributes);
  graph.attributes["size_divisibility"] = 0.5F;
  EXPECT_EQ(message_of<InvalidModel>([&] { (void)Model::Impl::make(graph, {}); }),
            "net argument 'size_divisibility' has the wrong type");
}

TEST(Model, OptionsAreChecked) {
  const std::string net = "input x float32 1\ny = Relu(x)\noutput y";
  ModelOptions device, precision, threads;
  device.device = "tpu";
  precision.precision = "int4";
  threads.threads = -1;
  EXPECT_EQ(message_of<Unsupported>([&] { (void)model_of(net, device); }),
            "device 'tpu' is not available; available: cpu, cuda, cuda:N");
  EXPECT_EQ(message_of<Unsupported>([&] { (void)model_of(net, precision); }),
            "precision 'int4' is not available on cpu; available: float32, bfloat16, int8");
  EXPECT_EQ(message_of<InvalidArgument>([&] { (void)model_of(net, threads); }),
            "threads is -1, wanted 0 (as many as the process may use) to 4096");
  threads.threads = kMostThreads + 1;
  EXPECT_EQ(message_of<InvalidArgument>([&] { (void)model_of(net, threads); }),
            "threads is 4097, wanted 0 (as many as the process may use) to 4096");
}

TEST(Model, RunsOnTheThreadsThatTheProcessMayUse) {
  EXPECT_EQ(model_of(kSmallNet)->options().threads, available_threads());
  cpu_set_t before, one;
  ASSERT_EQ(sched_getaffinity(0, sizeof before, &before), 0);
  CPU_ZERO(&one);
  for (int cpu = 0; cpu < CPU_SETSIZE && CPU_COUNT(&one) == 0; ++cpu)
    if (CPU_ISSET(cpu, &before)) CPU_SET(cpu, &one);
  ASSERT_EQ(sched_setaffinity(0, sizeof one, &one), 0);
  EXPECT_EQ(model_of(kSmallNet)->options().threads, 1);
  ASSERT_EQ(sched_setaffinity(0, sizeof before, &before), 0);
}

TEST(Sessions, NeedAModel) {
  EXPECT_EQ(message_of<InvalidArgument>([] { Session session(nullptr); }), "a session needs a model, got none");
}

TEST(Sessions, OutliveOthersAndAreMoved) {
  auto model = model_of(kSmallNet);
  const Tensors inputs{{"x", noise({1, 2, 8, 8})}};
  const auto want = outputs_by_evaluation(kSmallNet, inputs);
  auto first = std::make_unique<Session>(model);
  Session second(model);
  model.reset();
  (void)first->run(inputs);
  EXPECT_EQ(difference(second.run(inputs), want), "");
  first.reset();
  EXPECT_EQ(difference(second.run(inputs), want), "");
  Session third(std::move(second));
  EXPECT_EQ(difference(third.run(inputs), want), "");
}

TEST(Sessions, InTwoThreadsGiveWhatTheyGiveAlone) {
  ModelOptions options;
  options.threads = 2;
  const auto model = model_of(kSmallNet, options);
  const Tensors inputs[] = {{{"x", noise({1, 2, 16, 20}, 1)}}, {{"x", noise({2, 2, 12, 8}, 2)}}};
  Tensors alone[2];
  for (int i = 0; i < 2; ++i) alone[i] = cloned(Session(model).run(inputs[i]));
  int differences[2] = {0, 0};
  const auto work = [&](int i) {
    Session session(model);
    for (int run = 0; run < 50; ++run) differences[i] += same_bits(session.run(inputs[i]), alone[i]) ? 0 : 1;
  };
  std::thread other(work, 1);
  work(0);
  other.join();
  EXPECT_EQ(differences[0], 0);
  EXPECT_EQ(differences[1], 0);
}

// The address sanitizer ends the program where memory for such a size is asked for.
#ifndef __SANITIZE_ADDRESS__
TEST(Sessions, RunOnWhenMemoryDidNotSuffice) {
  ModelOptions options;
  options.max_tensor_bytes = 0;
  Session session(model_of("input x float32 1x1x?x?\ny = Relu(x)\nz = Sigmoid(y)\noutput z", options));
  float nothing = 0;
  const Tensor huge = Tensor::view(f32({1, 1, 1 << 24, 1 << 24}), &nothing);  // 2^50 bytes: never read
  const Tensors small{{"x", noise({1, 1, 4, 4})}};
  const Tensors want = cloned(session.run(small));
  EXPECT_THROW((void)session.run({{"x", huge}}), DeviceError);
  EXPECT_TRUE(same_bits(session.run(small), want));
}
#endif

TEST(Profile, CountsRunsByNode) {
  Session session(model_of(kSmallNet));
  const Tensors inputs{{"x", noise({1, 2, 8, 8})}};
  (void)session.run(inputs);
  for (const auto& node : session.profile()) EXPECT_EQ(node.runs, 0) << node.type;
  session.set_profiling(true);
  (void)session.run(inputs);
  (void)session.run(inputs);
  const auto profile = session.profile();
  ASSERT_FALSE(profile.empty());
  for (const auto& node : profile) {
    EXPECT_EQ(node.runs, 2) << node.type;
    EXPECT_FALSE(node.kernel.empty() || node.output.empty() || node.shape.empty()) << node.type;
    ASSERT_FALSE(node.outputs.empty()) << node.type;
    EXPECT_EQ(node.outputs[0].first, node.output);
    EXPECT_EQ(to_string(node.outputs[0].second), node.shape);
  }
  session.set_profiling(false);
  (void)session.run(inputs);
  EXPECT_EQ(session.profile().at(0).runs, 2);
}

TEST(Profile, OfAModelIsWhatIsPlanned) {
  const auto model = model_of(kSmallNet);
  Session session(model);
  const Tensors inputs{{"x", noise({1, 2, 8, 8})}};
  session.set_profiling(true);
  (void)session.run(inputs);
  const auto ran = session.profile(), planned = model->profile({{"x", inputs.at("x").type()}});
  ASSERT_EQ(planned.size(), ran.size());
  double flops = 0;
  for (const auto& node : planned) flops += node.flops;
  EXPECT_EQ(flops, 2.0 * (4 * 64 * 2 * 9 + 4 * 16 * 4 + 3 * 4));  // the convolutions a and q, and y
  for (std::size_t i = 0; i < ran.size(); ++i) {
    EXPECT_EQ(planned[i].runs, 0);
    EXPECT_EQ(planned[i].output, ran[i].output);
    EXPECT_EQ(planned[i].kernel, ran[i].kernel);
    EXPECT_EQ(planned[i].shape, ran[i].shape);  // this net has no rows that depend on data
    EXPECT_EQ(planned[i].flops, ran[i].flops);
  }
  EXPECT_THROW((void)model->profile({}), InvalidArgument);
}

}  // namespace
