// What a prediction costs beside its net: the picture brought to the net's input, the outputs brought to the picture,
// and the masks of all detections as bitmaps or as COCO's codes. All steps are run in turn, so that a change of the
// machine's speed meets each; medians are compared.
#include <gflags/gflags.h>

#include <algorithm>
#include <array>
#include <chrono>
#include <cstdint>
#include <cstdio>
#include <ctime>
#include <functional>
#include <iostream>
#include <opencv2/imgcodecs.hpp>

#include "core/check.h"
#include "core/threads.h"
#include "detector/input_rule.h"
#include "detector/prediction.h"

DEFINE_string(model, "", "folder of model.pb and model_init.pb");
DEFINE_string(input, "", "picture; without one, noise of --height x --width is taken");
DEFINE_int64(height, 480, "height of the noise");
DEFINE_int64(width, 729, "width of the noise; 480 x 729 becomes 800 x 1215, padded to 800 x 1216");
DEFINE_int64(min_size, -1, "shorter side that pictures are resized to, 0: not; -1: as the model says");
DEFINE_int32(threads, 0, "threads; 0: as many as the process may use");
DEFINE_int32(runs, 15, "timed runs");

using namespace d2deploy;

namespace {

double quantile(std::vector<double> values, double q) {
  std::ranges::sort(values);
  return values[static_cast<std::size_t>(q * static_cast<double>(values.size() - 1) + 0.5)];
}

struct Step {
  const char* name;
  std::vector<double> wall, cpu;  // milliseconds; cpu: of all threads, which others on the machine do not change

  void measure(const std::function<void()>& f) {
    using Clock = std::chrono::steady_clock;
    const auto start = Clock::now();
    const std::clock_t cpu_start = std::clock();
    f();
    cpu.push_back(static_cast<double>(std::clock() - cpu_start) * 1e3 / CLOCKS_PER_SEC);
    wall.push_back(std::chrono::duration<double, std::milli>(Clock::now() - start).count());
  }
  void clear() {
    wall.clear();
    cpu.clear();
  }
};

cv::Mat picture() {
  if (!FLAGS_input.empty()) {
    cv::Mat image = cv::imread(FLAGS_input);
    check(!image.empty(), "cannot read the image '", FLAGS_input, "'");
    return image;
  }
  cv::Mat image(static_cast<int>(FLAGS_height), static_cast<int>(FLAGS_width), CV_8UC3);
  cv::theRNG().state = 1;
  cv::randu(image, 0, 256);
  return image;
}

int run() {
  check(FLAGS_runs >= 1, "--runs must be at least 1");
  DetectorOptions options;
  options.model.threads = FLAGS_threads;
  options.model.own_class_masks = true;  // as Detector loads it
  if (FLAGS_min_size >= 0) options.min_size = FLAGS_min_size;
  const std::filesystem::path folder = FLAGS_model;
  const auto model = Model::load(folder / "model.pb", folder / "model_init.pb", options.model);
  const InputRule rule = input_rule_of(model->info(), options);
  const OutputRule outputs(*model);
  const cv::Mat image = picture();
  const ImageView view{image.data, image.rows, image.cols, static_cast<std::int64_t>(image.step)};
  const Size wanted{view.height, view.width};
  const ThreadScope threads(model->options().threads);
  Session session(model);

  Step pre{"pre", {}, {}}, net{"net", {}, {}}, post{"post", {}, {}}, bitmaps{"bitmaps", {}, {}}, codes{"codes", {}, {}};
  const std::array steps{&pre, &net, &post, &bitmaps, &codes};
  FedImage fed;
  Prediction found;
  for (int i = -1; i < FLAGS_runs; ++i) {
    if (i == 0) std::ranges::for_each(steps, &Step::clear);  // the first run planned
    Tensors raw;
    pre.measure([&] { fed = feed(view, rule, options.caffe2_scale); });
    Tensors inputs{{"data", fed.data}, {"im_info", fed.im_info}};
    std::erase_if(inputs, [&](const auto& input) { return std::ranges::count(model->inputs(), input.first) == 0; });
    net.measure([&] { raw = session.run(inputs); });
    post.measure([&] { found = outputs.predict(raw, {0, 1}, fed.size, wanted, options); });
    if (found.masks.raw() == nullptr) continue;
    bitmaps.measure([&] {
      for (std::int64_t k = 0; k < found.count(); ++k) (void)found.mask(k);
    });
    codes.measure([&] {
      for (std::int64_t k = 0; k < found.count(); ++k) (void)to_coco_string(found.mask_run_lengths(k));
    });
  }

  std::cout << view.height << " x " << view.width << " pixels, net input " << fed.data.shape() << ", " << found.count()
            << " detections, " << FLAGS_runs << " runs with " << model->options().threads << " threads\n"
            << "             median     fastest  CPU, median  (ms)\n";
  for (const Step* step : steps)
    if (!step->wall.empty())
      std::printf("%-8s %10.2f  %10.2f  %11.2f\n", step->name, quantile(step->wall, 0.5), quantile(step->wall, 0),
                  quantile(step->cpu, 0.5));
  const auto print_ratio = [&](const char* what, const Step* masks) {
    const auto ratio = [&](auto milliseconds) {
      const double beside = milliseconds(pre) + milliseconds(post) + (masks == nullptr ? 0 : milliseconds(*masks));
      return 100 * beside / milliseconds(net);
    };
    std::printf("%-20s %6.2f %% of the net, %6.2f %% of its CPU time\n", what,
                ratio([](const Step& s) { return quantile(s.wall, 0.5); }),
                ratio([](const Step& s) { return quantile(s.cpu, 0.5); }));
  };
  print_ratio("pre + post", nullptr);
  if (bitmaps.wall.empty()) return 0;
  print_ratio("pre + post + bitmaps", &bitmaps);
  print_ratio("pre + post + codes", &codes);
  return 0;
}

}  // namespace

int main(int argc, char** argv) try {
  gflags::SetUsageMessage("detector_benchmark --model=FOLDER [--input=photo.png] [--threads=2] [--runs=15]");
  gflags::ParseCommandLineFlags(&argc, &argv, true);
  return run();
} catch (const std::exception& e) {
  std::cerr << "detector_benchmark: " << e.what() << '\n';
  return 1;
}
