// The C ABI gives what the C++ library gives, for models of every kind; options and errors arrive as what they are.
#include <d2deploy/c.h>
#include <gtest/gtest.h>

#include <stdexcept>
#include <string_view>
#include <thread>

#include "capi/call.h"
#include "capi/convert.h"
#include "d2deploy/detector.h"
#include "net_files.h"
#include "small_detectors.h"

namespace d2deploy::testing {
namespace {

template <class T>
std::vector<T> values(const T* data, std::int64_t count) {
  return data == nullptr ? std::vector<T>() : std::vector<T>(data, data + count);
}

// A handle that is freed at the end.
template <class H, d2d_status (*destroy)(H*)>
struct Owned {
  Owned() = default;
  ~Owned() { EXPECT_EQ(destroy(handle), D2D_OK); }
  Owned(const Owned&) = delete;
  Owned& operator=(const Owned&) = delete;
  H* handle = nullptr;
};
using OwnedDetector = Owned<d2d_detector, d2d_detector_free>;
using OwnedPrediction = Owned<d2d_prediction, d2d_prediction_free>;

d2d_image c_picture() {
  d2d_image image{};
  image.data = picture().data;
  image.bytes = kHeight * kWidth * 2;
  image.height = kHeight;
  image.width = kWidth;
  image.channels = 2;
  image.order = D2D_AS_IS;
  return image;
}

void expect_equal(const d2d_tensor& found, const Tensor& wanted, const char* what) {
  ASSERT_EQ(found.data == nullptr, wanted.raw() == nullptr) << what;
  if (found.data == nullptr) return;
  EXPECT_EQ(Shape(std::span(found.shape, static_cast<std::size_t>(found.rank))), wanted.shape()) << what;
  EXPECT_EQ(found.dtype, D2D_FLOAT32) << what;
  EXPECT_EQ(found.bytes, static_cast<std::size_t>(wanted.bytes())) << what;
  EXPECT_EQ(std::string_view(static_cast<const char*>(found.data), found.bytes),
            std::string_view(static_cast<const char*>(wanted.raw()), found.bytes))
      << what;
}

void expect_equal_keypoints(const d2d_prediction* found, const Prediction& wanted) {
  const d2d_keypoint* keypoints = nullptr;
  std::int64_t per_detection = -1;
  ASSERT_EQ(d2d_prediction_keypoints(found, &keypoints, &per_detection), D2D_OK);
  EXPECT_EQ(per_detection, wanted.keypoints_per_detection);
  ASSERT_EQ(keypoints == nullptr, wanted.keypoints.empty());
  for (std::size_t i = 0; i < wanted.keypoints.size(); ++i) {
    EXPECT_EQ(keypoints[i].x, wanted.keypoints[i].x);
    EXPECT_EQ(keypoints[i].y, wanted.keypoints[i].y);
    EXPECT_EQ(keypoints[i].logit, wanted.keypoints[i].logit);
    EXPECT_EQ(keypoints[i].probability, wanted.keypoints[i].probability);
  }
}

void expect_equal_maps(const d2d_prediction* found, const Prediction& wanted) {
  const std::int64_t pixels = wanted.size.height * wanted.size.width;
  const std::int32_t *panoptic = nullptr, *classes = nullptr;
  const d2d_segment* segments = nullptr;
  std::int64_t count = -1;
  ASSERT_EQ(d2d_prediction_panoptic_map(found, &panoptic), D2D_OK);
  ASSERT_EQ(d2d_prediction_class_map(found, &classes), D2D_OK);
  ASSERT_EQ(d2d_prediction_segments(found, &segments, &count), D2D_OK);
  EXPECT_EQ(values(panoptic, pixels), wanted.panoptic_map);
  EXPECT_EQ(values(classes, pixels), wanted.class_map);
  ASSERT_EQ(count, static_cast<std::int64_t>(wanted.segments.size()));
  for (std::size_t i = 0; i < wanted.segments.size(); ++i) {
    const Segment& segment = wanted.segments[i];
    EXPECT_EQ(segments[i].id, segment.id);
    EXPECT_EQ(segments[i].is_thing, segment.is_thing ? 1 : 0);
    EXPECT_EQ(segments[i].score, segment.score);
    EXPECT_EQ(segments[i].category_id, segment.category_id);
    EXPECT_EQ(segments[i].instance_id, segment.instance_id);
    EXPECT_EQ(segments[i].area, segment.area);
  }
}

void expect_equal(const d2d_prediction* found, const Prediction& wanted) {
  std::int64_t count = -1, columns = 0, height = 0, width = 0;
  const float *boxes = nullptr, *scores = nullptr;
  const std::int64_t* classes = nullptr;
  ASSERT_EQ(d2d_prediction_count(found, &count), D2D_OK);
  ASSERT_EQ(d2d_prediction_size(found, &height, &width), D2D_OK);
  ASSERT_EQ(d2d_prediction_boxes(found, &boxes, &columns), D2D_OK);
  ASSERT_EQ(d2d_prediction_scores(found, &scores), D2D_OK);
  ASSERT_EQ(d2d_prediction_classes(found, &classes), D2D_OK);
  EXPECT_EQ((Size{height, width}), wanted.size);
  EXPECT_EQ(count, wanted.count());
  EXPECT_EQ(columns, wanted.box_columns);
  EXPECT_EQ(values(boxes, count * columns), wanted.boxes);
  EXPECT_EQ(values(scores, count), wanted.scores);
  EXPECT_EQ(values(classes, count), wanted.classes);
  d2d_tensor masks, keypoint_maps, sem_seg;
  ASSERT_EQ(d2d_prediction_masks(found, &masks), D2D_OK);
  ASSERT_EQ(d2d_prediction_keypoint_maps(found, &keypoint_maps), D2D_OK);
  ASSERT_EQ(d2d_prediction_sem_seg(found, &sem_seg), D2D_OK);
  expect_equal(masks, wanted.masks, "masks");
  expect_equal(keypoint_maps, wanted.keypoint_maps, "keypoint_maps");
  expect_equal(sem_seg, wanted.sem_seg, "sem_seg");
  expect_equal_keypoints(found, wanted);
  expect_equal_maps(found, wanted);
}

void expect_equal_masks(const d2d_prediction* found, const Prediction& wanted) {
  for (std::int64_t i = 0; i < wanted.count(); ++i) {
    std::vector<std::uint8_t> mask(static_cast<std::size_t>(kHeight * kWidth), 7);
    ASSERT_EQ(d2d_prediction_mask(found, i, 0.5F, mask.data(), mask.size()), D2D_OK) << d2d_last_message();
    EXPECT_EQ(mask, wanted.mask(i));
    char code[256];
    ASSERT_EQ(d2d_prediction_mask_rle(found, i, 0.5F, code, sizeof code, nullptr), D2D_OK) << d2d_last_message();
    EXPECT_EQ(code, to_coco_string(wanted.mask_run_lengths(i)));
    Owned<d2d_polygons, d2d_polygons_free> polygons;
    ASSERT_EQ(d2d_prediction_mask_polygons(found, i, 0.5F, &polygons.handle), D2D_OK) << d2d_last_message();
    const Polygons all = wanted.mask_polygons(i);
    std::int64_t count = -1, corners = 0;
    ASSERT_EQ(d2d_polygons_count(polygons.handle, &count), D2D_OK);
    ASSERT_EQ(count, static_cast<std::int64_t>(all.size()));
    for (std::int64_t part = 0; part < count; ++part) {
      const std::int32_t* xy = nullptr;
      ASSERT_EQ(d2d_polygons_get(polygons.handle, part, &xy, &corners), D2D_OK);
      EXPECT_EQ(values(xy, 2 * corners), all[static_cast<std::size_t>(part)]);
    }
  }
}

d2d_options c_options() {
  d2d_options options{};
  options.struct_size = sizeof options;
  options.threads = 1;
  options.sem_seg = options.keypoint_maps = 1;
  return options;
}

DetectorOptions options() {
  DetectorOptions options;
  options.model.threads = 1;
  options.sem_seg = options.keypoint_maps = true;
  return options;
}

TEST(CApi, PredictsWhatTheLibraryPredicts) {
  auto nets = detectors();
  nets.push_back({"semantic", calmed(semantic()), named("SemanticSegmentor")});
  for (const DetectorCase& net : nets) {
    SCOPED_TRACE(net.name);
    const NetFiles files(net.text, net.attributes);
    const Prediction wanted = Detector::load(files.folder, options()).predict(picture());
    EXPECT_TRUE(wanted.count() > 0 || !wanted.class_map.empty());
    OwnedDetector detector;
    OwnedPrediction found;
    const d2d_options given = c_options();
    const d2d_image image = c_picture();
    ASSERT_EQ(d2d_detector_load(files.folder.c_str(), &given, &detector.handle), D2D_OK) << d2d_last_message();
    ASSERT_EQ(d2d_detector_predict(detector.handle, &image, &found.handle), D2D_OK) << d2d_last_message();
    expect_equal(found.handle, wanted);
    if (wanted.masks.raw() != nullptr) expect_equal_masks(found.handle, wanted);
  }
}

TEST(CApi, PadsToTheSquareOfTheModel) {
  const auto files_with = [](std::int64_t divisibility, std::int64_t square) {
    auto attributes = named("GeneralizedRCNN");
    attributes.back().value = divisibility;
    attributes.push_back({"square_size", square});
    return std::make_unique<NetFiles>(calmed(keypoint_rcnn()), attributes);
  };
  // The picture becomes 12 x 14, padded to 16 x 16 in either way.
  const auto square = files_with(4, 16), multiple = files_with(16, 0), small = files_with(4, 13);
  OwnedDetector detector, refusing, failed;
  OwnedPrediction found, none;
  const d2d_image image = c_picture();
  const d2d_options given = c_options();
  ASSERT_EQ(d2d_detector_load(square->folder.c_str(), &given, &detector.handle), D2D_OK) << d2d_last_message();
  d2d_input input{};
  input.struct_size = sizeof input;
  ASSERT_EQ(d2d_detector_input(detector.handle, &input), D2D_OK);
  EXPECT_EQ(input.square_size, 16);
  input = {};
  input.struct_size = offsetof(d2d_input, square_size);  // of a program that does not know it
  ASSERT_EQ(d2d_detector_input(detector.handle, &input), D2D_OK);
  EXPECT_EQ(input.square_size, 0);
  ASSERT_EQ(d2d_detector_predict(detector.handle, &image, &found.handle), D2D_OK) << d2d_last_message();
  expect_equal(found.handle, Detector::load(multiple->folder, options()).predict(picture()));
  ASSERT_EQ(d2d_detector_load(small->folder.c_str(), &given, &refusing.handle), D2D_OK) << d2d_last_message();
  EXPECT_EQ(d2d_detector_predict(refusing.handle, &image, &none.handle), D2D_INVALID_ARGUMENT);
  EXPECT_STREQ(d2d_last_message(),
               "d2d_detector_predict: the image is 12 x 14 pixels large on its way into the net, which takes at most "
               "13 x 13 (its square_size); make it smaller, or let it be resized to a max_size of 13 or less");
  const auto broken = files_with(4, 1 << 20);
  EXPECT_EQ(d2d_detector_load(broken->folder.c_str(), &given, &failed.handle), D2D_INVALID_MODEL);
  EXPECT_NE(std::string(d2d_last_message()).find("net argument square_size is 1048576, wanted 0 to 8192"),
            std::string::npos);
}

TEST(CApi, TakesProposals) {
  const NetFiles files(calmed(fast_rcnn()), named("GeneralizedRCNN"));
  const std::vector<float> boxes{1, 1, 4, 5, 0, 0, 7, 6, 2, 1, 6, 3};
  const Detector wanted = Detector::load(files.folder, options());
  OwnedDetector detector;
  OwnedPrediction found, none, resized;
  const d2d_image image = c_picture();
  const d2d_options given = c_options();
  ASSERT_EQ(d2d_detector_load(files.folder.c_str(), &given, &detector.handle), D2D_OK) << d2d_last_message();
  d2d_input input{};
  input.struct_size = sizeof input;
  ASSERT_EQ(d2d_detector_input(detector.handle, &input), D2D_OK);
  EXPECT_EQ(input.takes_proposals, 1);
  EXPECT_EQ(d2d_detector_predict(detector.handle, &image, &found.handle), D2D_INVALID_ARGUMENT);
  EXPECT_STREQ(d2d_last_message(),
               "d2d_detector_predict: the model finds no proposals itself: give them with each image");
  ASSERT_EQ(d2d_detector_predict_proposals(detector.handle, &image, boxes.data(), 3, &found.handle), D2D_OK);
  EXPECT_GT(wanted.predict(picture(), boxes).count(), 0);
  expect_equal(found.handle, wanted.predict(picture(), boxes));
  ASSERT_EQ(d2d_detector_predict_proposals(detector.handle, &image, boxes.data(), 0, &none.handle), D2D_OK);
  expect_equal(none.handle, wanted.predict(picture(), std::span<const float>()));
  const std::vector<float> planes(2 * 12 * 14, 1);
  // What is not aligned to its elements is copied.
  std::vector<char> bytes(planes.size() * sizeof(float) + 1);
  std::memcpy(bytes.data() + 1, planes.data(), bytes.size() - 1);
  d2d_tensor tensor{nullptr, bytes.data() + 1, bytes.size() - 1, D2D_FLOAT32, 3, {2, 12, 14}};
  ASSERT_EQ(d2d_detector_predict_resized(detector.handle, &tensor, 6, 7, boxes.data(), 3, &resized.handle), D2D_OK)
      << d2d_last_message();
  expect_equal(resized.handle,
               wanted.predict_resized(Tensor::of<float>({2, 12, 14}, std::span(planes)), {6, 7}, boxes));
}

TEST(CApi, NamesOfClasses) {
  auto net = detectors()[0];
  net.attributes.push_back({"stuff_class_names", Strings{"things", "sky"}});
  const NetFiles files(net.text, net.attributes);
  OwnedDetector detector;
  ASSERT_EQ(d2d_detector_load(files.folder.c_str(), nullptr, &detector.handle), D2D_OK) << d2d_last_message();
  const char* const* names = nullptr;
  std::int64_t count = 0;
  ASSERT_EQ(d2d_detector_class_names(detector.handle, &names, &count), D2D_OK);
  ASSERT_EQ(count, 2);
  EXPECT_STREQ(names[0], "one");
  EXPECT_STREQ(names[1], "two");
  ASSERT_EQ(d2d_detector_stuff_class_names(detector.handle, &names, &count), D2D_OK);
  ASSERT_EQ(count, 2);
  EXPECT_STREQ(names[1], "sky");
}

TEST(CApi, DefaultsAreTheLibrarys) {
  const d2d_options zeros = [] {
    d2d_options options{};
    options.struct_size = sizeof options;
    return options;
  }();
  const DetectorOptions wanted;
  for (const d2d_options* given : {static_cast<const d2d_options*>(nullptr), &zeros}) {
    const DetectorOptions found = capi::detector_options(given);
    EXPECT_EQ(found.model.engine, wanted.model.engine);
    EXPECT_EQ(found.model.caffe2_library, wanted.model.caffe2_library);
    EXPECT_EQ(found.model.device, wanted.model.device);
    EXPECT_EQ(found.model.precision, wanted.model.precision);
    EXPECT_EQ(found.model.calibration, wanted.model.calibration);
    EXPECT_EQ(found.model.threads, wanted.model.threads);
    EXPECT_EQ(found.model.low_memory, wanted.model.low_memory);
    EXPECT_EQ(found.model.tune, wanted.model.tune);
    EXPECT_EQ(found.model.kernels, wanted.model.kernels);
    EXPECT_EQ(found.model.max_tensor_bytes, wanted.model.max_tensor_bytes);
    EXPECT_EQ(found.model.optimize, wanted.model.optimize);
    EXPECT_EQ(found.model.own_class_masks, wanted.model.own_class_masks);
    EXPECT_FALSE(found.model.log);
    EXPECT_EQ(found.mode, wanted.mode);
    EXPECT_EQ(found.order, wanted.order);
    EXPECT_EQ(found.min_size, wanted.min_size);
    EXPECT_EQ(found.max_size, wanted.max_size);
    EXPECT_EQ(found.pad_with_zero, wanted.pad_with_zero);
    EXPECT_EQ(found.caffe2_scale, wanted.caffe2_scale);
    EXPECT_EQ(found.row_order, wanted.row_order);
    EXPECT_EQ(found.sem_seg, wanted.sem_seg);
    EXPECT_EQ(found.keypoint_maps, wanted.keypoint_maps);
  }
}

// One flag at a time, so that none is taken for another.
TEST(CApi, FlagsArriveOneByOne) {
  const auto flags = [](const DetectorOptions& o) {
    return std::vector<bool>{
        o.model.low_memory, o.model.tune, !o.model.optimize, o.model.own_class_masks,    o.pad_with_zero,
        o.caffe2_scale,     o.sem_seg,    o.keypoint_maps,   o.mode == Mode::throughput, o.row_order == RowOrder::file};
  };
  const std::vector<std::int32_t d2d_options::*> fields{
      &d2d_options::low_memory,    &d2d_options::tune,         &d2d_options::as_in_file, &d2d_options::own_class_masks,
      &d2d_options::pad_with_zero, &d2d_options::caffe2_scale, &d2d_options::sem_seg,    &d2d_options::keypoint_maps,
      &d2d_options::mode,          &d2d_options::row_order};
  for (std::size_t i = 0; i < fields.size(); ++i) {
    d2d_options given{};
    given.struct_size = sizeof given;
    given.*fields[i] = 1;
    std::vector<bool> wanted(fields.size(), false);
    wanted[i] = true;
    EXPECT_EQ(flags(capi::detector_options(&given)), wanted) << i;
  }
}

TEST(CApi, TextsNumbersAndTheLogArrive) {
  std::string logged;
  d2d_options given{};
  given.struct_size = sizeof given;
  given.device = "cuda:3";
  given.precision = "tf32";
  given.calibration = "ranges";
  given.engine = "caffe2";
  given.caffe2_library = "library";
  given.kernels = "Conv=direct_f32";
  given.max_tensor_bytes = 5;
  given.threads = 3;
  given.order = D2D_RGB;
  given.min_size = 7;
  given.max_size = 9;
  given.log = [](std::int32_t level, const char* text, void* context) {
    *static_cast<std::string*>(context) += std::to_string(level) + text + ' ';
  };
  given.log_context = &logged;
  DetectorOptions found = capi::detector_options(&given);
  EXPECT_EQ(found.model.device, "cuda:3");
  EXPECT_EQ(found.model.precision, "tf32");
  EXPECT_EQ(found.model.calibration, "ranges");
  EXPECT_EQ(found.model.engine, "caffe2");
  EXPECT_EQ(found.model.caffe2_library, "library");
  EXPECT_EQ(found.model.kernels, "Conv=direct_f32");
  EXPECT_EQ(found.model.max_tensor_bytes, 5);
  EXPECT_EQ(found.model.threads, 3);
  EXPECT_EQ(found.order, ChannelOrder::rgb);
  EXPECT_EQ(found.min_size, 7);
  EXPECT_EQ(found.max_size, 9);
  found.model.log(LogLevel::warning, "one");
  found.model.log(LogLevel::debug, std::string_view("two three").substr(0, 3));
  EXPECT_EQ(logged, "1one 0two ");
  given.min_size = D2D_KEEP_SIZE;
  given.order = D2D_AS_IS;
  found = capi::detector_options(&given);
  EXPECT_EQ(found.min_size, 0);
  EXPECT_EQ(found.order, ChannelOrder::as_is);
}

template <class Thrown>
d2d_status status_of(const Thrown& thrown) {
  return capi::call("f", [&] { throw thrown; });
}

TEST(CApi, EveryExceptionBecomesAStatus) {
  EXPECT_EQ(capi::call("f", [] {}), D2D_OK);
  EXPECT_EQ(status_of(InvalidArgument("x")), D2D_INVALID_ARGUMENT);
  EXPECT_STREQ(d2d_last_message(), "f: x");
  EXPECT_EQ(status_of(InvalidModel("x")), D2D_INVALID_MODEL);
  EXPECT_EQ(status_of(Unsupported("x")), D2D_UNSUPPORTED);
  EXPECT_EQ(status_of(DeviceError("x")), D2D_DEVICE_ERROR);
  EXPECT_EQ(status_of(capi::BufferTooSmall("x")), D2D_BUFFER_TOO_SMALL);
  EXPECT_EQ(status_of(OutOfMemory("out of memory: y")), D2D_OUT_OF_MEMORY);
  EXPECT_STREQ(d2d_last_message(), "f: out of memory: y");
  EXPECT_EQ(status_of(std::bad_alloc()), D2D_OUT_OF_MEMORY);
  EXPECT_STREQ(d2d_last_message(), "f: out of memory");
  EXPECT_EQ(status_of(InternalError("x")), D2D_INTERNAL_ERROR);
  EXPECT_EQ(status_of(Error("x")), D2D_INTERNAL_ERROR);
  EXPECT_EQ(status_of(std::length_error("x")), D2D_INTERNAL_ERROR);
  EXPECT_EQ(status_of(7), D2D_INTERNAL_ERROR);
  EXPECT_STREQ(d2d_last_message(), "f: an exception of unknown type");
  EXPECT_EQ(d2d_last_status(), D2D_INTERNAL_ERROR);
  std::thread([] {
    EXPECT_EQ(d2d_last_status(), D2D_OK);  // another thread's is its own
    EXPECT_STREQ(d2d_last_message(), "");
  }).join();
}

}  // namespace
}  // namespace d2deploy::testing
