#include "runtime/model.h"

#include <algorithm>
#include <charconv>
#include <cstdlib>
#include <set>

#include "core/device.h"
#include "core/threads.h"
#include "graph/fingerprint.h"
#include "io/calibration_file.h"
#include "io/model_file.h"
#include "kernels/cudnn/conv.h"
#include "kernels/instruction_sets.h"
#include "runtime/arguments.h"
#include "runtime/model_cache.h"

namespace d2deploy {

namespace {

// What is subtracted from the image first: files of Detectron2's own exporter tell it in no other way.
std::vector<float> subtracted_mean(const Graph& graph) {
  const auto node = std::ranges::find_if(
      graph.nodes, [](const Node& n) { return n.type == "Sub" && n.inputs.size() == 2 && n.inputs[0] == "data"; });
  if (node == graph.nodes.end()) return {};
  const auto mean = graph.constants.find(node->inputs[1]);
  if (mean == graph.constants.end() || mean->second.dtype() != DType::float32) return {};
  const auto values = mean->second.values<float>();
  return {values.begin(), values.end()};
}

ModelInfo info_of(const Graph& graph) {
  ModelInfo info;
  info.meta_architecture = argument(graph.attributes, "meta_architecture", info.meta_architecture);
  info.size_divisibility = argument(graph.attributes, "size_divisibility", info.size_divisibility);
  constexpr std::int64_t kMost = 1 << 16;  // more would pad any image beyond what can be run
  check<InvalidModel>(info.size_divisibility >= 0 && info.size_divisibility <= kMost,
                      "net argument size_divisibility is ", info.size_divisibility, ", wanted 0 to ", kMost);
  info.pixel_mean = argument(graph.attributes, "pixel_mean", std::vector<float>());
  if (info.pixel_mean.empty()) info.pixel_mean = subtracted_mean(graph);
  info.arguments = graph.attributes;
  return info;
}

// A device as it is called: cpu, cuda, cuda:1.
Device parse_device(const std::string& name) {
  if (name == "cpu") return {};
  if (name == "cuda") return {Device::cuda, 0};
  constexpr std::string_view kPrefix = "cuda:";
  Device device{Device::cuda, -1};
  const auto* end = name.data() + name.size();
  if (name.starts_with(kPrefix) && name.size() <= kPrefix.size() + 3) {
    const auto [last, error] = std::from_chars(name.data() + kPrefix.size(), end, device.index);
    if (error != std::errc() || last != end) device.index = -1;
  }
  check<Unsupported>(device.index >= 0, "device '", name, "' is not available; available: cpu, cuda, cuda:N");
  return device;
}

constexpr std::string_view kCpuPrecisions = "float32, bfloat16, int8",
                           kGpuPrecisions = "float32, tf32, float16, bfloat16";

// The type of heavy operators that a precision stands for.
DType precision_of(const ModelOptions& options) {
  const bool cpu = parse_device(options.device).kind == Device::cpu;
  const std::string& precision = options.precision;
  if (precision == "float32" || (precision == "tf32" && !cpu)) return DType::float32;
  if (precision == "bfloat16") return DType::bfloat16;
  if (precision == "float16" && !cpu) return DType::float16;
  if (precision == "int8" && cpu) return DType::int8;
  fail<Unsupported>("precision '", precision, "' is not available on ", options.device,
                    "; available: ", cpu ? kCpuPrecisions : kGpuPrecisions);
}

// What int8 needs. Other weights, or another net, have other ranges.
std::shared_ptr<const Calibration> calibration_of(const Graph& graph, const ModelOptions& options) {
  const std::string file = options.calibration.string(), folder = options.calibration.parent_path().string();
  const std::string way = join("make one with: d2deploy calibrate ", folder.empty() ? "." : folder, " --images FOLDER");
  std::error_code error;
  check(std::filesystem::exists(options.calibration, error), "precision 'int8' needs a calibration: there is no ", file,
        "; ", way);
  auto calibration = std::make_shared<const Calibration>(read_calibration(options.calibration));
  check<InvalidModel>(calibration->model == fingerprint(graph), file,
                      ": is the calibration of another model, or of other weights; ", way);
  return calibration;
}

// Why heavy operators of this type would be slower than float32; empty: they are faster.
std::string refuse_precision(DType type) {
  if (type == DType::bfloat16 && !has_bfloat16()) return "the CPU has neither AVX512-BF16 nor AMX";
  if (type == DType::int8 && !has_vnni()) return "the CPU has no VNNI";
  const bool fast = std::ranges::any_of(find_operator("Conv")->kernels,
                                        [type](const Kernel& k) { return k.real == type && !k.wide; });
  return fast ? "" : "this build is without oneDNN";
}

// What can run fast here: the precision asked for, or float32. D2DEPLOY_EMULATE names one that is to be computed in
// although that is slow.
std::string available_precision(const ModelOptions& options) {
  const DType type = precision_of(options);
  if (type == DType::float32 || options.device != "cpu") return options.precision;
  const char* emulated = std::getenv("D2DEPLOY_EMULATE");
  if (emulated != nullptr && options.precision == emulated) return options.precision;
  const std::string why = refuse_precision(type);
  if (why.empty()) return options.precision;
  log(options.log, LogLevel::warning, "precision ", options.precision, " would be slower than float32 here: ", why,
      ". Running in float32; D2DEPLOY_EMULATE=", options.precision, " computes in ", options.precision,
      " all the same");
  return "float32";
}

ModelOptions resolved(ModelOptions options) {
  const Device device = parse_device(options.device);
  if (device.kind != Device::cpu) {
    (void)device_name(device);
    cudnn::check_available(device);
  }
  options.device = to_string(device);
  (void)precision_of(options);
  options.threads = threads_for(options.threads);
  check<Unsupported>(options.engine == "native" || options.engine == "caffe2", "engine '", options.engine,
                     "' is not available; available: native, caffe2");
  check<Unsupported>(options.engine == "native" || options.precision == "float32",
                     "engine 'caffe2' has precision float32 alone, got '", options.precision, "'");
  check<Unsupported>(options.engine == "native" || options.device == "cpu",
                     "engine 'caffe2' runs on the CPU alone, got device '", options.device, "'");
  if (options.kernels.empty())
    if (const char* text = std::getenv("D2DEPLOY_KERNELS")) options.kernels = text;
  options.precision = available_precision(options);
  return options;
}

PlanOptions plan_options_of(const ModelOptions& options) {
  return {parse_forced_kernels(options.kernels),
          {parse_device(options.device), nullptr, options.threads, options.precision == "tf32", options.tune},
          options.max_tensor_bytes,
          options.low_memory,
          options.log};
}

// Throws with all operators that have no kernel for the device.
void check_kernels(const Graph& graph, Device device) {
  std::set<std::string> missing;
  for (const Node& node : graph.nodes) {
    const Operator& op = *find_operator(node.type);
    const bool any =
        std::ranges::any_of(op.kernels, [&](const Kernel& k) { return device_of(k.backend) == device.kind; });
    if (!any && !(op.is(view) && node.outputs.size() == 1)) missing.insert(node.type);
  }
  check<Unsupported>(missing.empty(), "these operators have no kernel for ", device, ": ",
                     list_of(std::vector(missing.begin(), missing.end())), "; run the model on the CPU");
}

// Runs `f`, which sees nothing but the file: what does not fit in it is no argument of a caller.
template <class F>
void of_file_alone(const F& f) {
  try {
    f();
  } catch (const InvalidArgument& e) {
    fail<InvalidModel>(e.what());
  }
}

}  // namespace

Model::Impl::Impl(Graph g, const ModelOptions& o, const std::shared_ptr<ModelCache>& cache)
    : options(resolved(o)), graph(std::move(g)) {
  const ThreadScope threads(options.threads);
  verify(graph);
  info = info_of(graph);
  outputs = graph.outputs;  // before the passes add one
  of_file_alone([&] {
    run_passes(graph, import_passes(), options.log);
    (void)infer_types(graph);  // faults of the file show now, not in the first run
  });
  splits = argument(graph.attributes, "batch_splits_output", std::string());
  const DType real = precision_of(options);
  check<Unsupported>(options.optimize || real == DType::float32, "precision '", options.precision,
                     "' needs the passes: set optimize");
  std::shared_ptr<const Calibration> calibration;
  if (real == DType::int8) calibration = calibration_of(graph, options);
  if (options.optimize)
    of_file_alone([&] { run_passes(graph, optimize_passes(real, options.own_class_masks, calibration), options.log); });
  remove_dead(graph);
  verify(graph);
  text = to_text(graph);
  plan_options = plan_options_of(options);
  check_kernels(graph, plan_options.context.device);
  if (cache != nullptr) cache->save(*this);
  for (const auto& [name, tensor] : graph.constants)
    constants[name] =
        std::make_unique<Constant>(tensor, cache == nullptr ? nullptr : cache->store(name, tensor.type()));
  graph.constants.clear();  // `constants` has them, and may drop them
}

Model::Impl::Impl(KeptModel kept, const ModelOptions& o)
    : options(resolved(o)),
      graph(std::move(kept.graph)),
      text(std::move(kept.text)),
      info(std::move(kept.info)),
      outputs(std::move(kept.outputs)),
      splits(std::move(kept.splits)),
      constants(std::move(kept.constants)),
      plan_options(plan_options_of(options)) {}

Model::Impl::Impl(Graph outline, const ModelOptions& o, std::unique_ptr<Caffe2Model> engine)
    : options(resolved(o)), graph(std::move(outline)), caffe2(std::move(engine)) {
  info = info_of(graph);
  outputs = graph.outputs;
  text = to_text(graph);
}

TypeMap Model::Impl::check_inputs(const TypeMap& given) const {
  TypeMap types;
  for (const auto& name : graph.inputs) {
    const auto it = given.find(name);
    check(it != given.end(), "input '", name, "' is missing; wanted: ", list_of(graph.inputs));
    const TensorType& declared = graph.input_types.at(name);
    const TensorType& type = it->second;
    const bool image = type.dtype == DType::uint8 && declared.dtype == DType::float32;  // images may come as bytes
    check(type.dtype == declared.dtype || image, "input '", name, "' is ", type.dtype, ", wanted ", declared.dtype);
    check(type.layout == Layout::row_major, "input '", name, "' must be row-major");
    bool fits = type.shape.rank() == declared.shape.rank();
    for (std::size_t i = 0; fits && i < type.shape.rank(); ++i)
      fits = type.shape[i] >= 1 && (declared.shape[i] == kUnknown || declared.shape[i] == type.shape[i]);
    check(fits, "input '", name, "' is ", type.shape, ", wanted ", declared.shape, " with no dimension of 0");
    types[name] = {declared.dtype, type.shape, Layout::row_major};
  }
  for (const auto& [name, type] : given)
    check(types.contains(name), "there is no input '", name, "'; wanted: ", list_of(graph.inputs));
  return types;
}

std::shared_ptr<const Plan> Model::Impl::plan(const TypeMap& input_types) const {
  return plans.get(input_types, [&] { return make_plan(graph, input_types, constants, plan_options); });
}

std::shared_ptr<const Model> Model::Impl::make(Graph graph, const ModelOptions& options) {
  return std::shared_ptr<const Model>(new Model(std::make_unique<Impl>(std::move(graph), options)));
}

std::shared_ptr<const Model> Model::Impl::load(const std::filesystem::path& predict_net,
                                               const std::filesystem::path& init_net, const ModelOptions& options) {
  const auto of_files = [=](std::uint64_t content) {
    const ModelFiles files(predict_net, init_net, Reading::whole);
    check<DeviceError>(ModelCache::content_of(files) == content, predict_net.string(), ": it, or ", init_net.string(),
                       ", was changed since the model was loaded, and what D2DEPLOY_CACHE had of it is damaged; load "
                       "the model again");
    return make(read_model(files, {options.max_tensor_bytes, options.log}), options);
  };
  const auto cache = ModelCache::open(predict_net, init_net, options, of_files);
  const auto kept_model = [&](KeptModel kept) {
    return std::shared_ptr<const Model>(new Model(std::make_unique<Impl>(std::move(kept), options)));
  };
  if (cache != nullptr)
    if (auto kept = cache->load()) return kept_model(std::move(*kept));
  Graph graph;
  {
    const ModelFiles files(predict_net, init_net, cache == nullptr ? Reading::sparse : Reading::whole);
    if (cache != nullptr)
      if (auto kept = cache->load(files)) return kept_model(std::move(*kept));
    graph = read_model(files, {options.max_tensor_bytes, options.log});
  }
  return with_context(
      [&] { return predict_net.string(); },
      [&] {
        return std::shared_ptr<const Model>(new Model(std::make_unique<Impl>(std::move(graph), options, cache)));
      });
}

std::shared_ptr<const Model> Model::load_in_caffe2(const std::filesystem::path& predict_net,
                                                   const std::filesystem::path& init_net, const ModelOptions& options) {
  Graph outline = read_outline(predict_net, init_net, {options.max_tensor_bytes, options.log});
  const Caffe2Model::Options engine_options{options.caffe2_library, options.threads};
  auto engine = std::make_unique<Caffe2Model>(predict_net, init_net, outline.inputs, engine_options);
  return std::shared_ptr<const Model>(
      new Model(std::make_unique<Impl>(std::move(outline), options, std::move(engine))));
}

std::shared_ptr<const Model> Model::load(const std::filesystem::path& predict_net,
                                         const std::filesystem::path& init_net, const ModelOptions& given) {
  return guarded([&] {
    ModelOptions options = resolved(given);
    const ThreadScope threads(options.threads);
    if (options.engine == "caffe2") return load_in_caffe2(predict_net, init_net, options);
    if (options.calibration.empty()) options.calibration = predict_net.parent_path() / "calibration.txt";
    return Impl::load(predict_net, init_net, options);
  });
}

const Model::Impl& impl_of(const Model& model) { return *model.impl_; }

Model::Model(std::unique_ptr<Impl> impl) : impl_(std::move(impl)) {}
Model::~Model() = default;
const std::vector<std::string>& Model::inputs() const { return impl_->graph.inputs; }
const std::vector<std::string>& Model::outputs() const { return impl_->outputs; }
const ModelInfo& Model::info() const { return impl_->info; }
const ModelOptions& Model::options() const { return impl_->options; }
std::string Model::graph_text() const {
  return guarded([&] { return impl_->text; });
}

std::vector<NodeProfile> Model::profile(const std::map<std::string, TensorType>& inputs) const {
  return guarded([&] {
    check<Unsupported>(!impl_->caffe2, "engine 'caffe2' tells no plan; take engine native");
    const ThreadScope threads(impl_->options.threads);
    return unused_profile(*impl_->plan(impl_->check_inputs(inputs)));
  });
}

}  // namespace d2deploy
