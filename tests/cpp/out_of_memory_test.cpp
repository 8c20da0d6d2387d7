// Memory that runs out: every allocation of a call fails once, the first, the second, and so on, alone or with all that
// follow. Only an Error may come out, what was made goes (the address sanitizer looks for leaks), and the next call
// gives the right answer.
#include <gtest/gtest.h>

#include <cstdint>
#include <limits>

#include "d2deploy/detector.h"
#include "failing_allocations.h"
#include "net_files.h"
#include "net_run.h"
#include "small_detector.h"

namespace d2deploy::testing {
namespace {

/// Whether `f` throws E.
template <class E, class F>
std::string refuses(const F& f) {
  try {
    f();
  } catch (const E&) {
    return "refused";
  }
  return "taken";
}

std::string bits(const Tensors& tensors) {
  std::string text;
  for (const auto& [name, tensor] : tensors) {
    text += name;
    text.append(static_cast<const char*>(tensor.raw()), static_cast<std::size_t>(tensor.bytes()));
  }
  return text;
}

// Operators that the small detector does not have, those with state or scratch memory above all.
std::string other_operators() {
  return "input data float32 ?x2x?x?\n" + weights("w", "4x2x3x3", 72) + weights("b", "4", 4) +
         weights("t", "4x3x2x2", 48) + weights("tb", "3", 3) + weights("o", "4x3x3x3", 108) + weights("s", "4", 4) +
         weights("f", "5x3", 15) + weights("fb", "5", 5) + R"(
c = Conv(data, w, b) {kernels=[3,3] pads=[1,1,1,1]}
g = GroupNorm(c, s, b) {group=2}
r = Relu(g)
t1 = ConvTranspose(r, t, tb) {kernels=[2,2] strides=[2,2]}
t2 = ConvTranspose(r, o) {kernels=[3,3] strides=[2,2] pads=[1,1,1,1] adjs=[1,1]}
m = Add(t1, t2)
u = ResizeNearest(m) {width_scale=2.0 height_scale=2.0}
a = AveragePool(u) {kernels=[3,3] strides=[2,2] pads=[1,1,1,1]}
p = MaxPool(a) {kernels=[2,2] strides=[2,2]}
e = ReduceMean(p) {axes=[2,3] keepdims=0}
l = FC(e, f, fb)
y = Softmax(l)
output y p
)";
}

std::shared_ptr<const Model> load(const NetFiles& files) {
  ModelOptions options;
  options.threads = 1;  // OpenMP itself ends the process where it finds no memory
  return Model::load(files.predict, files.init, options);
}

std::string small_net() {
  return "input data float32 ?x2x?x?\n" + weights("w", "4x2x3x3", 72) + weights("b", "4", 4) + R"(
c = Conv(data, w, b) {kernels=[3,3]}
y = Relu(c)
output y
)";
}

struct NetCase {
  const char* name;
  std::string text;
  Tensors inputs;
  std::int64_t most;  ///< allocations that fail; of the small net all
};

std::vector<NetCase> nets() {
  const Tensor data = noise({1, 2, 8, 9}), im_info = Tensor::of<float>({1, 3}, {16.0F, 18.0F, 1.0F});
  return {{"small net", small_net(), {{"data", data}}, std::numeric_limits<std::int64_t>::max()},
          {"detector", small_detector(), {{"data", data}, {"im_info", im_info}}, 200},
          {"other operators", other_operators(), {{"data", data}}, 200}};
}

class OutOfMemory : public ::testing::TestWithParam<bool> {};

TEST_P(OutOfMemory, LoadingAModel) {
  for (const NetCase& net : nets()) {
    const NetFiles files(net.text);
    const auto call = [&] { return done(load(files))->graph_text(); };
    EXPECT_GT(fail_one_after_the_other(net.name, call, GetParam(), net.most), 500) << net.name;
  }
}

/// One run of a session in which an allocation fails, and another one after it. Whether it was reached.
bool run_twice(const NetCase& net, Session& session, const std::string& want, std::int64_t at, bool all_that_follow) {
  const Outcome outcome = attempt([&] { return bits(done(session.run(net.inputs))); }, at, all_that_follow);
  expect_right(net.name, at, outcome, want);
  EXPECT_TRUE(bits(session.run(net.inputs)) == want) << net.name << ": the run after allocation " << at;
  return outcome.failed;
}

// The first run of a model, which plans it.
TEST_P(OutOfMemory, TheFirstRun) {
  for (const NetCase& net : nets()) {
    const NetFiles files(net.text);
    Session alone(load(files));
    std::string want;
    const std::int64_t all = allocations_of([&] {
      const Tensors outputs = done(alone.run(net.inputs));
      return want = bits(outputs);
    });
    EXPECT_GT(all, 50) << net.name;
    Places places(all, net.most);
    for (bool failed = true; failed && !HasFailure();) {
      Session session(load(files));
      failed = run_twice(net, session, want, places.next(), GetParam());
    }
  }
}

// Sessions of a model that is planned: their first run, and the next one.
TEST_P(OutOfMemory, LaterRuns) {
  for (const NetCase& net : nets()) {
    const NetFiles files(net.text);
    const auto model = load(files);
    Session first(model);
    const std::string want = bits(first.run(net.inputs));
    std::int64_t at = 1;
    for (bool failed = true; failed && !HasFailure(); ++at) {
      Session session(model);
      session.set_profiling(true);
      failed = run_twice(net, session, want, at, GetParam());
      (void)run_twice(net, session, want, at, GetParam());
      EXPECT_GE(session.profile().at(0).runs, 2);
    }
    EXPECT_GT(at, 10) << net.name;
  }
}

TEST_P(OutOfMemory, TheRestOfThePublicFunctions) {
  const auto all = [&](const char* what, const Answer& call) {
    EXPECT_GT(fail_one_after_the_other(what, call, GetParam(), std::numeric_limits<std::int64_t>::max()), 0) << what;
  };
  const NetFiles files(small_detector());
  const auto model = load(files);
  Session session(model);
  const Tensors inputs = nets()[1].inputs;
  (void)session.run(inputs);
  all("Session", [&] {
    Session made(model);
    return std::string();
  });
  all("Model::graph_text", [&] { return model->graph_text(); });
  std::map<std::string, TensorType> types;
  for (const auto& [name, tensor] : inputs) types[name] = tensor.type();
  all("Model::profile", [&] { return std::to_string(done(model->profile(types)).size()); });
  all("Session::profile", [&] { return std::to_string(done(session.profile()).size()); });
  all("Session::set_profiling", [&] {
    session.set_profiling(true);
    return std::string();
  });
  all("Tensor::allocate", [] { return to_string(done(Tensor::allocate(f32({3}))).shape()); });
  all("Tensor::of", [] { return bits({{"", done(Tensor::of<float>({2}, {1, 2}))}}); });
  const Tensor tensor = noise({1000});
  all("Tensor::clone", [&] { return bits({{"", done(tensor.clone())}}); });
  all("to_string", [] { return to_string(Shape{1000000, 1000000, 1000000, 1000000}); });
  all("Shape::size", [] {
    return refuses<InvalidModel>([] { (void)Shape{std::int64_t{1} << 40, std::int64_t{1} << 40}.size(); });
  });
  all("Tensor::data", [&] { return refuses<InvalidArgument>([&] { (void)tensor.data<std::int32_t>(); }); });
  const std::vector<std::uint8_t> pixels(std::size_t{3} * 6 * 5, 7);
  const ImageView image{pixels.data(), 6, 5, 15};
  all("to_net_inputs", [&] { return bits({{"", done(to_net_inputs({&image, 1}, 8)).data}}); });
  const std::vector<float> mask(4, 1);
  const std::array<float, 4> box{0, 0, 2, 2};
  all("paste_mask", [&] { return std::to_string(done(paste_mask(mask, 2, box, 300, 400)).size()); });
}

INSTANTIATE_TEST_SUITE_P(One, OutOfMemory, ::testing::Values(false));
INSTANTIATE_TEST_SUITE_P(AllThatFollow, OutOfMemory, ::testing::Values(true));

}  // namespace
}  // namespace d2deploy::testing
