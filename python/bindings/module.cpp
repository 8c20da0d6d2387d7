// d2deploy._ext: loads a pair of files and runs it on NumPy arrays. The docstrings of the bindings are what
// python/d2deploy/_ext.pyi is made from.
#include <nanobind/nanobind.h>
#include <nanobind/stl/filesystem.h>
#include <nanobind/stl/optional.h>
#include <nanobind/stl/string.h>

#include "arrays.h"
#include "calibrator.h"
#include "d2deploy/session_pool.h"
#include "detector.h"
#include "errors.h"
#include "resize.h"
#include "warnings.h"

namespace nb = nanobind;
using namespace nb::literals;

namespace d2deploy::bindings {

namespace {

nb::dict to_dict(const NodeProfile& node) {
  nb::dict outputs;
  for (const auto& [name, shape] : node.outputs) {
    nb::list dims;
    for (const std::int64_t dim : shape) dims.append(dim == kUnknown ? nb::object(nb::none()) : nb::int_(dim));
    outputs[text(name)] = nb::tuple(dims);
  }
  nb::dict out;
  out["operator"] = node.type;
  out["outputs"] = outputs;
  out["kernel"] = node.kernel;
  out["runs"] = node.runs;
  out["milliseconds"] = node.milliseconds;
  out["flops"] = node.flops;
  out["bytes"] = node.bytes;
  return out;
}

nb::dict run(SessionPool& self, const nb::dict& inputs) {
  const Inputs given = to_inputs(inputs);
  const SessionPool::Lease session(self);
  Tensors outputs;
  {
    const nb::gil_scoped_release released;
    outputs = session->run(given.tensors);
  }
  return to_arrays(outputs);
}

std::vector<NodeProfile> measured(SessionPool& pool, const Tensors& inputs, int runs) {
  const SessionPool::Lease session(pool);
  struct Profiling {
    Session* session;
    explicit Profiling(Session* s) : session(s) { session->set_profiling(true); }
    ~Profiling() { session->set_profiling(false); }
    Profiling(const Profiling&) = delete;
    Profiling& operator=(const Profiling&) = delete;
  } const profiling(session.operator->());
  for (int i = 0; i < runs; ++i) session->run(inputs);
  return session->profile();
}

nb::list profile(SessionPool& self, const nb::dict& inputs, int runs) {
  const Inputs given = to_inputs(inputs);
  if (runs < 0) throw InvalidArgument("runs is " + std::to_string(runs) + ", must be at least 0");
  std::vector<NodeProfile> nodes;
  {
    const nb::gil_scoped_release released;
    std::map<std::string, TensorType> types;
    for (const auto& [name, tensor] : given.tensors) types[name] = tensor.type();
    nodes = runs > 0 ? measured(self, given.tensors, runs) : self.model().profile(types);
  }
  nb::list out;
  for (const NodeProfile& node : nodes) out.append(to_dict(node));
  return out;
}

void load(SessionPool* self, const std::filesystem::path& predict_net, const std::filesystem::path& init_net,
          const std::string& device, const std::string& precision,
          const std::optional<std::filesystem::path>& calibration, bool low_memory, bool tune, int threads,
          const std::string& engine, std::int64_t max_tensor_bytes, bool optimize) {
  ModelOptions options;
  options.device = device;
  options.precision = precision;
  if (calibration) options.calibration = *calibration;
  options.low_memory = low_memory;
  options.tune = tune;
  options.threads = threads;
  options.engine = engine;
  options.max_tensor_bytes = max_tensor_bytes;
  options.optimize = optimize;
  const PrecisionWarning warning;
  options.log = warning.log();
  std::shared_ptr<const Model> model;
  {
    const nb::gil_scoped_release released;
    model = Model::load(predict_net, init_net, options);
  }
  warning.raise();
  new (self) SessionPool(model);
}

nb::list list_of(const std::vector<std::string>& names) {
  nb::list out;
  for (const auto& name : names) out.append(text(name));
  return out;
}

constexpr const char* kModelDoc = R"(A loaded model, which any number of threads may run at the same time.

Every run that overlaps another has working memory of its own, which the model keeps for later ones.)";

constexpr const char* kInitDoc = R"(Reads, checks and prepares both files. Other threads of Python run meanwhile.

Args:
    predict_net: path of `model.pb`.
    init_net: path of `model_init.pb`.
    device: "cpu", or an NVIDIA GPU: "cuda", "cuda:1".
    precision: "float32", or a smaller type for the heavy operators. CPU: "bfloat16", "int8"; one that has neither
        AVX512-BF16 nor AMX, or for int8 no VNNI, runs float32 all the same, and warns. GPU: "tf32", "float16",
        "bfloat16".
    calibration: the file that int8 needs; None: `calibration.txt` beside `model.pb`.
    low_memory: needs less memory and more time: no weights are kept that are larger than those of the file.
    tune: on a GPU, several ways to compute each convolution are tried out, which takes some seconds per picture size.
    threads: threads of one run; 0: as many as the process may use.
    engine: "native", or "caffe2": the real Caffe2, where scripts/build_caffe2_engine has built it.
    max_tensor_bytes: no tensor may be larger, nor the memory of a run 16 times this.
    optimize: False: the nodes run as they stand in the file.

Raises:
    InvalidModel: the files, with all their faults at once where that is possible.
    Unsupported: operators that are not there, all of them; a device, precision or engine.
    InvalidArgument: another option, or a file that cannot be opened.)";

constexpr const char* kRunDoc =
    R"(Runs the net. Other threads of Python run meanwhile; the inputs must stay as they are.

Args:
    inputs: arrays by the names in `inputs`. For a detector: `data` float32 or uint8 (N, 3, H, W), BGR,
        0 to 255, and `im_info` float32 (N, 3), per image height, width, scale. Arrays that are not
        contiguous are copied.

Returns:
    Every output by name, in arrays that own their memory. With several images the rows of the detections
    are grouped by image, and the extra output `batch_splits`, float32 (N,), has the number of each.

Raises:
    InvalidArgument: an input that is missing, unknown, not an array, or of the wrong type or shape.
    DeviceError: the memory does not suffice.)";

constexpr const char* kProfileDoc = R"(What the nodes of the net do, in the order in which they run.

Args:
    inputs: as for `run`.
    runs: how many there are; 0: nothing is run, and what is planned is told, with the most rows that there
        can be.

Returns:
    For each node `operator`; `outputs`, a dict of their shapes in the last run, None being a dimension that
    is not known; `kernel`; `runs`; `milliseconds` of all runs together; and of the last run `flops`, those of
    convolutions and matrix products, a multiply-add being two, and `bytes` read and written.

Raises:
    InvalidArgument: as `run`, or a negative number of runs.
    Unsupported: what is planned, with engine "caffe2".
    DeviceError: the memory does not suffice.)";

constexpr const char* kInfoDoc = R"(What the exporter wrote beside the graph, a new dict each time.

`meta_architecture` (str) and `size_divisibility` (int: pad height and width to a multiple of it; 0 or 1:
any size) are always there, and with them all other arguments of the predict net by name: int, float (as
precise as float32), str, bytes where a string is not UTF-8, or a list of these.)";

}  // namespace

void bind_model(nb::module_& module) {
  nb::class_<SessionPool>(module, "Model", kModelDoc)
      .def(
          "__init__", load, "predict_net"_a, "init_net"_a, nb::kw_only(), "device"_a = "cpu", "precision"_a = "float32",
          "calibration"_a.none() = nb::none(), "low_memory"_a = false, "tune"_a = false, "threads"_a = 0,
          "engine"_a = "native", "max_tensor_bytes"_a = ModelOptions().max_tensor_bytes, "optimize"_a = true,
          nb::sig("def __init__(self, predict_net: str | os.PathLike[str], init_net: str | os.PathLike[str], *, "
                  "device: str = 'cpu', precision: str = 'float32', calibration: str | os.PathLike[str] | None = None, "
                  "low_memory: bool = False, tune: bool = False, threads: int = 0, engine: str = 'native', "
                  "max_tensor_bytes: int = "
                  "4294967296, optimize: bool = "
                  "True) -> None"),
          kInitDoc)
      .def_prop_ro(
          "inputs", [](const SessionPool& self) { return list_of(self.model().inputs()); },
          nb::sig("def inputs(self) -> list[str]"), "Names of the arrays that `run` must be given.")
      .def_prop_ro(
          "outputs", [](const SessionPool& self) { return list_of(self.model().outputs()); },
          nb::sig("def outputs(self) -> list[str]"), "Names of the arrays that `run` returns, in the file's order.")
      .def_prop_ro(
          "info", [](const SessionPool& self) { return info_of(self.model().info()); },
          nb::sig("def info(self) -> dict[str, typing.Any]"), kInfoDoc)
      .def_prop_ro(
          "precision", [](const SessionPool& self) { return self.model().options().precision; },
          nb::sig("def precision(self) -> str"), "What it runs in: the one asked for, or float32 where that is faster.")
      .def("run", run, "inputs"_a, kRunDoc,
           nb::sig("def run(self, inputs: dict[str, numpy.typing.NDArray[typing.Any]]) -> "
                   "dict[str, numpy.typing.NDArray[typing.Any]]"))
      .def("profile", profile, "inputs"_a, "runs"_a = 1, kProfileDoc,
           nb::sig("def profile(self, inputs: dict[str, numpy.typing.NDArray[typing.Any]], runs: int = 1) -> "
                   "list[dict[str, typing.Any]]"));
}

}  // namespace d2deploy::bindings

NB_MODULE(_ext, module) {
  module.doc() =
      "The C++ library: model files run on NumPy arrays, and what pictures need before. Errors are those of "
      "d2deploy.errors.";
  d2deploy::bindings::translate_errors();
  d2deploy::bindings::bind_model(module);
  d2deploy::bindings::bind_detector(module);
  d2deploy::bindings::bind_calibrator(module);
  d2deploy::bindings::bind_resize(module);
}
