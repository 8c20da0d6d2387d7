// A net against its floor: the same convolutions and FC layers run bare in oneDNN, layer by layer.
// Both are run in turn, so that a change of the machine's speed meets both; medians are compared.
#include <gflags/gflags.h>
#include <sys/resource.h>

#include <algorithm>
#include <chrono>
#include <cstdio>
#include <functional>
#include <iostream>
#include <map>
#include <opencv2/imgcodecs.hpp>

#include "core/element_type.h"
#include "core/threads.h"
#include "d2deploy/detector.h"
#include "floor.h"
#include "runtime/model.h"

DEFINE_string(predict_net, "", "model.pb");
DEFINE_string(init_net, "", "model_init.pb");
DEFINE_string(input, "", "image to run");
DEFINE_string(precision, "float32", "what the net runs in, and the floor: float32, bfloat16, int8");
DEFINE_string(floor, "", "what the floor runs in, if not the same; its int8 is uint8 times int8");
DEFINE_string(profile, "", "also print the time of each type of operator; 'nodes': of each node");
DEFINE_int32(threads, 0, "threads; 0: as many as the process may use");
DEFINE_int32(batch, 1, "how many times the picture is in a run; the bare layers take all of them in one call");
DEFINE_int32(runs, 7, "timed runs of the net and of each bare layer");
DEFINE_string(kernels, "", "kernels to use, as in caffe2_mask_rcnn: Operator=kernel,...");
DEFINE_bool(low_memory, false, "as in caffe2_mask_rcnn");
DEFINE_bool(layers, false, "print the median of each bare layer");

using namespace d2deploy;

namespace {

using Clock = std::chrono::steady_clock;

template <class F>
double milliseconds(const F& f) {
  const auto start = Clock::now();
  f();
  return std::chrono::duration<double, std::milli>(Clock::now() - start).count();
}

double median(std::vector<double> values) {
  std::ranges::nth_element(values, values.begin() + static_cast<std::ptrdiff_t>(values.size() / 2));
  return values[values.size() / 2];
}

double peak_megabytes() {
  rusage usage{};
  getrusage(RUSAGE_SELF, &usage);
  return static_cast<double>(usage.ru_maxrss) * 1024e-6;
}

DType type_of_floor(const std::string& name) {
  DType type = DType::uint8;
  check(name == "int8" || (parse(name, type) && is_real(type)), "--floor is '", name,
        "', must be float32, bfloat16 or int8");
  return type;
}

// The medians of what stands in each run's profile, by type of operator, or by node.
void print_profile(Session& session, const Tensors& inputs) {
  std::map<std::string, std::vector<double>> times;
  double all = 0;
  for (int i = 0; i < FLAGS_runs; ++i) {
    session.set_profiling(true);
    session.run(inputs);
    std::map<std::string, double> run;
    for (const NodeProfile& node : session.profile())
      run[FLAGS_profile == "nodes" ? node.type + " -> " + node.output + "  " + node.shape + "  " + node.kernel
                                   : node.type + "  " + node.kernel.substr(0, node.kernel.find('/'))] +=
          node.milliseconds;
    for (const auto& [what, time] : run) times[what].push_back(time);
  }
  session.set_profiling(false);
  std::vector<std::pair<double, std::string>> rows;
  for (const auto& [what, list] : times) rows.emplace_back(median(list), what);
  std::ranges::sort(rows, std::greater());
  for (const auto& [time, what] : rows) all += time;
  for (const auto& [time, what] : rows) std::printf("  %8.2f ms  %4.1f %%  %s\n", time, 100 * time / all, what.c_str());
}

int run() {
  const cv::Mat image = cv::imread(FLAGS_input);
  check(!image.empty(), "cannot read the image '", FLAGS_input, "'");
  check(FLAGS_runs >= 1, "--runs must be at least 1");
  check(FLAGS_batch >= 1, "--batch must be at least 1");
  std::shared_ptr<const Model> model;
  ModelOptions options;
  options.threads = FLAGS_threads;
  options.kernels = FLAGS_kernels;
  options.precision = FLAGS_precision;
  options.low_memory = FLAGS_low_memory;
  options.log = [](LogLevel level, std::string_view text) {
    if (level == LogLevel::warning) std::cerr << text << '\n';
  };
  const double load = milliseconds([&] { model = Model::load(FLAGS_predict_net, FLAGS_init_net, options); });
  const ImageView view{image.data, image.rows, image.cols, static_cast<std::int64_t>(image.step)};
  const std::vector views(static_cast<std::size_t>(FLAGS_batch), view);
  const auto [data, im_info] = to_net_inputs(views, input_rule(*model));
  const Tensors inputs{{"data", data}, {"im_info", im_info}};
  const ThreadScope threads(model->options().threads);
  std::shared_ptr<const Plan> plan;
  const double planning = milliseconds([&] {
    plan = impl_of(*model).plan({{"data", data.type()}, {"im_info", im_info.type()}});
  });
  Session session(model);
  const double first = milliseconds([&] { session.run(inputs); });
  session.run(inputs);
  const double peak = peak_megabytes();  // before the bare layers take memory of their own
  std::printf("load        %8.0f ms, then %.0f ms to plan for %lld x %lld (together %.0f ms)\n", load, planning,
              static_cast<long long>(data.dim(2)), static_cast<long long>(data.dim(3)), load + planning);
  std::printf("first run   %8.0f ms\n", first);
  std::printf("peak memory %8.0f MB\n", peak);

  if (!FLAGS_profile.empty()) print_profile(session, inputs);

  const std::string floor_type = FLAGS_floor.empty() ? model->options().precision : FLAGS_floor;
  auto layers = floor_layers(*plan, type_of_floor(floor_type));
  std::vector<double> net;
  std::vector<std::vector<double>> bare(layers.size());
  for (auto& l : layers) l.layer->run();
  for (int i = 0; i < FLAGS_runs; ++i) {
    std::fprintf(stderr, "\rrun %d of %d", i + 1, FLAGS_runs);
    net.push_back(milliseconds([&] { session.run(inputs); }));
    for (std::size_t k = 0; k < layers.size(); ++k) bare[k].push_back(milliseconds([&] { layers[k].layer->run(); }));
  }
  std::fprintf(stderr, "\r              \r");
  double floor = 0;
  for (std::size_t k = 0; k < layers.size(); ++k) {
    const double m = median(bare[k]);
    if (FLAGS_layers) std::printf("  %8.2f ms  %s\n", m, layers[k].label.c_str());
    floor += m;
  }
  std::printf("net         %8.1f ms, median of %d runs with %d threads, in %s\n", median(net), FLAGS_runs,
              model->options().threads, model->options().precision.c_str());
  std::printf("floor       %8.1f ms, sum of the medians of %zu bare layers, in %s\n", floor, layers.size(),
              floor_type.c_str());
  std::printf("ratio       %8.3f\n", median(net) / floor);
  return 0;
}

}  // namespace

int main(int argc, char** argv) try {
  gflags::SetUsageMessage(
      "net_benchmark --predict_net=model.pb --init_net=model_init.pb --input=photo.png [--threads=2] [--runs=7] "
      "[--precision=bfloat16]");
  gflags::ParseCommandLineFlags(&argc, &argv, true);
  return run();
} catch (const std::exception& e) {
  std::cerr << "net_benchmark: " << e.what() << '\n';
  return 1;
}
