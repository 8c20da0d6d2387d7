#include "cli/options.h"

#include <gflags/gflags.h>

#include <algorithm>
#include <array>
#include <cmath>
#include <iomanip>
#include <iostream>
#include <string_view>

#include "core/check.h"
#include "core/text.h"
#include "d2deploy/version.h"

DEFINE_string(predict_net, "", "the net: model.pb");
DEFINE_string(init_net, "", "its weights: model_init.pb");
DEFINE_string(engine, "native", "native, or caffe2: the real Caffe2 in libtorch, to compare with");
DEFINE_string(caffe2_library, "", "engine caffe2: its library, if not where scripts/build_caffe2_engine put it");
DEFINE_string(device, "cpu", "where to run: cpu, or an NVIDIA GPU: cuda, cuda:1");
DEFINE_string(precision, "float32",
              "float32, or on the CPU bfloat16 (with AVX512-BF16 or AMX) or int8 (after d2deploy\n"
              "                           calibrate), on a GPU tf32, float16 or bfloat16");
DEFINE_bool(tune, false, "on a GPU: try out several ways to compute each convolution, which takes some seconds");
DEFINE_string(calibration, "", "precision int8: what d2deploy calibrate made; empty: calibration.txt beside the net");
DEFINE_bool(low_memory, false, "need less memory and more time: no weights that are larger than those of the file");
DEFINE_int32(threads, 0, "threads of one run; 0: as many as the process may use");
DEFINE_int64(max_tensor_bytes, std::int64_t{4} << 30, "refuse files and images that need a larger tensor");
DEFINE_string(input, "", "the image, or several of one size, as a.png,b.png: they run as one batch");
DEFINE_double(score_threshold, 0.6, "print, write and draw only what scores at least this");
DEFINE_string(output_dir, ".", "folder for mask<i>.png, or mask<image>_<i>.png with several images");
DEFINE_string(dump_dir, "", "write every output of the net to DIR/<blob>.npy");
DEFINE_string(visualize, "",
              "draw all that is found into FILE; with several images _0, _1, ... precedes the extension");
DEFINE_int32(benchmark, 0, "make N timed runs instead of 3; print median, 90th percentile and minimum");
DEFINE_bool(profile, false, "print the time of every node and of every type of operator");
DEFINE_bool(print_graph, false, "print the graph that is run, after all passes, and end; needs no --input");

// gflags' own, which this program answers itself.
DECLARE_bool(help);
DECLARE_bool(version);

namespace d2deploy::cli {

namespace {

struct Flag {
  const char *name, *value;
};
struct Group {
  const char* title;
  std::vector<Flag> flags;
};

std::vector<Group> groups() {
  return {
      {"Model",
       {{"predict_net", "FILE"},
        {"init_net", "FILE"},
        {"engine", "NAME"},
        {"caffe2_library", "FILE"},
        {"device", "NAME"},
        {"precision", "NAME"},
        {"calibration", "FILE"},
        {"low_memory", nullptr},
        {"tune", nullptr},
        {"threads", "N"},
        {"max_tensor_bytes", "N"}}},
      {"Images", {{"input", "FILE,..."}}},
      {"Results", {{"score_threshold", "X"}, {"output_dir", "DIR"}, {"dump_dir", "DIR"}, {"visualize", "FILE"}}},
      {"Insight", {{"benchmark", "N"}, {"profile", nullptr}, {"print_graph", nullptr}}},
  };
}

constexpr std::string_view kHead =
    R"(caffe2_mask_rcnn: runs a detector that Detectron2 exported to Caffe2 files on images.

  caffe2_mask_rcnn --predict_net=model.pb --init_net=model_init.pb --input=photo.jpg --visualize=found.png

The image goes in with the channels that the model's file asks for (input_format; without it BGR), neither resized nor
normalised. It is padded inside where the net needs that, and
boxes are in pixels of the image: (x0, y0, x1, y1), or (center x, center y, width, height, degrees) where the net
predicts rotated ones. The net runs once to warm up, then three times for the latency. Detections are printed, and
the mask of each is written as an 8-bit picture (255: probability 1) of the size that the net gives. For outputs
that are not detections, shapes are printed; --dump_dir has their values.

Images are read as d2deploy.images.read_image reads them in Python, whatever the format: upright as EXIF says, gray and
palettes as colors, without alpha (what it hid shows), of 16 bits the high byte, of several pages the first. Integers of
other sizes and floating point are refused, as no file tells what is white in them; so are animated WebP and more than
178956970 pixels.
)";

constexpr std::string_view kTail = R"(
More
  --help                   this text
  --version                the version of this program
  --v=N                    messages on stderr; 1: what the passes changed, and why kernels were refused
  --helpfull               also the flags of the libraries (glog: logging)

Environment
  D2DEPLOY_KERNELS         kernels to use, as Conv=direct_f32, instead of the best that takes the call
  D2DEPLOY_CACHE           a folder; what is made of a model's files is kept in it, so that it is loaded faster the next
                           time. It takes about 3 times the model's size in it
  D2DEPLOY_CAFFE2_LIBRARY  the library of engine caffe2
  D2DEPLOY_CUDNN_LIBRARY   the library of cuDNN, which a GPU needs, if not libcudnn.so.9
  GOMP_SPINCOUNT           how long threads spin before they sleep (default: 1000, some microseconds; OMP_WAIT_POLICY
                           goes before it): on machines that do nothing else, more may be a little faster

Exit codes
  0  all went well
  1  wrong use, or a file that cannot be read or written
  2  the model files are wrong, or need what is not supported
  3  the device failed, or this program did
One line on stderr says what went wrong.
)";

std::string default_of(const gflags::CommandLineFlagInfo& info) {
  return info.type == "double" ? join(parse_float(info.default_value)) : info.default_value;  // 0.6, not all its digits
}

void print_help() {
  std::cout << kHead;
  for (const Group& group : groups()) {
    std::cout << '\n' << group.title << '\n';
    for (const Flag& flag : group.flags) {
      const auto info = gflags::GetCommandLineFlagInfoOrDie(flag.name);
      const std::string left = join("--", flag.name, flag.value ? "=" : "", flag.value ? flag.value : "");
      constexpr int kColumn = 25;
      std::cout << "  " << std::left << std::setw(kColumn) << left << info.description;
      if (flag.value && !info.default_value.empty()) std::cout << " (default: " << default_of(info) << ')';
      std::cout << '\n';
    }
  }
  std::cout << kTail;
}

// gflags would drop what is wrong in these when it is asked for one flag at a time.
constexpr std::array<std::string_view, 3> kNotTaken{"flagfile", "fromenv", "tryfromenv"};

bool find_flag(const std::string& name, gflags::CommandLineFlagInfo& info) {
  return std::ranges::find(kNotTaken, name) == kNotTaken.end() && gflags::GetCommandLineFlagInfo(name.c_str(), &info);
}

// --name=value, --name value, --name, --noname, with one dash or two. Returns the number of words used.
// Not gflags' own loop, which ends the process and reports in its own words.
int set_flag(int left, char** words) {
  const std::string_view word = words[0];
  check(word.size() > 1 && word.front() == '-', "unexpected argument '", word, "'; an image is given as --input=FILE");
  const std::string_view text = word.substr(word.starts_with("--") ? 2 : 1);
  const auto mark = text.find('=');
  std::string name(text.substr(0, mark));
  std::optional<std::string> value;
  if (mark != std::string_view::npos) value = text.substr(mark + 1);

  gflags::CommandLineFlagInfo info;
  bool found = find_flag(name, info);
  if (!found && !value && name.starts_with("no") && find_flag(name.substr(2), info) && info.type == "bool") {
    name.erase(0, 2);
    value = "false";
    found = true;
  }
  check(found, "unknown flag --", name, "; --help lists all flags");
  int used = 1;
  if (!value && info.type == "bool") value = "true";
  if (!value) {
    check(left > 1, "--", name, " needs a value, as --", name, "=VALUE");
    value = words[1];
    used = 2;
  }
  check(!gflags::SetCommandLineOption(name.c_str(), value->c_str()).empty(), "--", name, ": '", *value, "' is not ",
        info.type == "int32" || info.type == "int64" ? "an integer"
        : info.type == "double"                      ? "a number"
                                                     : "a valid value");
  return used;
}

std::vector<std::filesystem::path> image_paths(const std::string& list) {
  if (std::error_code ignored; std::filesystem::exists(list, ignored)) return {list};  // a name may hold a comma
  std::vector<std::filesystem::path> paths;
  for (std::size_t start = 0; start <= list.size();) {
    const auto end = std::min(list.find(',', start), list.size());
    if (const auto path = strip(std::string_view(list).substr(start, end - start)); !path.empty())
      paths.emplace_back(path);
    start = end + 1;
  }
  return paths;
}

void check_complete(const Options& options) {
  std::vector<std::string> missing;
  if (options.predict_net.empty()) missing.emplace_back("--predict_net");
  if (options.init_net.empty()) missing.emplace_back("--init_net");
  if (options.images.empty() && !options.print_graph) missing.emplace_back("--input");
  check(missing.empty(), "missing ", list_of(missing), "; --help shows an example");
  check(options.model.threads >= 0, "--threads must not be negative, got ", options.model.threads);
  check(!options.profile || options.model.engine == "native", "--profile shows the nodes of engine native, got engine ",
        options.model.engine);
  check(options.model.max_tensor_bytes > 0, "--max_tensor_bytes must be positive, got ",
        options.model.max_tensor_bytes);
  check(options.benchmark >= 0, "--benchmark must not be negative, got ", options.benchmark);
  check(std::isfinite(options.score_threshold), "--score_threshold must be a finite number, got ",
        options.score_threshold);
}

}  // namespace

std::optional<Options> parse_options(int argc, char** argv) {
  for (int i = 1; i < argc;) {
    if (std::string_view(argv[i]) == "-h") {
      FLAGS_help = true;
      ++i;
    } else {
      i += set_flag(argc - i, argv + i);
    }
  }
  if (FLAGS_help) {
    print_help();
    return std::nullopt;
  }
  if (FLAGS_version) {
    std::cout << "caffe2_mask_rcnn " D2DEPLOY_VERSION "\n";
    return std::nullopt;
  }
  gflags::HandleCommandLineHelpFlags();  // --helpfull and its kin; they end the process

  Options options;
  options.predict_net = FLAGS_predict_net;
  options.init_net = FLAGS_init_net;
  options.images = image_paths(FLAGS_input);
  options.model.engine = FLAGS_engine;
  options.model.caffe2_library = FLAGS_caffe2_library;
  options.model.device = FLAGS_device;
  options.model.precision = FLAGS_precision;
  options.model.calibration = FLAGS_calibration;
  options.model.low_memory = FLAGS_low_memory;
  options.model.tune = FLAGS_tune;
  options.model.threads = FLAGS_threads;
  options.model.max_tensor_bytes = FLAGS_max_tensor_bytes;
  options.output_dir = FLAGS_output_dir;
  options.score_threshold = static_cast<float>(FLAGS_score_threshold);
  options.benchmark = FLAGS_benchmark;
  options.profile = FLAGS_profile;
  options.print_graph = FLAGS_print_graph;
  options.visualize = FLAGS_visualize;
  options.dump_dir = FLAGS_dump_dir;
  check_complete(options);
  return options;
}

}  // namespace d2deploy::cli
