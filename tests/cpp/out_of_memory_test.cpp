// Memory that runs out: every allocation of a call fails once, the first, the second, and so on, alone or with all that
// follow. Only an Error may come out, what was made goes (the address sanitizer looks for leaks), and the next call
// gives the right answer.
#include <gtest/gtest.h>

#include <cerrno>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <functional>
#include <new>

#include "d2deploy/detector.h"
#include "net_builder.h"
#include "net_run.h"
#include "small_detector.h"

// ---- Allocations that fail ---------------------------------------------------------------------------

namespace {

struct Failures {
  bool on = false, all_that_follow = false;
  std::int64_t at = 0, seen = 0;

  bool next_fails() {
    if (!on) return false;
    ++seen;
    return all_that_follow ? seen >= at : seen == at;
  }
};
thread_local Failures failures;

}  // namespace

extern "C" {

// The sanitizer has a malloc of its own, so there the allocations of other libraries cannot be made to fail.
#ifdef D2DEPLOY_SANITIZED
void* __real_aligned_alloc(std::size_t alignment, std::size_t bytes);
void* __wrap_aligned_alloc(std::size_t alignment, std::size_t bytes) {
  return failures.next_fails() ? nullptr : __real_aligned_alloc(alignment, bytes);
}
static void* plain_malloc(std::size_t bytes) { return std::malloc(bytes); }
static void* plain_memalign(std::size_t alignment, std::size_t bytes) { return __real_aligned_alloc(alignment, bytes); }
#else
void* __libc_malloc(std::size_t bytes);
void* __libc_calloc(std::size_t count, std::size_t bytes);
void* __libc_realloc(void* data, std::size_t bytes);
void* __libc_memalign(std::size_t alignment, std::size_t bytes);
static void* plain_malloc(std::size_t bytes) { return __libc_malloc(bytes); }
static void* plain_memalign(std::size_t alignment, std::size_t bytes) { return __libc_memalign(alignment, bytes); }

static void* none() {
  errno = ENOMEM;
  return nullptr;
}
void* malloc(std::size_t bytes) { return failures.next_fails() ? none() : __libc_malloc(bytes); }
void* calloc(std::size_t count, std::size_t bytes) {
  return failures.next_fails() ? none() : __libc_calloc(count, bytes);
}
void* realloc(void* data, std::size_t bytes) { return failures.next_fails() ? none() : __libc_realloc(data, bytes); }
void* aligned_alloc(std::size_t alignment, std::size_t bytes) {
  return failures.next_fails() ? none() : __libc_memalign(alignment, bytes);
}
int posix_memalign(void** data, std::size_t alignment, std::size_t bytes) {
  if (failures.next_fails()) return ENOMEM;
  *data = __libc_memalign(alignment, bytes);
  return *data == nullptr ? ENOMEM : 0;
}
#endif

}  // extern "C"

void* operator new(std::size_t bytes) {
  void* data = failures.next_fails() ? nullptr : plain_malloc(bytes == 0 ? 1 : bytes);
  if (data == nullptr) throw std::bad_alloc();
  return data;
}
void* operator new(std::size_t bytes, const std::nothrow_t&) noexcept {
  return failures.next_fails() ? nullptr : plain_malloc(bytes == 0 ? 1 : bytes);
}
void* operator new(std::size_t bytes, std::align_val_t alignment) {
  void* data = failures.next_fails() ? nullptr : plain_memalign(static_cast<std::size_t>(alignment), bytes);
  if (data == nullptr) throw std::bad_alloc();
  return data;
}
// Both ends of the pair stand here, which the compiler does not see.
#pragma GCC diagnostic ignored "-Wmismatched-new-delete"
void operator delete(void* data) noexcept { std::free(data); }
void operator delete(void* data, std::size_t) noexcept { std::free(data); }
void operator delete(void* data, std::align_val_t) noexcept { std::free(data); }
void operator delete(void* data, std::size_t, std::align_val_t) noexcept { std::free(data); }

// ---- Calls under them --------------------------------------------------------------------------------

namespace d2deploy::testing {
namespace {

/// What is given back as text, to compare. Allocations of the test itself come behind `done`.
using Answer = std::function<std::string()>;

template <class T>
T done(T value) {
  failures.on = false;
  return value;
}

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

struct Outcome {
  bool failed = false;  ///< the allocation was reached
  std::string error;    ///< empty: there was an answer
  std::string answer;
};

Outcome attempt(const Answer& call, std::int64_t at, bool all_that_follow) {
  Outcome outcome;
  failures = {true, all_that_follow, at, 0};
  try {
    outcome.answer = call();
    failures.on = false;
  } catch (const DeviceError& e) {
    failures.on = false;
    outcome.error = std::string("DeviceError: ") + e.what();
  } catch (const Error& e) {
    failures.on = false;
    outcome.error = std::string("Error: ") + e.what();
  } catch (const std::exception& e) {
    failures.on = false;
    outcome.error = std::string("another exception: ") + e.what();
  }
  outcome.failed = failures.seen >= at;
  return outcome;
}

/// Makes the allocations of `call` fail one after the other. Returns how many there were.
std::int64_t fail_one_after_the_other(const char* what, const Answer& call, bool all_that_follow) {
  const std::string want = call();
  int complaints = 0;
  for (std::int64_t at = 1;; ++at) {
    const Outcome outcome = attempt(call, at, all_that_follow);
    // A sort that gets no buffer goes on without: then the answer must be right.
    const bool right = outcome.error.empty() ? outcome.answer == want : outcome.error.starts_with("DeviceError: ");
    EXPECT_TRUE(right) << what << ": allocation " << at << (all_that_follow ? " and all that follow" : "") << ": "
                       << (outcome.error.empty() ? "another answer" : outcome.error);
    if (!right && ++complaints > 10) return at;
    if (!outcome.failed) return at - 1;
  }
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

/// A graph's text as files.
class Files {
 public:
  Files(const char* name, const std::string& text) : folder_(::testing::TempDir() + "out_of_memory_" + name) {
    const Graph graph = parse_graph(text);
    Net predict, init;
    predict.inputs(graph.inputs).outputs(graph.outputs);
    for (const Node& node : graph.nodes) {
      auto& op = predict.add(node.type, node.inputs, node.outputs);
      for (const auto& [argument, value] : node.args) {
        proto::Argument& out = *op.add_arg();
        out.set_name(argument);
        set_value(out, value);
      }
    }
    for (const auto& [blob, tensor] : graph.constants) {
      predict.inputs({blob});
      init.weight(blob, Ints(tensor.shape().begin(), tensor.shape().end()),
                  Floats(tensor.values<float>().begin(), tensor.values<float>().end()));
    }
    std::filesystem::create_directories(folder_);
    std::ofstream(predict_, std::ios::binary) << predict.bytes();
    std::ofstream(init_, std::ios::binary) << init.bytes();
    options_.threads = 1;  // OpenMP itself ends the process where it finds no memory
  }
  ~Files() { std::filesystem::remove_all(folder_); }
  Files(const Files&) = delete;
  Files& operator=(const Files&) = delete;

  std::shared_ptr<const Model> load() const { return Model::load(predict_, init_, options_); }

 private:
  std::filesystem::path folder_, predict_ = folder_ / "model.pb", init_ = folder_ / "model_init.pb";
  ModelOptions options_;
};

struct NetCase {
  const char* name;
  std::string text;
  Tensors inputs;
};

std::vector<NetCase> nets() {
  const Tensor data = noise({1, 2, 8, 9}), im_info = Tensor::of<float>({1, 3}, {16.0F, 18.0F, 1.0F});
  return {{"detector", small_detector(), {{"data", data}, {"im_info", im_info}}},
          {"others", other_operators(), {{"data", data}}}};
}

class OutOfMemory : public ::testing::TestWithParam<bool> {};

TEST_P(OutOfMemory, LoadingAModel) {
  for (const NetCase& net : nets()) {
    const Files files(net.name, net.text);
    const auto count = fail_one_after_the_other(
        net.name, [&] { return done(files.load())->graph_text(); }, GetParam());
    EXPECT_GT(count, 500) << net.name;
    std::cout << count << " allocations\n";
  }
}

/// One run of a session that may fail; returns whether the allocation was reached.
Outcome failing_run(const NetCase& net, Session& session, const std::string& want, std::int64_t at,
                    bool all_that_follow) {
  const Outcome outcome = attempt([&] { return bits(done(session.run(net.inputs))); }, at, all_that_follow);
  const bool right = outcome.error.empty() ? outcome.answer == want : outcome.error.starts_with("DeviceError: ");
  EXPECT_TRUE(right) << net.name << ": allocation " << at << ": "
                     << (outcome.error.empty() ? "another answer" : outcome.error);
  return outcome;
}

// The first run of a model, which plans it.
TEST_P(OutOfMemory, TheFirstRun) {
  for (const NetCase& net : nets()) {
    const Files files(net.name, net.text);
    const std::string want = bits(Session(files.load()).run(net.inputs));
    auto model = files.load();
    std::int64_t at = 1;
    for (;; ++at) {
      Session session(model);
      const Outcome outcome = failing_run(net, session, want, at, GetParam());
      if (!outcome.failed || HasFailure()) break;
      constexpr std::int64_t kEach = 16;  // a model that answered has its plan and packed weights: there it begins anew
      if (!outcome.error.empty() && at % kEach != 0) continue;
      EXPECT_TRUE(bits(session.run(net.inputs)) == want) << net.name << ": the run after allocation " << at;
      model = files.load();
    }
    EXPECT_GT(at, 300) << net.name;
  }
}

TEST_P(OutOfMemory, LaterRuns) {
  for (const NetCase& net : nets()) {
    const Files files(net.name, net.text);
    const auto model = files.load();
    const std::string want = bits(Session(model).run(net.inputs));
    for (std::int64_t at = 1;; ++at) {
      Session session(model);
      session.set_profiling(true);
      if (!failing_run(net, session, want, at, GetParam()).failed || HasFailure()) break;
      EXPECT_TRUE(bits(session.run(net.inputs)) == want) << net.name << ": the run after allocation " << at;
      EXPECT_GE(session.profile().at(0).runs, 1);
      if (!failing_run(net, session, want, at, GetParam()).failed) continue;  // bound already: fewer allocations
      EXPECT_TRUE(bits(session.run(net.inputs)) == want) << net.name << ": the second run after allocation " << at;
    }
  }
}

TEST_P(OutOfMemory, TheRestOfThePublicFunctions) {
  const auto all = [&](const char* what, const Answer& call) {
    EXPECT_GT(fail_one_after_the_other(what, call, GetParam()), 0) << what;
  };
  const Files files("detector", small_detector());
  const auto model = files.load();
  Session session(model);
  (void)session.run(nets()[0].inputs);
  all("Session", [&] {
    Session made(model);
    return std::string();
  });
  all("Model::graph_text", [&] { return model->graph_text(); });
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
