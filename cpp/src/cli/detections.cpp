#include "cli/detections.h"

#include <algorithm>
#include <cmath>

#include "core/check.h"

namespace d2deploy::cli {

namespace {

const Tensor* find(const Tensors& outputs, const char* blob) {
  const auto it = outputs.find(blob);
  return it == outputs.end() ? nullptr : &it->second;
}

const Tensor& checked(const Tensor& tensor, const char* blob, std::size_t rank, std::int64_t rows) {
  check<InvalidModel>(
      tensor.dtype() == DType::float32 && tensor.shape().rank() == rank && (rows < 0 || tensor.dim(0) == rows),
      "output ", blob, " is ", tensor.shape(), ' ', tensor.dtype(), ", wanted float32 with ", rank, " dimensions",
      rows < 0 ? std::string() : join(", ", rows, " of the first"));
  return tensor;
}

// Integers that a net gives as floats: classes, counts.
std::int64_t whole(float value, const char* blob) {
  constexpr float kMost = 1 << 24;  // above it floats skip integers
  check<InvalidModel>(value >= 0 && value <= kMost && value == std::floor(value), "output ", blob, " holds ", value,
                      ", wanted a whole number, not negative");
  return static_cast<std::int64_t>(value);
}

std::vector<std::int64_t> first_rows(const Tensor* splits, std::size_t images, std::int64_t rows) {
  if (images == 1) return {0, rows};
  check<InvalidModel>(splits != nullptr, "several images were run, but there is no output batch_splits");
  checked(*splits, "batch_splits", 1, static_cast<std::int64_t>(images));
  std::vector<std::int64_t> first{0};
  for (const float count : splits->values<float>()) first.push_back(first.back() + whole(count, "batch_splits"));
  check<InvalidModel>(first.back() == rows, "output batch_splits counts ", first.back(), " detections, bbox_nms has ",
                      rows);
  return first;
}

// Names are bytes of a file: no control character may reach a terminal.
std::vector<std::string> class_names(const ModelInfo& info) {
  const auto it = info.arguments.find("class_names");
  if (it == info.arguments.end()) return {};
  const auto* names = std::get_if<std::vector<std::string>>(&it->second);
  check<InvalidModel>(names != nullptr, "net argument 'class_names' has the wrong type");
  std::vector<std::string> printable = *names;
  for (std::string& name : printable)
    std::ranges::replace_if(
        name, [](char c) { return static_cast<unsigned char>(c) < ' ' || c == '\x7F'; }, '?');
  return printable;
}

}  // namespace

std::span<const float> Detections::box(std::int64_t row) const {
  const auto columns = static_cast<std::size_t>(boxes.dim(1));
  return boxes.values<float>().subspan(static_cast<std::size_t>(row) * columns, columns);
}

std::string Detections::name(std::int64_t row) const {
  const auto label = static_cast<std::size_t>(labels[static_cast<std::size_t>(row)]);
  return label < names.size() ? names[label] : std::string();
}

cv::Mat Detections::mask(std::int64_t row) const {
  const std::int64_t classes = masks->dim(1), height = masks->dim(2), width = masks->dim(3);
  const std::int64_t channel = classes == 1 ? 0 : labels[row];  // one mask for all classes: class-agnostic
  constexpr std::int64_t kMost = 1 << 15;
  check<InvalidModel>(channel < classes && height > 0 && width > 0 && height < kMost && width < kMost,
                      "output mask_fcn_probs is ", masks->shape(), ": no mask for class ", channel);
  const float* values = masks->data<float>() + (row * classes + channel) * height * width;
  return {static_cast<int>(height), static_cast<int>(width), CV_32FC1, const_cast<float*>(values)};
}

std::optional<Detections> find_detections(const Model& model, const Tensors& outputs, std::size_t images) {
  const Tensor *boxes = find(outputs, "bbox_nms"), *scores = find(outputs, "score_nms"),
               *classes = find(outputs, "class_nms");
  if (!boxes || !scores || !classes) return std::nullopt;
  Detections found;
  found.boxes = checked(*boxes, "bbox_nms", 2, -1);
  const std::int64_t rows = boxes->dim(0), columns = boxes->dim(1);
  check<InvalidModel>(columns == 4 || columns == 5, "output bbox_nms is ", boxes->shape(), ", wanted 4 or 5 columns");
  found.scores = checked(*scores, "score_nms", 1, rows);
  for (const float value : checked(*classes, "class_nms", 1, rows).values<float>())
    found.labels.push_back(whole(value, "class_nms"));
  if (const Tensor* masks = find(outputs, "mask_fcn_probs")) found.masks = checked(*masks, "mask_fcn_probs", 4, rows);
  found.names = class_names(model.info());
  found.first = first_rows(find(outputs, "batch_splits"), images, rows);
  return found;
}

}  // namespace d2deploy::cli
