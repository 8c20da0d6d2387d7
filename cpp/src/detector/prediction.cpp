#include "detector/prediction.h"

#include <algorithm>

#include "core/check.h"
#include "core/text.h"
#include "detector/keypoints.h"
#include "detector/postprocess.h"
#include "detector/semantic.h"
#include "io/pickled_module.h"
#include "runtime/arguments.h"
#include "runtime/model.h"

namespace d2deploy {

namespace {

const Tensor* find(const Tensors& outputs, const std::string& name) {
  const auto it = outputs.find(name);
  return it == outputs.end() ? nullptr : &it->second;
}

const Tensor& output(const Tensors& outputs, const std::string& name) {
  const Tensor* tensor = find(outputs, name);
  check<InvalidModel>(tensor != nullptr, "the net has no output '", name, "'");
  return *tensor;
}

bool has(const Model& model, const char* name) { return std::ranges::count(model.outputs(), name) > 0; }

// The elements of the rows of (n, ...) where the detections stood.
Tensor rows_of(const char* name, const Tensor& tensor, std::size_t rank, const Detections& found) {
  std::int64_t last = -1;
  for (const std::int64_t row : found.rows) last = std::max(last, row);
  check_output(name, tensor, rank, last + 1);
  TensorType type = tensor.type();
  type.shape[0] = found.count();
  Tensor picked = Tensor::allocate(type);
  const std::int64_t row_size = tensor.dim(0) == 0 ? 0 : tensor.size() / tensor.dim(0);
  float* out = picked.data<float>();
  for (const std::int64_t row : found.rows) out = std::copy_n(tensor.data<float>() + row * row_size, row_size, out);
  return picked;
}

std::int64_t count_argument(const ModelInfo& info, const char* name) {
  const double count = number_argument(info.arguments, name);
  constexpr double kMost = 1 << 20;  // keeps the work of suppressing bounded
  check<InvalidModel>(count >= 1 && count <= kMost, "net argument ", name, " is ", count, ", wanted 1 to ", kMost);
  return static_cast<std::int64_t>(count);
}

}  // namespace

OutputRule::OutputRule(const Model& model) {
  const ModelInfo& info = model.info();
  const bool detects = has(model, "bbox_nms") && has(model, "score_nms") && has(model, "class_nms");
  const bool dense = has(model, "box_cls_0") && has(model, "box_delta_0");
  retinanet_.fcos = info.meta_architecture == "FCOS" && has(model, "box_centerness_0");
  if (dense && (retinanet_.fcos || info.meta_architecture == "RetinaNet")) {
    kind_ = Kind::retinanet;
    read_retinanet(info);
  } else if (info.meta_architecture == "PanopticFPN" && detects && has(model, "sem_seg")) {
    kind_ = Kind::panoptic;
    combine_ = argument(info.arguments, "combine_on", std::int64_t{1}) != 0;  // files of Detectron2 before 0.4 tell it
    panoptic_ = {
        number_argument(info.arguments, "combine_overlap_threshold"),
        static_cast<std::int64_t>(std::clamp(number_argument(info.arguments, "combine_stuff_area_limit"), 0.0, 1e15)),
        number_argument(info.arguments, "combine_instances_confidence_threshold")};
  } else if (info.meta_architecture == "SemanticSegmentor" && has(model, "sem_seg")) {
    kind_ = Kind::semantic;
  } else if (detects) {
    kind_ = Kind::detections;
  } else if (has(model, "rpn_rois") && has(model, "rpn_scores")) {
    kind_ = Kind::proposals;
  } else {
    fail<Unsupported>("a net of meta-architecture ", info.meta_architecture, " with the outputs ",
                      list_of(model.outputs()), " is not a detector; Model and Session run it");
  }
  tells_images_apart_ = (kind_ != Kind::detections && kind_ != Kind::panoptic) || !impl_of(model).splits.empty();
}

void OutputRule::read_retinanet(const ModelInfo& info) {
  if (info.arguments.contains("cell_anchors"))
    read_anchors(info);
  else
    read_anchor_generator(argument(info.arguments, "serialized_anchor_generator", std::string()));
  retinanet_.score_threshold = static_cast<float>(number_argument(info.arguments, "score_threshold"));
  retinanet_.topk_candidates = count_argument(info, "topk_candidates");
  retinanet_.nms_threshold = static_cast<float>(number_argument(info.arguments, "nms_threshold"));
  retinanet_.max_detections = count_argument(info, "max_detections_per_image");
  if (retinanet_.fcos) return;
  const auto weights = numbers_argument(info.arguments, "bbox_reg_weights");
  check<InvalidModel>(weights.size() == 4, "RetinaNet: bbox_reg_weights has ", weights.size(), " numbers, wanted 4");
  std::ranges::copy(weights, retinanet_.weights.begin());
}

// Our own files have the anchors as numbers.
void OutputRule::read_anchors(const ModelInfo& info) {
  const auto cells = numbers_argument(info.arguments, "cell_anchors"),
             strides = numbers_argument(info.arguments, "anchor_strides");
  check<InvalidModel>(!strides.empty() && !cells.empty() && cells.size() % (4 * strides.size()) == 0,
                      "RetinaNet: cell_anchors has ", cells.size(), " numbers for ", strides.size(),
                      " levels; wanted 4 for each anchor, as many on each level");
  const std::size_t per_level = cells.size() / strides.size();
  for (std::size_t level = 0; level < strides.size(); ++level)
    add_level(strides[level], std::span(cells).subspan(level * per_level, per_level));
}

// Those of Detectron2 have the anchor generator, a PyTorch module, as torch.save writes it.
void OutputRule::read_anchor_generator(const std::string& bytes) {
  check<InvalidModel>(!bytes.empty(),
                      "RetinaNet: the file does not tell its anchors: it has neither the argument "
                      "cell_anchors nor serialized_anchor_generator");
  with_context([] { return std::string("net argument serialized_anchor_generator"); },
               [&] {
                 const PickledModule module(bytes);
                 const auto strides = module.numbers(module.at(module.root(), "strides"));
                 const auto& buffers =
                     module.at(module.at(module.at(module.root(), "_modules"), "cell_anchors"), "_buffers");
                 for (std::size_t level = 0; level < strides.size(); ++level) {
                   const auto cell = module.array(module.at(buffers, std::to_string(level)));
                   check<InvalidModel>(cell.shape.size() == 2 && cell.shape[0] > 0 && cell.shape[1] == 4,
                                       "the anchors of level ", level, " are not rows of 4 numbers");
                   add_level(static_cast<float>(strides[level]), cell.values);
                 }
                 retinanet_.anchor_offset = static_cast<float>(module.at(module.root(), "offset").number);
               });
}

void OutputRule::add_level(float stride, std::span<const float> cells) {
  RetinaNetLevel& level = levels_.emplace_back();
  level.stride = stride;
  for (std::size_t i = 0; i < cells.size(); i += 4)
    level.cell_anchors.push_back({cells[i], cells[i + 1], cells[i + 2], cells[i + 3]});
}

Detections OutputRule::detect(const Tensors& outputs, ImageOf image, RowOrder order) const {
  if (kind_ == Kind::retinanet) {
    auto levels = levels_;
    for (std::size_t i = 0; i < levels.size(); ++i) {
      levels[i].logits = output(outputs, join("box_cls_", i));
      levels[i].deltas = output(outputs, join("box_delta_", i));
      if (retinanet_.fcos) levels[i].centerness = output(outputs, join("box_centerness_", i));
    }
    return decode_retinanet(levels, image.index, retinanet_);
  }
  if (kind_ == Kind::proposals)
    return collect_proposals(output(outputs, "rpn_rois"), output(outputs, "rpn_scores"), image.index, order);
  const Tensor& scores = output(outputs, "score_nms");
  check_output("score_nms", scores, 1, 0);
  const auto first = first_rows(find(outputs, "batch_splits"), image.images, scores.dim(0));
  const auto i = static_cast<std::size_t>(image.index);
  return collect_detections(output(outputs, "bbox_nms"), scores, output(outputs, "class_nms"), {first[i], first[i + 1]},
                            order);
}

Prediction OutputRule::predict(const Tensors& outputs, ImageOf image, Size size, Size wanted,
                               const DetectorOptions& options) const {
  Prediction prediction;
  prediction.size = wanted;
  if (kind_ == Kind::semantic) {
    prediction.class_map = classes_of_pixels(output(outputs, "sem_seg"), image.index, size, wanted,
                                             options.sem_seg ? &prediction.sem_seg : nullptr);
    return prediction;
  }
  Detections found = detect(outputs, image, options.row_order);
  const Tensor* maps = find(outputs, "kps_score");
  const Tensor* rows = find(outputs, "keypoints_out");
  std::vector<Keypoint> keypoints;
  if (kind_ == Kind::detections && maps != nullptr) {
    keypoints = keypoints_of_maps(*maps, found, size);
    prediction.keypoints_per_detection = maps->dim(1);
  } else if (kind_ == Kind::detections && rows != nullptr) {
    keypoints = keypoints_of_rows(*rows, found);
    prediction.keypoints_per_detection = rows->dim(2);
  }
  const std::vector<std::int64_t> kept = scale_and_clip(found, size, wanted);
  prediction.keypoints = scaled_keypoints(keypoints, prediction.keypoints_per_detection, kept, size, wanted);
  if (options.keypoint_maps && kind_ == Kind::detections && maps != nullptr)
    prediction.keypoint_maps = rows_of("kps_score", *maps, 4, found);
  if (const Tensor* masks = find(outputs, "mask_fcn_probs"); masks != nullptr && kind_ != Kind::proposals)
    prediction.masks = masks_of(*masks, found);
  if (kind_ == Kind::panoptic) {
    const Tensor& logits = output(outputs, "sem_seg");
    Tensor* resized = options.sem_seg ? &prediction.sem_seg : nullptr;
    if (combine_) {
      const auto classes = classes_of_pixels(logits, image.index, size, wanted, resized);
      Panoptic panoptic = combine_panoptic(found, prediction.masks, classes, wanted, panoptic_);
      prediction.panoptic_map = std::move(panoptic.map);
      prediction.segments = std::move(panoptic.segments);
    } else if (resized != nullptr) {
      *resized = resize_logits(logits, image.index, size, wanted);
    }
  }
  prediction.box_columns = found.columns;
  prediction.boxes = std::move(found.boxes);
  prediction.scores = std::move(found.scores);
  prediction.classes = std::move(found.classes);
  return prediction;
}

// ---- Prediction ------------------------------------------------------------------------------------

struct Prediction::SmallMask {
  std::span<const float> values;
  std::int64_t side;
  std::span<const float, 4> box;
};

std::span<const float> Prediction::box(std::int64_t i) const {
  check(i >= 0 && i < count(), "there is no detection ", i, ", there are ", count());
  return std::span(boxes).subspan(static_cast<std::size_t>(i * box_columns), static_cast<std::size_t>(box_columns));
}

std::span<const Keypoint> Prediction::keypoints_of(std::int64_t i) const {
  check(i >= 0 && i < count(), "there is no detection ", i, ", there are ", count());
  return std::span(keypoints).subspan(static_cast<std::size_t>(i * keypoints_per_detection),
                                      static_cast<std::size_t>(keypoints_per_detection));
}

Prediction::SmallMask Prediction::small_mask(std::int64_t i) const {
  const auto of = box(i);
  check(masks.raw() != nullptr && of.size() == 4, "the model gives no masks");
  const std::int64_t side = masks.dim(1);
  return {
      masks.values<float>().subspan(static_cast<std::size_t>(i * side * side), static_cast<std::size_t>(side * side)),
      side, of.first<4>()};
}

std::vector<std::uint8_t> Prediction::mask(std::int64_t i, float threshold) const {
  const SmallMask small = small_mask(i);
  return paste_mask(small.values, small.side, small.box, size.height, size.width, threshold);
}

RunLengths Prediction::mask_run_lengths(std::int64_t i, float threshold) const {
  const SmallMask small = small_mask(i);
  return paste_run_lengths(small.values, small.side, small.box, size.height, size.width, threshold);
}

Polygons Prediction::mask_polygons(std::int64_t i, float threshold) const {
  return polygons(mask_run_lengths(i, threshold));
}

}  // namespace d2deploy
