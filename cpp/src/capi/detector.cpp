// C's d2d_detector: from pictures to predictions.
#include <algorithm>
#include <span>

#include "capi/convert.h"
#include "capi/handle.h"

namespace capi = d2deploy::capi;
using d2deploy::Detector, d2deploy::Prediction;

// NOLINTNEXTLINE(readability-identifier-naming): it is C's
struct d2d_detector : capi::Handle {
  static constexpr auto kKind = capi::Kind::detector;
  explicit d2d_detector(Detector loaded)
      : Handle(kKind),
        detector(std::move(loaded)),
        class_names(capi::names_of(detector.class_names())),
        stuff_class_names(capi::names_of(detector.stuff_class_names())) {}

  Detector detector;
  capi::Names class_names, stuff_class_names;
};

namespace {

// Boxes of four numbers.
std::span<const float> proposals_of(const float* boxes, std::int64_t count) {
  std::int64_t numbers = 0;
  d2deploy::check(count >= 0 && !__builtin_mul_overflow(count, 4, &numbers), "count is ", count,
                  ", wanted the number of boxes");
  return {boxes, static_cast<std::size_t>(numbers)};
}

std::unique_ptr<d2d_prediction> handle_of(Prediction found) {
  return std::make_unique<d2d_prediction>(std::move(found));
}

std::vector<std::unique_ptr<d2d_prediction>> predict_all(const Detector& detector, const d2d_image* images,
                                                         std::int64_t count) {
  std::vector<d2deploy::ImageView> views;
  for (std::int64_t i = 0; i < count; ++i)
    views.push_back(
        d2deploy::with_context([&] { return d2deploy::join("image ", i); }, [&] { return capi::view_of(images + i); }));
  std::vector<std::unique_ptr<d2d_prediction>> all;
  for (Prediction& found : detector.predict(views)) all.push_back(handle_of(std::move(found)));
  return all;
}

}  // namespace

d2d_status d2d_detector_load(const char* folder, const d2d_options* options, d2d_detector** detector) {
  return capi::create(__func__, detector, [&] {
    return std::make_unique<d2d_detector>(
        Detector::load(&capi::required(folder, "folder"), capi::detector_options(options)));
  });
}

d2d_status d2d_detector_load_files(const char* predict_net, const char* init_net, const d2d_options* options,
                                   d2d_detector** detector) {
  return capi::create(__func__, detector, [&] {
    return std::make_unique<d2d_detector>(Detector::load(&capi::required(predict_net, "predict_net"),
                                                         &capi::required(init_net, "init_net"),
                                                         capi::detector_options(options)));
  });
}

d2d_status d2d_detector_free(d2d_detector* detector) { return capi::destroy(__func__, detector); }

d2d_status d2d_detector_facts(const d2d_detector* detector, d2d_facts* facts) {
  return capi::call(__func__, [&] {
    const Detector& of = capi::object(detector).detector;
    capi::give(of.model(), of.streams(), facts);
  });
}

d2d_status d2d_detector_input(const d2d_detector* detector, d2d_input* input) {
  return capi::call(__func__, [&] { capi::give(capi::object(detector).detector, input); });
}

d2d_status d2d_detector_class_names(const d2d_detector* detector, const char* const** names, int64_t* count) {
  return capi::call(__func__, [&] { capi::give(capi::object(detector).class_names, names, count); });
}

d2d_status d2d_detector_stuff_class_names(const d2d_detector* detector, const char* const** names, int64_t* count) {
  return capi::call(__func__, [&] { capi::give(capi::object(detector).stuff_class_names, names, count); });
}

d2d_status d2d_detector_predict(const d2d_detector* detector, const d2d_image* image, d2d_prediction** prediction) {
  return capi::create(__func__, prediction,
                      [&] { return handle_of(capi::object(detector).detector.predict(capi::view_of(image))); });
}

d2d_status d2d_detector_predict_batch(const d2d_detector* detector, const d2d_image* images, int64_t count,
                                      d2d_prediction** predictions) {
  return capi::call(__func__, [&] {
    d2deploy::check(count >= 0, "count is ", count, ", wanted the number of images");
    if (count == 0) return (void)capi::object(detector);
    capi::required(predictions, "predictions");
    std::fill_n(predictions, count, nullptr);
    capi::required(images, "images");
    auto all = predict_all(capi::object(detector).detector, images, count);
    for (std::int64_t i = 0; i < count; ++i) predictions[i] = all[static_cast<std::size_t>(i)].release();
  });
}

d2d_status d2d_detector_predict_proposals(const d2d_detector* detector, const d2d_image* image, const float* boxes,
                                          int64_t count, d2d_prediction** prediction) {
  return capi::create(__func__, prediction, [&] {
    const auto proposals = proposals_of(&capi::required(boxes, "boxes"), count);
    return handle_of(capi::object(detector).detector.predict(capi::view_of(image), proposals));
  });
}

d2d_status d2d_detector_predict_resized(const d2d_detector* detector, const d2d_tensor* image, int64_t height,
                                        int64_t width, const float* boxes, int64_t count, d2d_prediction** prediction) {
  return capi::create(__func__, prediction, [&] {
    const Detector& of = capi::object(detector).detector;
    const d2deploy::Tensor planes = capi::tensor_of(image);
    const d2deploy::Size wanted{height, width};
    if (boxes != nullptr) return handle_of(of.predict_resized(planes, wanted, proposals_of(boxes, count)));
    d2deploy::check(count == 0, "boxes is NULL, and count ", count);
    return handle_of(of.predict_resized(planes, wanted));
  });
}
