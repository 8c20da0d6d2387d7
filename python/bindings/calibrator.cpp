#include "calibrator.h"

#include <nanobind/stl/filesystem.h>

#include "arrays.h"
#include "d2deploy/calibrator.h"

namespace nb = nanobind;
using namespace nb::literals;

namespace d2deploy::bindings {

namespace {

void load(Calibrator* self, const std::filesystem::path& predict_net, const std::filesystem::path& init_net,
          int threads, float max_error) {
  const nb::gil_scoped_release released;
  new (self) Calibrator(predict_net, init_net, {threads, max_error});
}

template <void (Calibrator::*method)(const Tensors&)>
void run(Calibrator& self, const nb::dict& inputs) {
  const Inputs given = to_inputs(inputs);
  const nb::gil_scoped_release released;
  (self.*method)(given.tensors);
}

nb::list layers(const Calibrator& self) {
  nb::list out;
  for (const CalibratedLayer& layer : self.layers()) {
    nb::dict item;
    item["output"] = text(layer.output);
    item["error"] = layer.error;
    item["stays_float32"] = layer.stays_float32;
    out.append(item);
  }
  return out;
}

nb::list inputs_of(const Calibrator& self) {
  nb::list out;
  for (const auto& name : self.inputs()) out.append(text(name));
  return out;
}

constexpr const char* kDoc = R"(Finds out, from real pictures, what precision int8 needs to know of a net.

Pictures go to `observe`, then some of them to `measure`; `write` makes the file. For one thread.)";

constexpr const char* kInitDoc = R"(Reads, checks and prepares both files. Other threads of Python run meanwhile.

Args:
    predict_net: path of `model.pb`.
    init_net: path of `model_init.pb`.
    threads: threads of one run; 0: as many as the process may use.
    max_error: layers in which int8 makes a larger error, of the L2 norm of their output, stay float32.

Raises:
    InvalidModel, Unsupported, InvalidArgument: as `Model`.)";

constexpr const char* kObserveDoc = R"(Runs the net and notes the ranges of its values.

Args:
    inputs: as for `Model.run`.

Raises:
    InvalidModel: a value is not finite.
    InvalidArgument, DeviceError: as `Model.run`.)";

constexpr const char* kMeasureDoc = R"(Runs the net, and each of its layers in int8 on what the layer reads in float32.

Args:
    inputs: as for `Model.run`.

Raises:
    InvalidArgument: as `Model.run`, or nothing was observed.
    DeviceError: the memory does not suffice.)";

constexpr const char* kLayersDoc = R"(The layers that were measured, in the order of the net.

Returns:
    For each `output`, its name; `error`: the L2 norm of what int8 changes in it, all else being float32, by
    that of the output; `stays_float32`.)";

constexpr const char* kWriteDoc = R"(Writes what was found to a file, which replaces one that is there.

Args:
    file: its path.

Raises:
    InvalidArgument: nothing was observed, or the file cannot be written.)";

}  // namespace

void bind_calibrator(nb::module_& module) {
  nb::class_<Calibrator>(module, "Calibrator", kDoc)
      .def("__init__", load, "predict_net"_a, "init_net"_a, nb::kw_only(), "threads"_a = 0, "max_error"_a = 0.1F,
           nb::sig("def __init__(self, predict_net: str | os.PathLike[str], init_net: str | os.PathLike[str], *, "
                   "threads: int = 0, max_error: float = 0.1) -> None"),
           kInitDoc)
      .def_prop_ro("inputs", inputs_of, nb::sig("def inputs(self) -> list[str]"),
                   "Names of the arrays that `observe` and `measure` must be given.")
      .def("observe", run<&Calibrator::observe>, "inputs"_a, kObserveDoc,
           nb::sig("def observe(self, inputs: dict[str, numpy.typing.NDArray[typing.Any]]) -> None"))
      .def("measure", run<&Calibrator::measure>, "inputs"_a, kMeasureDoc,
           nb::sig("def measure(self, inputs: dict[str, numpy.typing.NDArray[typing.Any]]) -> None"))
      .def("layers", layers, nb::sig("def layers(self) -> list[dict[str, typing.Any]]"), kLayersDoc)
      .def(
          "write", [](const Calibrator& self, const std::filesystem::path& file) { self.write(file); }, "file"_a,
          nb::sig("def write(self, file: str | os.PathLike[str]) -> None"), kWriteDoc);
}

}  // namespace d2deploy::bindings
