// Memory that runs out in functions of the C ABI: a status, and no exception.
#include <d2deploy/c.h>
#include <gtest/gtest.h>

#include <limits>

#include "d2deploy/error.h"
#include "failing_allocations.h"
#include "net_files.h"
#include "small_detectors.h"

namespace d2deploy::testing {
namespace {

class COutOfMemory : public ::testing::TestWithParam<bool> {};

// The status as what fail_one_after_the_other expects.
void expect_ok(d2d_status status) {
  end_failures();
  if (status == D2D_OK) return;
  if (status != d2d_last_status()) throw Error("the last status is another one");
  if (status == D2D_OUT_OF_MEMORY) throw DeviceError(d2d_last_message());
  throw Error(d2d_last_message());
}

d2d_options options() {
  d2d_options options{};
  options.struct_size = sizeof options;
  options.threads = 1;  // OpenMP itself ends the process where it finds no memory
  options.sem_seg = options.keypoint_maps = 1;
  return options;
}

d2d_image image() {
  d2d_image image{};
  image.data = picture().data;
  image.bytes = kHeight * kWidth * 2;
  image.height = kHeight;
  image.width = kWidth;
  image.channels = 2;
  image.order = D2D_AS_IS;
  return image;
}

std::string count_of(const d2d_prediction* found) {
  std::int64_t count = -1;
  if (found != nullptr) {
    EXPECT_EQ(d2d_prediction_count(found, &count), D2D_OK);
  }
  return std::to_string(count);
}

TEST_P(COutOfMemory, Loading) {
  const DetectorCase net = detectors()[0];
  const NetFiles files(net.text, net.attributes);
  const std::string folder = files.folder.string();
  const d2d_options given = options();
  const auto detector = [&]() -> std::string {
    d2d_detector* loaded = nullptr;
    const d2d_status status = d2d_detector_load(folder.c_str(), &given, &loaded);
    end_failures();
    EXPECT_EQ(loaded == nullptr, status != D2D_OK);
    EXPECT_EQ(d2d_detector_free(loaded), D2D_OK);
    expect_ok(status);
    return "loaded";
  };
  EXPECT_GT(fail_one_after_the_other("d2d_detector_load", detector, GetParam(), 200), 500);
  const auto model = [&]() -> std::string {
    d2d_model* loaded = nullptr;
    const d2d_status status = d2d_model_load(folder.c_str(), &given, &loaded);
    end_failures();
    EXPECT_EQ(d2d_model_free(loaded), D2D_OK);
    expect_ok(status);
    return "loaded";
  };
  EXPECT_GT(fail_one_after_the_other("d2d_model_load", model, GetParam(), 100), 500);
}

TEST_P(COutOfMemory, Predicting) {
  for (const DetectorCase& net : detectors()) {
    const NetFiles files(net.text, net.attributes);
    const d2d_options given = options();
    const d2d_image one = image();
    const d2d_image two[] = {one, one};
    d2d_detector* detector = nullptr;
    d2d_prediction* found = nullptr;
    ASSERT_EQ(d2d_detector_load(files.folder.c_str(), &given, &detector), D2D_OK) << d2d_last_message();
    ASSERT_EQ(d2d_detector_predict(detector, &one, &found), D2D_OK) << d2d_last_message();
    ASSERT_EQ(d2d_prediction_free(found), D2D_OK);
    const auto predict = [&] {
      const d2d_status status = d2d_detector_predict(detector, &one, &found);
      end_failures();
      const std::string count = count_of(found);
      EXPECT_EQ(d2d_prediction_free(found), D2D_OK);
      expect_ok(status);
      return count;
    };
    constexpr auto kAll = std::numeric_limits<std::int64_t>::max();
    EXPECT_GT(fail_one_after_the_other(net.name, predict, GetParam(), kAll), 10) << net.name;
    const auto predict_two = [&] {
      d2d_prediction* both[] = {nullptr, nullptr};
      const d2d_status status = d2d_detector_predict_batch(detector, two, 2, both);
      end_failures();
      EXPECT_EQ(both[0] == nullptr, status != D2D_OK);
      const std::string counts = count_of(both[0]) + ' ' + count_of(both[1]);
      for (d2d_prediction* each : both) EXPECT_EQ(d2d_prediction_free(each), D2D_OK);
      expect_ok(status);
      return counts;
    };
    EXPECT_GT(fail_one_after_the_other(net.name, predict_two, GetParam(), kAll), 20) << net.name;
    EXPECT_EQ(d2d_detector_free(detector), D2D_OK);
  }
}

TEST_P(COutOfMemory, Masks) {
  const DetectorCase net = detectors()[0];
  const NetFiles files(net.text, net.attributes);
  const d2d_options given = options();
  const d2d_image one = image();
  d2d_detector* detector = nullptr;
  d2d_prediction* found = nullptr;
  ASSERT_EQ(d2d_detector_load(files.folder.c_str(), &given, &detector), D2D_OK) << d2d_last_message();
  ASSERT_EQ(d2d_detector_predict(detector, &one, &found), D2D_OK) << d2d_last_message();
  ASSERT_EQ(d2d_detector_free(detector), D2D_OK);
  const auto all = [&](const char* what, const Answer& call) {
    EXPECT_GT(fail_one_after_the_other(what, call, GetParam(), std::numeric_limits<std::int64_t>::max()), 0) << what;
  };
  char text[256] = {};
  all("d2d_prediction_mask", [&] {
    expect_ok(d2d_prediction_mask(found, 0, 0.5F, reinterpret_cast<std::uint8_t*>(text), sizeof text));
    return std::string(text, kHeight * kWidth);
  });
  all("d2d_prediction_mask_rle", [&] {
    expect_ok(d2d_prediction_mask_rle(found, 0, 0.5F, text, sizeof text, nullptr));
    return std::string(text);
  });
  all("d2d_prediction_mask_polygons", [&] {
    d2d_polygons* polygons = nullptr;
    expect_ok(d2d_prediction_mask_polygons(found, 0, 0.5F, &polygons));
    std::int64_t count = -1;
    EXPECT_EQ(d2d_polygons_count(polygons, &count), D2D_OK);
    EXPECT_EQ(d2d_polygons_free(polygons), D2D_OK);
    return std::to_string(count);
  });
  // A message that finds no memory is lack of memory.
  all("an error", [&]() -> std::string {
    const d2d_status status = d2d_prediction_mask(found, -1, 0.5F, reinterpret_cast<std::uint8_t*>(text), sizeof text);
    end_failures();
    if (status == D2D_INVALID_ARGUMENT) return d2d_last_message();
    expect_ok(status);
    return "no error";
  });
  EXPECT_EQ(d2d_prediction_free(found), D2D_OK);
}

TEST_P(COutOfMemory, Sessions) {
  const NetFiles files(calmed(semantic()));
  const d2d_options given = options();
  d2d_model* model = nullptr;
  ASSERT_EQ(d2d_model_load(files.folder.c_str(), &given, &model), D2D_OK) << d2d_last_message();
  const std::vector<float> planes(2 * 8 * 8, 1), info{8, 8, 1};
  const d2d_tensor inputs[] = {
      {"data", planes.data(), planes.size() * sizeof(float), D2D_FLOAT32, 4, {1, 2, 8, 8}},
      {"im_info", info.data(), info.size() * sizeof(float), D2D_FLOAT32, 2, {1, 3}},
  };
  d2d_session* session = nullptr;
  const auto create = [&]() -> std::string {
    d2d_session* made = nullptr;
    const d2d_status status = d2d_session_create(model, &made);
    end_failures();
    EXPECT_EQ(d2d_session_free(made), D2D_OK);
    expect_ok(status);
    return "made";
  };
  EXPECT_GT(fail_one_after_the_other("d2d_session_create", create, GetParam(), 100), 1);
  ASSERT_EQ(d2d_session_create(model, &session), D2D_OK);
  const auto run = [&]() -> std::string {
    expect_ok(d2d_session_run(session, inputs, 2));
    d2d_tensor output;
    EXPECT_EQ(d2d_session_output(session, 0, &output), D2D_OK);
    return std::string(static_cast<const char*>(output.data), output.bytes);
  };
  EXPECT_GT(fail_one_after_the_other("d2d_session_run", run, GetParam(), std::numeric_limits<std::int64_t>::max()), 5);
  EXPECT_EQ(d2d_session_free(session), D2D_OK);
  EXPECT_EQ(d2d_model_free(model), D2D_OK);
}

INSTANTIATE_TEST_SUITE_P(One, COutOfMemory, ::testing::Values(false));
INSTANTIATE_TEST_SUITE_P(AllThatFollow, COutOfMemory, ::testing::Values(true));

}  // namespace
}  // namespace d2deploy::testing
