// A net on a GPU, against its floor: the same convolutions and matrix products alone, in one CUDA graph as the net is.
// Both are timed in turn, on the device, with inputs that are there; and a run as a user sees it, from bytes in host
// memory to outputs in host memory.
#include <algorithm>
#include <chrono>
#include <cstdio>
#include <functional>
#include <iostream>
#include <map>
#include <span>
#include <string>

#include "core/text.h"
#include "core/threads.h"
#include "d2deploy/image.h"
#include "d2deploy/model.h"
#include "runtime/device_side.h"
#include "runtime/frame.h"
#include "runtime/model.h"
#include "runtime/step_waits.h"

using namespace d2deploy;

namespace {

using Clock = std::chrono::steady_clock;

double median(std::vector<double> values) {
  std::ranges::nth_element(values, values.begin() + static_cast<std::ptrdiff_t>(values.size() / 2));
  return values[values.size() / 2];
}

template <class F>
double milliseconds(const F& f) {
  const auto start = Clock::now();
  f();
  return std::chrono::duration<double, std::milli>(Clock::now() - start).count();
}

Tensor noise_images(std::int64_t images, Size size) {
  std::vector<std::uint8_t> bytes(static_cast<std::size_t>(images * 3 * size.height * size.width));
  std::uint32_t state = 7;
  for (auto& b : bytes) {
    state = state * 1664525U + 1013904223U;
    b = static_cast<std::uint8_t>(state >> 24U);
  }
  return Tensor::of<std::uint8_t>({images, 3, size.height, size.width}, bytes);
}

constexpr const char* kUsage =
    "device_benchmark --predict_net=model.pb --init_net=model_init.pb [--device=cuda:0] [--precision=float16] "
    "[--size=800x1216] [--images=1] [--runs=30] [--threads=0] [--tune] [--profile]";

// Without gflags: this program goes to machines that have nothing but a GPU.
class Flags {
 public:
  Flags(int argc, char** argv) {
    for (const std::string word : std::span(argv, static_cast<std::size_t>(argc)).subspan(1)) {
      const auto mark = word.find('=');
      const std::string name = word.substr(0, mark);
      check(values_.contains(name), "unknown flag '", name, "'; wanted: ", kUsage);
      values_[name] = mark == std::string::npos ? "true" : word.substr(mark + 1);
    }
    check(!(*this)["predict_net"].empty() && !(*this)["init_net"].empty(), "wanted: ", kUsage);
  }

  const std::string& operator[](const std::string& name) const { return values_.at("--" + name); }
  bool on(const std::string& name) const { return (*this)[name] == "true"; }
  int number(const std::string& name) const { return std::stoi((*this)[name]); }
  Size size() const {
    const std::string& text = (*this)["size"];
    return {std::stoi(text), std::stoi(text.substr(text.find('x') + 1))};
  }

 private:
  std::map<std::string, std::string> values_{{"--predict_net", ""},      {"--init_net", ""},     {"--device", "cuda:0"},
                                             {"--precision", "float16"}, {"--size", "800x1216"}, {"--images", "1"},
                                             {"--runs", "30"},           {"--threads", "0"},     {"--tune", ""},
                                             {"--profile", ""}};
};

// Times work of a stream on the device itself.
class Timed {
 public:
  Timed(const Stream& stream, const std::function<void()>& work) : stream_(stream), recording_(stream.record(work)) {}
  Timed(const Stream& stream, const PartOrder& after, const std::function<void(std::size_t part)>& work)
      : stream_(stream), recording_(stream.record(after, work)) {}
  double milliseconds() const {
    Event begin(stream_.device()), end(stream_.device());
    begin.record(stream_);
    stream_.replay(recording_);
    end.record(stream_);
    return end.milliseconds_since(begin);
  }

 private:
  const Stream& stream_;
  Recording recording_;
};

// Of the net's steps, launched one by one.
void print_profile(Frame& frame, const PartOrder& order) {
  std::map<std::size_t, std::vector<double>> times;
  for (int i = 0; i < 7; ++i) frame.run_timed([&](std::size_t step, double ms) { times[step].push_back(ms); });
  const auto planned = unused_profile(frame.plan());
  std::vector<std::pair<double, std::string>> rows;
  double all = 0;
  for (const auto& [step, list] : times) {
    const NodeProfile& p = planned[step];
    rows.emplace_back(median(list), join(p.type, "  ", p.output, "  ", p.shape, "  ", p.kernel));
    all += rows.back().first;
  }
  std::vector<double> ends(order.size());  // if every step began as soon as it may
  for (std::size_t step = 0; step < order.size(); ++step) {
    for (const std::size_t before : order[step]) ends[step] = std::max(ends[step], ends[before]);
    if (times.contains(step)) ends[step] += median(times[step]);
  }
  std::ranges::sort(rows, std::greater());
  std::printf("  each step alone, %.3f ms together, %.3f ms on the longest way:\n", all, std::ranges::max(ends));
  for (const auto& [time, what] : rows) std::printf("  %8.1f us  %s\n", time * 1e3, what.c_str());
}

int run(const Flags& flags) {
  ModelOptions options;
  options.device = flags["device"];
  options.precision = flags["precision"];
  options.threads = flags.number("threads");
  options.tune = flags.on("tune");
  options.own_class_masks = true;
  const Size size = flags.size();
  const int runs = flags.number("runs"), images = flags.number("images");
  check(runs > 0 && images > 0, "--runs and --images must be at least 1");
  std::shared_ptr<const Model> model;
  const double load = milliseconds([&] { model = Model::load(flags["predict_net"], flags["init_net"], options); });
  const Model::Impl& net = impl_of(*model);
  const ThreadScope threads(net.options.threads);
  const Device device = net.plan_options.context.device;
  const DeviceScope scope(device);
  std::vector<float> info;
  for (int i = 0; i < images; ++i)
    info.insert(info.end(), {static_cast<float>(size.height), static_cast<float>(size.width), 1.0F});
  const Tensors inputs{{"data", noise_images(images, size)}, {"im_info", Tensor::of<float>({images, 3}, info)}};
  std::shared_ptr<const Plan> plan;
  TypeMap types;
  for (const auto& [name, tensor] : inputs) types[name] = tensor.type();
  const double planning = milliseconds([&] { plan = net.plan(net.check_inputs(types)); });
  Session session(model);
  const double first = milliseconds([&] { session.run(inputs); });
  session.run(inputs);
  std::printf("%s on %s, %d x %lld x %lld: load %.0f ms, plan %.0f ms, first run %.0f ms, arena %.0f MB\n",
              flags["precision"].c_str(), device_name(device).c_str(), images, static_cast<long long>(size.height),
              static_cast<long long>(size.width), load, planning, first, static_cast<double>(plan->arena_bytes) * 1e-6);
  std::vector<double> whole;
  for (int i = 0; i < runs; ++i) whole.push_back(milliseconds([&] { session.run(inputs); }));

  // The same plan in a frame of our own, whose stream we can time.
  Frame frame(plan, allocate(device, plan->arena_bytes), net.constants, net.plan_options);
  frame.set_inputs(inputs);
  frame.run();
  const Stream& stream = frame.stream();
  const auto launch = [&](const std::function<bool(const Step&)>& wanted) {
    return [&frame, &plan, wanted] {
      for (std::size_t i = 0; i < plan->steps.size(); ++i)
        if (wanted(plan->steps[i])) frame.launch_step(i);
    };
  };
  const auto is_product = [](const Step& step) {
    return step.kernel != nullptr && step.kernel->backend == Backend::cudnn;
  };
  const PartOrder order = step_waits(*plan);
  const Timed net_graph(stream, order, [&](std::size_t step) { frame.launch_step(step); });
  const Timed line_graph(stream, launch([](const Step&) { return true; })), floor_graph(stream, launch(is_product));
  double flops = 0;
  for (const Step& step : plan->steps)
    if (is_product(step)) flops += step.work.flops;
  std::vector<double> graph, line, floor, plain;
  for (int i = 0; i < runs; ++i) {
    graph.push_back(net_graph.milliseconds());
    line.push_back(line_graph.milliseconds());
    floor.push_back(floor_graph.milliseconds());
    plain.push_back(milliseconds([&] {
      launch([](const Step&) { return true; })();
      stream.synchronize();
    }));
  }
  const double net_ms = median(graph), floor_ms = median(floor);
  std::printf(
      "  net %.3f ms as a graph, %.3f with its steps in a line, %.3f launched one by one, %.3f from host to host; "
      "floor "
      "%.3f ms = %.0f TFLOP/s; ratio %.3f\n",
      net_ms, median(line), median(plain), median(whole), floor_ms, flops / floor_ms * 1e-9, net_ms / floor_ms);
  if (flags.on("profile")) print_profile(frame, order);
  return 0;
}

}  // namespace

int main(int argc, char** argv) try { return run(Flags(argc, argv)); } catch (const std::exception& e) {
  std::cerr << "device_benchmark: " << e.what() << '\n';
  return 1;
}
