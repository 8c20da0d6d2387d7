// Memory that runs out: every allocation of a call fails once, the first, the second, and so on, alone or with all that
// follow. Only an Error may come out, what was made goes (the address sanitizer looks for leaks), and the next call
// gives the right answer.
#include <gtest/gtest.h>

#include <link.h>

#include <cstdint>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <functional>
#include <limits>
#include <new>
#include <random>

#include "d2deploy/detector.h"
#include "net_builder.h"
#include "net_run.h"
#include "small_detector.h"

// ---- Allocations that fail ---------------------------------------------------------------------------

namespace {

struct Failures {
  bool on = false, all_that_follow = false;
  std::int64_t at = 0, seen = 0;
};
thread_local Failures failures;

// Where oneDNN lies in memory: it does not survive that its own allocations fail, neither by malloc nor by new.
struct OnednnCode {
  std::uintptr_t begin = 0, end = 0;
};
OnednnCode onednn;

int find_onednn(dl_phdr_info* library, std::size_t, void*) {
  if (std::string_view(library->dlpi_name).find("libdnnl") == std::string_view::npos) return 0;
  for (int i = 0; i < library->dlpi_phnum; ++i) {
    const auto& part = library->dlpi_phdr[i];
    if (part.p_type != PT_LOAD || (part.p_flags & PF_X) == 0) continue;
    onednn.begin = library->dlpi_addr + part.p_vaddr;
    onednn.end = onednn.begin + part.p_memsz;
  }
  return 1;
}

bool fails(const void* caller) {
  const auto address = reinterpret_cast<std::uintptr_t>(caller);
  if (!failures.on || (address >= onednn.begin && address < onednn.end)) return false;
  ++failures.seen;
  return failures.all_that_follow ? failures.seen >= failures.at : failures.seen == failures.at;
}

}  // namespace

// The linker puts the second function in the place of aligned_alloc.
extern "C" void* __real_aligned_alloc(std::size_t alignment, std::size_t bytes);
extern "C" void* __wrap_aligned_alloc(std::size_t alignment, std::size_t bytes) {
  return fails(__builtin_return_address(0)) ? nullptr : __real_aligned_alloc(alignment, bytes);
}

void* operator new(std::size_t bytes) {
  void* data = fails(__builtin_return_address(0)) ? nullptr : std::malloc(bytes == 0 ? 1 : bytes);
  if (data == nullptr) throw std::bad_alloc();
  return data;
}
void* operator new(std::size_t bytes, const std::nothrow_t&) noexcept {
  return fails(__builtin_return_address(0)) ? nullptr : std::malloc(bytes == 0 ? 1 : bytes);
}
void* operator new(std::size_t bytes, std::align_val_t alignment) {
  const auto unit = static_cast<std::size_t>(alignment);
  void* data =
      fails(__builtin_return_address(0)) ? nullptr : __real_aligned_alloc(unit, (bytes + unit - 1) / unit * unit);
  if (data == nullptr) throw std::bad_alloc();
  return data;
}
// Both ends of the pair stand here, which the compiler does not see.
#pragma GCC diagnostic ignored "-Wmismatched-new-delete"
void operator delete(void* data) noexcept { std::free(data); }
void operator delete(void* data, std::size_t) noexcept { std::free(data); }
void operator delete(void* data, std::align_val_t) noexcept { std::free(data); }
void operator delete(void* data, std::size_t, std::align_val_t) noexcept { std::free(data); }

// protobuf itself loses an element that was made for a list which then finds no memory to grow.
extern "C" [[gnu::visibility("default")]] const char* __lsan_default_suppressions() {
  return "leak:google::protobuf::";
}

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
  if (onednn.end == 0) (void)dl_iterate_phdr(find_onednn, nullptr);
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

void expect_right(const std::string& what, std::int64_t at, const Outcome& outcome, const std::string& want) {
  // A sort that gets no buffer goes on without one: then there is an answer.
  const bool right = outcome.error.empty() ? outcome.answer == want : outcome.error.starts_with("DeviceError: ");
  EXPECT_TRUE(right) << what << ": allocation " << at << ": "
                     << (outcome.error.empty() ? "another answer" : outcome.error);
}

/// Which allocations of a call fail: each, one after the other, or only so many, at random, where there are more.
class Places {
 public:
  Places(std::int64_t all, std::int64_t most) : stride_(std::max<std::int64_t>(1, all / most)) {}

  std::int64_t next() { return at_ += stride_ == 1 ? 1 : 1 + random_() % (2 * stride_ - 1); }

 private:
  std::int64_t at_ = 0, stride_;
  std::minstd_rand random_;
};

std::int64_t allocations_of(const Answer& call) {
  (void)attempt(call, std::numeric_limits<std::int64_t>::max(), false);
  return failures.seen;
}

/// Makes `most` allocations of `call` fail, one after the other. Returns how many it has.
std::int64_t fail_one_after_the_other(const std::string& what, const Answer& call, bool all_that_follow,
                                      std::int64_t most) {
  const std::string want = call();
  const std::int64_t all = allocations_of(call);
  Places places(all, most);
  for (bool failed = true; failed && !::testing::Test::HasFailure();) {
    const std::int64_t at = places.next();
    const Outcome outcome = attempt(call, at, all_that_follow);
    expect_right(what, at, outcome, want);
    failed = outcome.failed;
  }
  return all;
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
  explicit Files(const std::string& text) {
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
    std::ofstream(predict_, std::ios::binary) << predict.bytes();
    std::ofstream(init_, std::ios::binary) << init.bytes();
    options_.threads = 1;  // OpenMP itself ends the process where it finds no memory
  }
  ~Files() { std::filesystem::remove_all(folder_); }
  Files(const Files&) = delete;
  Files& operator=(const Files&) = delete;

  std::shared_ptr<const Model> load() const { return Model::load(predict_, init_, options_); }

 private:
  static std::filesystem::path new_folder() {
    std::string name = ::testing::TempDir() + "out_of_memory-XXXXXX";
    return mkdtemp(name.data()) == nullptr ? "" : name;
  }

  std::filesystem::path folder_ = new_folder(), predict_ = folder_ / "model.pb", init_ = folder_ / "model_init.pb";
  ModelOptions options_;
};

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
    const Files files(net.text);
    const auto load = [&] { return done(files.load())->graph_text(); };
    EXPECT_GT(fail_one_after_the_other(net.name, load, GetParam(), net.most), 500) << net.name;
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
    const Files files(net.text);
    Session alone(files.load());
    std::string want;
    const std::int64_t all = allocations_of([&] {
      const Tensors outputs = done(alone.run(net.inputs));
      return want = bits(outputs);
    });
    EXPECT_GT(all, 50) << net.name;
    Places places(all, net.most);
    for (bool failed = true; failed && !HasFailure();) {
      Session session(files.load());
      failed = run_twice(net, session, want, places.next(), GetParam());
    }
  }
}

// Sessions of a model that is planned: their first run, and the next one.
TEST_P(OutOfMemory, LaterRuns) {
  for (const NetCase& net : nets()) {
    const Files files(net.text);
    const auto model = files.load();
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
  const Files files(small_detector());
  const auto model = files.load();
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
