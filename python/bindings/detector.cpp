#include "detector.h"

#include <nanobind/stl/filesystem.h>
#include <nanobind/stl/optional.h>
#include <nanobind/stl/string.h>

#include <algorithm>
#include <array>
#include <cstring>

#include "arrays.h"
#include "d2deploy/detector.h"
#include "images.h"
#include "warnings.h"

namespace nb = nanobind;
using namespace nb::literals;

namespace d2deploy::bindings {

namespace {

struct Choice {
  const char* name;
  int value;
};

// The value of the choice of that name. Throws InvalidArgument, with all of them, where there is none.
template <std::size_t N>
int chosen(const char* option, const std::string& name, const std::array<Choice, N>& choices) {
  std::string known;
  for (const Choice& choice : choices) {
    if (choice.name == name) return choice.value;
    known += (known.empty() ? "" : ", ") + std::string(choice.name);
  }
  throw InvalidArgument(std::string(option) + " is '" + name + "', available: " + known);
}

constexpr std::array<Choice, 2> kRowOrders{
    {{"score", static_cast<int>(RowOrder::score)}, {"file", static_cast<int>(RowOrder::file)}}};
constexpr std::array<Choice, 2> kPads{{{"mean", 0}, {"zero", 1}}};
constexpr std::array<Choice, 2> kModes{{{"latency", 0}, {"throughput", 1}}};
constexpr std::array<Choice, 2> kScales{{{"detectron2", 0}, {"caffe2", 1}}};

void load(Detector* self, const std::filesystem::path& predict_net, const std::filesystem::path& init_net,
          const std::string& device, const std::string& precision,
          const std::optional<std::filesystem::path>& calibration, bool low_memory, bool tune, int threads,
          const std::string& mode, int max_batch, const std::optional<std::string>& input_format,
          std::optional<std::int64_t> min_size, std::optional<std::int64_t> max_size, const std::string& pad,
          const std::string& im_info, const std::string& order, bool sem_seg, bool keypoint_heatmaps) {
  DetectorOptions options;
  options.model.device = device;
  options.model.precision = precision;
  if (calibration) options.model.calibration = *calibration;
  options.model.low_memory = low_memory;
  options.model.tune = tune;
  options.model.threads = threads;
  options.mode = static_cast<Mode>(chosen("mode", mode, kModes));
  options.max_batch = max_batch;
  if (input_format) options.order = channel_order("input_format", *input_format);
  options.min_size = min_size;
  options.max_size = max_size;
  options.pad_with_zero = chosen("pad", pad, kPads) == 1;
  options.caffe2_scale = chosen("im_info", im_info, kScales) == 1;
  options.row_order = static_cast<RowOrder>(chosen("order", order, kRowOrders));
  options.sem_seg = sem_seg;
  options.keypoint_maps = keypoint_heatmaps;
  const PrecisionWarning warning;
  options.model.log = warning.log();
  std::optional<Detector> detector;
  {
    const nb::gil_scoped_release released;
    detector = Detector::load(predict_net, init_net, options);
  }
  warning.raise();
  new (self) Detector(std::move(*detector));
}

// ---- Predictions -----------------------------------------------------------------------------------

template <class T>
nb::object array_of(const char* name, const Shape& shape, const T* values, DType dtype) {
  const TensorType type{dtype, shape};
  nb::object out = empty_array(name, type);
  const auto bytes = static_cast<std::size_t>(type.bytes());
  if (bytes > 0) std::memcpy(nb::cast<nb::ndarray<nb::c_contig>>(out).data(), values, bytes);
  return out;
}

nb::object array_of(const char* name, const Tensor& tensor) {
  return array_of(name, tensor.shape(), static_cast<const std::uint8_t*>(tensor.raw()), tensor.dtype());
}

nb::list segments_of(const std::vector<Segment>& segments) {
  nb::list out;
  for (const Segment& segment : segments) {
    nb::dict item;
    item["id"] = segment.id;
    item["isthing"] = segment.is_thing;
    if (segment.is_thing) item["score"] = static_cast<double>(segment.score);
    item["category_id"] = segment.category_id;
    if (segment.is_thing) item["instance_id"] = segment.instance_id;
    if (!segment.is_thing) item["area"] = segment.area;  // Detectron2 tells that of stuff alone
    out.append(item);
  }
  return out;
}

nb::dict to_dict(const Prediction& p) {
  nb::dict out;
  const std::int64_t n = p.count();
  out["image_size"] = nb::make_tuple(p.size.height, p.size.width);
  if (!p.class_map.empty()) {
    out["class_map"] = array_of("class_map", {p.size.height, p.size.width}, p.class_map.data(), DType::int32);
    if (p.sem_seg.raw() != nullptr) out["sem_seg"] = array_of("sem_seg", p.sem_seg);
    return out;
  }
  out["boxes"] = array_of("boxes", {n, p.box_columns}, p.boxes.data(), DType::float32);
  out["scores"] = array_of("scores", {n}, p.scores.data(), DType::float32);
  if (n == 0 || !p.classes.empty()) out["classes"] = array_of("classes", {n}, p.classes.data(), DType::int64);
  if (p.masks.raw() != nullptr) out["masks"] = array_of("masks", p.masks);
  if (p.keypoints_per_detection > 0)
    out["keypoints"] = array_of("keypoints", {n, p.keypoints_per_detection, 4}, p.keypoints.data(), DType::float32);
  if (p.keypoint_maps.raw() != nullptr) out["keypoint_heatmaps"] = array_of("keypoint_heatmaps", p.keypoint_maps);
  if (p.sem_seg.raw() != nullptr) out["sem_seg"] = array_of("sem_seg", p.sem_seg);
  if (!p.panoptic_map.empty()) {
    out["panoptic_map"] = array_of("panoptic_map", {p.size.height, p.size.width}, p.panoptic_map.data(), DType::int32);
    out["segments"] = segments_of(p.segments);
  }
  return out;
}

// The boxes (R, 4) float32 that a model is given; nothing for None.
struct GivenProposals {
  Inputs inputs;

  explicit GivenProposals(nb::handle boxes) {
    if (boxes.is_none()) return;
    nb::dict given;
    given["proposals"] = boxes;
    inputs = to_inputs(given);
    const Tensor& tensor = inputs.tensors.at("proposals");
    if (tensor.dtype() != DType::float32 || tensor.shape().rank() != 2 || tensor.dim(1) != 4)
      throw InvalidArgument("proposals must be (R, 4) float32, got " + description(boxes) + " " +
                            to_string(tensor.shape()));
  }
  bool given() const { return !inputs.tensors.empty(); }
  std::span<const float> boxes() const { return inputs.tensors.at("proposals").values<float>(); }
};

nb::dict predict(const Detector& self, nb::handle image, const std::string& input_format, nb::handle boxes) {
  const Inputs::Array array = to_image(image);
  const ImageView view = view_of(array, channel_order("input_format", input_format));
  const GivenProposals proposals(boxes);
  Prediction prediction;
  {
    const nb::gil_scoped_release released;
    prediction = proposals.given() ? self.predict(view, proposals.boxes()) : self.predict(view);
  }
  return to_dict(prediction);
}

nb::dict predict_resized(const Detector& self, nb::handle image, std::int64_t height, std::int64_t width,
                         nb::handle boxes) {
  nb::dict given;
  given["image"] = image;
  const Inputs inputs = to_inputs(given);
  const GivenProposals proposals(boxes);
  const Size wanted{height, width};
  Prediction prediction;
  {
    const nb::gil_scoped_release released;
    const Tensor& tensor = inputs.tensors.at("image");
    prediction = proposals.given() ? self.predict_resized(tensor, wanted, proposals.boxes())
                                   : self.predict_resized(tensor, wanted);
  }
  return to_dict(prediction);
}

nb::dict input_of(const Detector& self) {
  const InputRule& rule = self.input();
  nb::dict out;
  const std::size_t order = static_cast<std::size_t>(rule.order);
  out["input_format"] = kChannelOrders[order];
  out["channels"] = rule.channels;
  nb::list mean;
  for (const float value : rule.pixel_mean) mean.append(static_cast<double>(value));
  out["pixel_mean"] = mean;
  out["min_size"] = rule.min_size;
  out["max_size"] = rule.max_size;
  out["size_divisibility"] = rule.size_divisibility;
  out["square_size"] = rule.square_size;
  return out;
}

nb::list names_of(const std::vector<std::string>& names) {
  nb::list out;
  for (const auto& name : names) out.append(text(name, "replace"));
  return out;
}

// ---- Masks -----------------------------------------------------------------------------------------

struct Masks {
  Inputs inputs;
  std::int64_t count = 0, side = 0;

  Masks(nb::handle masks, nb::handle boxes) {
    nb::dict given;
    given["masks"] = masks;
    given["boxes"] = boxes;
    inputs = to_inputs(given);
    const Shape &shape = inputs.tensors["masks"].shape(), &of_boxes = inputs.tensors["boxes"].shape();
    if (shape.rank() != 3 || shape[1] != shape[2] || of_boxes.rank() != 2 || of_boxes[1] != 4 ||
        of_boxes[0] != shape[0])
      throw InvalidArgument("masks must be (N, S, S) and boxes (N, 4), got " + to_string(shape) + " and " +
                            to_string(of_boxes));
    count = shape[0];
    side = shape[1];
    (void)inputs.tensors["masks"].data<float>();
    (void)inputs.tensors["boxes"].data<float>();
  }
  std::span<const float> mask(std::int64_t i) const {
    return inputs.tensors.at("masks").values<float>().subspan(static_cast<std::size_t>(i * side * side),
                                                              static_cast<std::size_t>(side * side));
  }
  std::span<const float, 4> box(std::int64_t i) const {
    return inputs.tensors.at("boxes").values<float>().subspan(static_cast<std::size_t>(i * 4)).first<4>();
  }
};

nb::object paste_masks(nb::handle masks, nb::handle boxes, std::int64_t height, std::int64_t width, float threshold) {
  const Masks given(masks, boxes);
  if (height < 0 || width < 0)
    throw InvalidArgument("an image of " + std::to_string(height) + " x " + std::to_string(width) + " pixels");
  nb::object out = empty_array("the pasted masks", {DType::boolean, {given.count, height, width}});
  auto* data = static_cast<std::uint8_t*>(nb::cast<nb::ndarray<nb::c_contig>>(out).data());
  const nb::gil_scoped_release released;
  for (std::int64_t i = 0; i < given.count; ++i) {
    const auto pasted = paste_mask(given.mask(i), given.side, given.box(i), height, width, threshold);
    std::ranges::copy(pasted, data + i * height * width);
  }
  return out;
}

nb::list encode_masks(nb::handle masks, nb::handle boxes, std::int64_t height, std::int64_t width, float threshold) {
  const Masks given(masks, boxes);
  std::vector<std::string> counts(static_cast<std::size_t>(given.count));
  {
    const nb::gil_scoped_release released;
    for (std::int64_t i = 0; i < given.count; ++i)
      counts[static_cast<std::size_t>(i)] =
          to_coco_string(paste_run_lengths(given.mask(i), given.side, given.box(i), height, width, threshold));
  }
  nb::list out;
  for (const auto& bytes : counts) out.append(nb::bytes(bytes.data(), bytes.size()));
  return out;
}

constexpr const char* kDetectorDoc =
    R"(A model of any of Detectron2's kinds, and its predictions. Any number of threads may share it.)";

constexpr const char* kInitDoc = R"(Reads, checks and prepares both files. Other threads of Python run meanwhile.

Args:
    predict_net: path of `model.pb`.
    init_net: path of `model_init.pb`.
    device: as `Model` has it, like `precision`.
    precision: as `Model` has it.
    calibration: as `Model` has it.
    low_memory: as `Model` has it.
    tune: as `Model` has it.
    threads: threads of one prediction, in mode "throughput" of all; 0: as many as the process may use.
    mode: "latency": a prediction has all threads; "throughput": one, for many predictions at the same time (see
        `streams`), which together need less time.
    max_batch: on a GPU, how many images of one size go through the net together, 1 to 64: those of calls that
        overlap and find it busy. Each number, 1, 2, 4, ..., is planned when it first comes.
    input_format: channels that the model takes, "BGR", "RGB", "L", "as is"; None: what the file says.
    min_size: the shorter side that images are resized to, 0: none; None: what the file says, or 800.
    max_size: what a side may be at most; None: what the file says, or 1333.
    pad: images are padded with the "mean", as Detectron2 does, or "zero", as Caffe2.
    im_info: the scale that the net is told is 1 ("detectron2"), or height wanted / height given ("caffe2").
    order: of detections: by falling "score", or as in the "file".
    sem_seg: predictions hold the semantic logits.
    keypoint_heatmaps: predictions hold the heat maps.

Raises:
    InvalidModel, Unsupported, InvalidArgument: as `Model`; outputs that are not those of a detector.)";

constexpr const char* kResultDoc = R"(

Returns:
    `image_size` (height, width); `boxes` float32 (N, 4) xyxy or (N, 5) rotated; `scores` float32 (N,);
    `classes` int64 (N,), not for proposals; and where the model gives them `masks` float32 (N, S, S),
    probabilities inside of the boxes; `keypoints` float32 (N, K, 4): x, y, logit, probability;
    `keypoint_heatmaps` (N, K, S, S); `sem_seg` (C, height, width); `panoptic_map` int32 (height, width) with
    `segments`, a dict for each. Of a model that tells the class of pixels alone `image_size`, `class_map` int32
    (height, width) and, where asked for, `sem_seg`.

Raises:
    InvalidArgument: an image that does not suit the model.
    InvalidModel: outputs that do not agree.
    DeviceError: the memory does not suffice.)";

}  // namespace

void bind_detector(nb::module_& module) {
  static const std::string predict_doc =
      std::string(R"(Resizes an image as the model wants it, and predicts. Other threads of Python run meanwhile.

Args:
    image: (H, W) or (H, W, C) uint8.
    input_format: what its channels are: "BGR", "RGB", "L", or "as is": those that the model takes.
    proposals: boxes (R, 4) float32 xyxy in pixels of the image, for a model that takes them (`takes_proposals`).)") +
      kResultDoc;
  static const std::string resized_doc =
      std::string(R"(Predicts for an image that is resized already. Other threads of Python run meanwhile.

Args:
    image: (C, H, W) float32 or uint8, 0 to 255, with the model's channels.
    height: of the image that predictions are wanted for, as `width`, in pixels.
    width: see `height`.
    proposals: boxes (R, 4) float32 xyxy in pixels of the resized image, for a model that takes them.)") +
      kResultDoc;
  nb::class_<Detector>(module, "Detector", kDetectorDoc)
      .def("__init__", load, "predict_net"_a, "init_net"_a, nb::kw_only(), "device"_a = "cpu",
           "precision"_a = "float32", "calibration"_a.none() = nb::none(), "low_memory"_a = false, "tune"_a = false,
           "threads"_a = 0, "mode"_a = "latency", "max_batch"_a = 1, "input_format"_a.none() = nb::none(),
           "min_size"_a.none() = nb::none(), "max_size"_a.none() = nb::none(), "pad"_a = "mean",
           "im_info"_a = "detectron2", "order"_a = "score", "sem_seg"_a = false, "keypoint_heatmaps"_a = false,
           nb::sig("def __init__(self, predict_net: str | os.PathLike[str], init_net: str | os.PathLike[str], *, "
                   "device: str = 'cpu', precision: str = 'float32', calibration: str | os.PathLike[str] | None = "
                   "None, low_memory: bool = False, tune: bool = False, threads: int = 0, mode: str = 'latency', "
                   "max_batch: int = 1, input_format: str | None = "
                   "None, min_size: int | None = None, max_size: int | None = None, pad: str = 'mean', im_info: str = "
                   "'detectron2', order: str = 'score', sem_seg: bool = False, keypoint_heatmaps: bool = False) -> "
                   "None"),
           kInitDoc)
      .def_prop_ro(
          "info", [](const Detector& self) { return info_of(self.model().info()); },
          nb::sig("def info(self) -> dict[str, typing.Any]"), "As that of `Model`.")
      .def_prop_ro("input", input_of, nb::sig("def input(self) -> dict[str, typing.Any]"),
                   "What images become: `input_format`, `channels`, `pixel_mean`, `min_size`, `max_size`, "
                   "`size_divisibility`, `square_size`.")
      .def_prop_ro(
          "class_names", [](const Detector& self) { return names_of(self.class_names()); },
          nb::sig("def class_names(self) -> list[str]"), "Empty where the file does not tell them.")
      .def_prop_ro(
          "precision", [](const Detector& self) { return self.model().options().precision; },
          nb::sig("def precision(self) -> str"), "As that of `Model`.")
      .def_prop_ro("streams", &Detector::streams, nb::sig("def streams(self) -> int"),
                   "Predictions that should run at the same time, each in a thread of Python: 1 in mode latency, with "
                   "`max_batch`\non a GPU enough for two runs of so many images.")
      .def_prop_ro(
          "stuff_class_names", [](const Detector& self) { return names_of(self.stuff_class_names()); },
          nb::sig("def stuff_class_names(self) -> list[str]"), "Likewise, of a panoptic model.")
      .def_prop_ro("takes_proposals", &Detector::takes_proposals, nb::sig("def takes_proposals(self) -> bool"),
                   "Whether the model finds no proposals itself, but is given them with each image.")
      .def("predict", predict, "image"_a, "input_format"_a = "BGR", "proposals"_a.none() = nb::none(),
           nb::sig("def predict(self, image: numpy.typing.NDArray[numpy.uint8], input_format: str = 'BGR', proposals: "
                   "numpy.typing.NDArray[numpy.float32] | None = None) -> dict[str, typing.Any]"),
           predict_doc.c_str())
      .def("predict_resized", predict_resized, "image"_a, "height"_a, "width"_a, "proposals"_a.none() = nb::none(),
           nb::sig("def predict_resized(self, image: numpy.typing.NDArray[typing.Any], height: int, width: int, "
                   "proposals: numpy.typing.NDArray[numpy.float32] | None = None) -> dict[str, typing.Any]"),
           resized_doc.c_str());
  module.def("paste_masks", paste_masks, "masks"_a, "boxes"_a, "height"_a, "width"_a, "threshold"_a = 0.5F,
             R"(The masks of detections at the size of their image.

Args:
    masks: (N, S, S) float32 probabilities inside of the boxes.
    boxes: (N, 4) float32, xyxy in pixels.
    height: of the image, as `width`.
    width: see `height`.
    threshold: pixels of at least this probability belong to a mask.

Returns:
    (N, height, width) bool.

Raises:
    InvalidArgument: shapes or types that do not agree, or a threshold outside of [0, 1].)",
             nb::sig("def paste_masks(masks: numpy.typing.NDArray[numpy.float32], boxes: "
                     "numpy.typing.NDArray[numpy.float32], height: int, width: int, threshold: float = 0.5) -> "
                     "numpy.typing.NDArray[numpy.bool]"));
  module.def("encode_masks", encode_masks, "masks"_a, "boxes"_a, "height"_a, "width"_a, "threshold"_a = 0.5F,
             "What pycocotools' encode gives for each of paste_masks(...), `counts` alone, without making them.",
             nb::sig("def encode_masks(masks: numpy.typing.NDArray[numpy.float32], boxes: "
                     "numpy.typing.NDArray[numpy.float32], height: int, width: int, threshold: float = 0.5) -> "
                     "list[bytes]"));
}

}  // namespace d2deploy::bindings
