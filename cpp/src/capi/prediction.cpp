// C's d2d_prediction: what was found in a picture.
#include <cstring>

#include "capi/convert.h"
#include "capi/handle.h"

namespace capi = d2deploy::capi;

// NOLINTNEXTLINE(readability-identifier-naming): it is C's
struct d2d_polygons : capi::Handle {
  static constexpr auto kKind = capi::Kind::polygons;
  explicit d2d_polygons(d2deploy::Polygons of) : Handle(kKind), list(std::move(of)) {}

  d2deploy::Polygons list;
};

d2d_prediction::d2d_prediction(d2deploy::Prediction prediction) : Handle(kKind), found(std::move(prediction)) {
  for (const d2deploy::Keypoint& point : found.keypoints)
    keypoints.push_back({point.x, point.y, point.logit, point.probability});
  for (const d2deploy::Segment& segment : found.segments)
    segments.push_back({segment.category_id, segment.instance_id, segment.area, segment.score, segment.id,
                        segment.is_thing ? 1 : 0, 0});
}

namespace {

template <class T>
void give(const std::vector<T>& from, const T** values, const char* name) {
  capi::required(values, name) = from.empty() ? nullptr : from.data();
}

}  // namespace

d2d_status d2d_prediction_free(d2d_prediction* prediction) { return capi::destroy(__func__, prediction); }

d2d_status d2d_prediction_size(const d2d_prediction* prediction, int64_t* height, int64_t* width) {
  return capi::call(__func__, [&] {
    const d2deploy::Size size = capi::object(prediction).found.size;
    capi::required(height, "height") = size.height;
    capi::required(width, "width") = size.width;
  });
}

d2d_status d2d_prediction_count(const d2d_prediction* prediction, int64_t* count) {
  return capi::call(__func__, [&] { capi::required(count, "count") = capi::object(prediction).found.count(); });
}

d2d_status d2d_prediction_boxes(const d2d_prediction* prediction, const float** boxes, int64_t* columns) {
  return capi::call(__func__, [&] {
    const d2deploy::Prediction& found = capi::object(prediction).found;
    capi::required(columns, "columns") = found.box_columns;
    give(found.boxes, boxes, "boxes");
  });
}

d2d_status d2d_prediction_scores(const d2d_prediction* prediction, const float** scores) {
  return capi::call(__func__, [&] { give(capi::object(prediction).found.scores, scores, "scores"); });
}

d2d_status d2d_prediction_classes(const d2d_prediction* prediction, const int64_t** classes) {
  return capi::call(__func__, [&] { give(capi::object(prediction).found.classes, classes, "classes"); });
}

d2d_status d2d_prediction_mask(const d2d_prediction* prediction, int64_t i, float threshold, uint8_t* mask,
                               size_t bytes) {
  return capi::call(__func__, [&] {
    const d2deploy::Prediction& found = capi::object(prediction).found;
    capi::required(mask, "mask");
    const auto needed = static_cast<std::size_t>(found.size.height * found.size.width);
    d2deploy::check<capi::BufferTooSmall>(bytes >= needed, "the mask has ", needed, " bytes, ", found.size.height,
                                          " x ", found.size.width, "; the buffer ", bytes);
    std::memcpy(mask, found.mask(i, threshold).data(), needed);
  });
}

d2d_status d2d_prediction_mask_rle(const d2d_prediction* prediction, int64_t i, float threshold, char* text,
                                   size_t bytes, size_t* needed) {
  return capi::call(__func__, [&] {
    const d2deploy::Prediction& found = capi::object(prediction).found;
    const std::string code = to_coco_string(found.mask_run_lengths(i, threshold));
    if (needed != nullptr) *needed = code.size() + 1;
    if (text == nullptr && bytes == 0 && needed != nullptr) return;
    capi::required(text, "text");
    d2deploy::check<capi::BufferTooSmall>(bytes > code.size(), "the code has ", code.size() + 1, " bytes, the buffer ",
                                          bytes);
    std::memcpy(text, code.c_str(), code.size() + 1);
  });
}

d2d_status d2d_prediction_mask_polygons(const d2d_prediction* prediction, int64_t i, float threshold,
                                        d2d_polygons** polygons) {
  return capi::create(__func__, polygons, [&] {
    return std::make_unique<d2d_polygons>(capi::object(prediction).found.mask_polygons(i, threshold));
  });
}

d2d_status d2d_polygons_free(d2d_polygons* polygons) { return capi::destroy(__func__, polygons); }

d2d_status d2d_polygons_count(const d2d_polygons* polygons, int64_t* count) {
  return capi::call(__func__, [&] {
    capi::required(count, "count") = static_cast<std::int64_t>(capi::object(polygons).list.size());
  });
}

d2d_status d2d_polygons_get(const d2d_polygons* polygons, int64_t i, const int32_t** xy, int64_t* corners) {
  return capi::call(__func__, [&] {
    const d2deploy::Polygons& list = capi::object(polygons).list;
    const auto count = static_cast<std::int64_t>(list.size());
    d2deploy::check(i >= 0 && i < count, "there is no polygon ", i, ", there are ", count);
    const auto& polygon = list[static_cast<std::size_t>(i)];
    capi::required(corners, "corners") = static_cast<std::int64_t>(polygon.size() / 2);
    give(polygon, xy, "xy");
  });
}

d2d_status d2d_prediction_masks(const d2d_prediction* prediction, d2d_tensor* masks) {
  return capi::call(__func__, [&] { capi::give(nullptr, capi::object(prediction).found.masks, masks); });
}

d2d_status d2d_prediction_keypoints(const d2d_prediction* prediction, const d2d_keypoint** keypoints,
                                    int64_t* per_detection) {
  return capi::call(__func__, [&] {
    const d2d_prediction& of = capi::object(prediction);
    capi::required(per_detection, "per_detection") = of.found.keypoints_per_detection;
    give(of.keypoints, keypoints, "keypoints");
  });
}

d2d_status d2d_prediction_keypoint_maps(const d2d_prediction* prediction, d2d_tensor* maps) {
  return capi::call(__func__, [&] { capi::give(nullptr, capi::object(prediction).found.keypoint_maps, maps); });
}

d2d_status d2d_prediction_panoptic_map(const d2d_prediction* prediction, const int32_t** map) {
  return capi::call(__func__, [&] { give(capi::object(prediction).found.panoptic_map, map, "map"); });
}

d2d_status d2d_prediction_segments(const d2d_prediction* prediction, const d2d_segment** segments, int64_t* count) {
  return capi::call(__func__, [&] {
    const d2d_prediction& of = capi::object(prediction);
    capi::required(count, "count") = static_cast<std::int64_t>(of.segments.size());
    give(of.segments, segments, "segments");
  });
}

d2d_status d2d_prediction_class_map(const d2d_prediction* prediction, const int32_t** map) {
  return capi::call(__func__, [&] { give(capi::object(prediction).found.class_map, map, "map"); });
}

d2d_status d2d_prediction_sem_seg(const d2d_prediction* prediction, d2d_tensor* logits) {
  return capi::call(__func__, [&] { capi::give(nullptr, capi::object(prediction).found.sem_seg, logits); });
}
