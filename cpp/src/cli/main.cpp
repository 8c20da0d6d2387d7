// caffe2_mask_rcnn: runs a pair of Caffe2 files on images. `--help` has its manual.
#include <gflags/gflags.h>
#include <glog/logging.h>
#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <cstdlib>
#include <iostream>
#include <new>

#include "cli/detections.h"
#include "cli/images.h"
#include "cli/options.h"
#include "cli/report.h"
#include "cli/visualize.h"
#include "core/check.h"
#include "core/text.h"
#include "d2deploy/detector.h"
#include "io/npy.h"

namespace d2deploy::cli {

namespace {

void write_log(LogLevel level, std::string_view text) {
  if (level == LogLevel::warning)
    LOG(WARNING) << text;
  else
    VLOG(1) << text;
}

void make_folder(const char* flag, const std::filesystem::path& folder) {
  if (folder.empty()) return;  // not wanted, or the current one
  std::error_code error, ignored;
  std::filesystem::create_directories(folder, error);
  check(std::filesystem::is_directory(folder, ignored), flag, ": cannot make the folder ", folder.string(), ": ",
        error ? error.message() : "a file is in its place");
}

Tensors net_inputs(const Model& model, const std::vector<cv::Mat>& images) {
  std::vector<ImageView> views;
  for (const cv::Mat& image : images)
    views.push_back({image.data, image.rows, image.cols, static_cast<std::int64_t>(image.step[0])});
  InputRule rule = input_rule(model);
  // Padded with black, as Caffe2's programs do; they had no models that take squares.
  if (rule.square_size == 0) rule.pixel_mean.clear();
  const NetInputs made = to_net_inputs(views, rule);
  Tensors inputs{{"data", made.data}, {"im_info", made.im_info}};
  // What else the net wants, and that is not a detector's input, the session reports.
  std::erase_if(inputs, [&](const auto& input) { return std::ranges::count(model.inputs(), input.first) == 0; });
  return inputs;
}

double seconds_since(std::chrono::steady_clock::time_point start) {
  return std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
}

Tensors timed_runs(Session& session, const Tensors& inputs, int count, std::vector<double>& seconds) {
  Tensors outputs;
  for (int i = 0; i < count; ++i) {
    const auto start = std::chrono::steady_clock::now();
    outputs = session.run(inputs);
    seconds.push_back(seconds_since(start));
  }
  return outputs;
}

// Blob names come from the file: one must not lead out of the folder.
void dump(const std::filesystem::path& folder, const Tensors& outputs) {
  for (const auto& [blob, tensor] : outputs) {
    std::string name = blob;
    std::ranges::replace(name, '/', '_');
    write_npy(folder / (name + ".npy"), tensor);
  }
}

void report(const Options& options, const Model& model, const std::vector<cv::Mat>& images, const Tensors& outputs) {
  print_shapes(std::cout, model.outputs(), outputs);
  if (!options.dump_dir.empty()) dump(options.dump_dir, outputs);
  const auto found = find_detections(model, outputs, images.size());
  if (found) {
    print_predictions(std::cout, *found, options.images, options.score_threshold);
    write_masks(*found, options.output_dir, options.score_threshold);
  }
  if (options.visualize.empty()) return;
  check(found.has_value(), "--visualize draws detections, but this net has none: its outputs are ",
        list_of(model.outputs()));
  for (std::size_t i = 0; i < images.size(); ++i)
    write_image(numbered(options.visualize, i, images.size()), draw(images[i], *found, i, options.score_threshold));
}

void run(const Options& options) {
  if (!options.visualize.empty()) check_writable(options.visualize);
  const auto images = read_images(options.images);
  ModelOptions model_options = options.model;
  model_options.log = write_log;
  const auto start = std::chrono::steady_clock::now();
  const auto model = Model::load(options.predict_net, options.init_net, model_options);
  const double load_seconds = seconds_since(start);
  if (options.print_graph) {
    std::cout << model->graph_text();
    return;
  }
  make_folder("--output_dir", options.output_dir);
  make_folder("--dump_dir", options.dump_dir);
  make_folder("--visualize", options.visualize.parent_path());

  Session session(model);
  const Tensors inputs = net_inputs(*model, images);
  (void)session.run(inputs);  // to warm up: plans are made and pages touched in the first run
  constexpr int kRuns = 3;    // what the original program makes
  const int runs = options.benchmark > 0 ? options.benchmark : kRuns;
  std::vector<double> seconds;
  Tensors outputs = timed_runs(session, inputs, runs, seconds);
  if (options.benchmark > 0) std::cout << join("Load: ", load_seconds, " seconds\n");
  print_latency(std::cout, seconds, options.benchmark > 0);
  if (options.profile) {  // in runs of its own: the clock readings per node would be in the latency
    session.set_profiling(true);
    outputs = timed_runs(session, inputs, runs, seconds);
  }
  report(options, *model, images, outputs);
  if (options.profile) print_profile(std::cout, session.profile());
}

// One line, whatever the message holds.
int complain(int code, std::string_view message) {
  std::string line;
  for (const auto whole : lines(message))
    if (const auto part = strip(whole); !part.empty())
      line += (line.empty() ? "" : line.back() == ':' ? " " : "; ") + std::string(part);
  std::cout.flush();
  std::cerr << "caffe2_mask_rcnn: " << line << '\n';
  return code;
}

// GCC's OpenMP lets a thread that waits spin for milliseconds. Where other processes want the CPU too, the one that it
// waits for does not get it meanwhile: runs took eight times as long. It reads how long before main, so the program
// starts itself once more with some microseconds, unless the user has chosen.
void spin_briefly(char** argv) {
#ifdef _OPENMP
  if (std::getenv("GOMP_SPINCOUNT") != nullptr || std::getenv("OMP_WAIT_POLICY") != nullptr) return;
  std::error_code error;
  const auto program = std::filesystem::read_symlink("/proc/self/exe", error);
  if (error || setenv("GOMP_SPINCOUNT", "1000", 1) != 0) return;
  execv(program.c_str(), argv);  // returns only where it cannot: then this process goes on as it is
#else
  (void)argv;
#endif
}

int guarded_main(int argc, char** argv) {
  enum ExitCode { kOk = 0, kWrongUse = 1, kWrongModel = 2, kFailure = 3 };
  try {
    spin_briefly(argv);
    // Messages belong on stderr, not into files of their own, unless the command line says so.
    gflags::SetCommandLineOptionWithMode("logtostderr", "true", gflags::SET_FLAGS_DEFAULT);
    const auto options = parse_options(argc, argv);
    google::InitGoogleLogging(argv[0]);
    if (options) run(*options);
    check<DeviceError>(std::cout.flush().good(), "cannot write to standard output");
    return kOk;
  } catch (const InvalidArgument& e) {
    return complain(kWrongUse, e.what());
  } catch (const InvalidModel& e) {
    return complain(kWrongModel, e.what());
  } catch (const Unsupported& e) {
    return complain(kWrongModel, e.what());
  } catch (const std::bad_alloc&) {
    return complain(kFailure, "out of memory");
  } catch (const std::exception& e) {
    return complain(kFailure, e.what());
  } catch (...) {
    return complain(kFailure, "an error of unknown type; please report it");
  }
}

}  // namespace

}  // namespace d2deploy::cli

int main(int argc, char** argv) { return d2deploy::cli::guarded_main(argc, argv); }
