/* What goes wrong, and what is said of it. */
#include <d2deploy/version.h>
#include <stdio.h>
#include <string.h>

#include "picture.h"
#include "test.h"

static uint8_t pixels[kBytes];

static void check_versions(void) {
  CHECK(strcmp(d2d_version(), D2DEPLOY_VERSION) == 0);
  CHECK(d2d_abi_version() == D2D_ABI_VERSION);
  CHECK(d2d_last_status() == D2D_OK && strcmp(d2d_last_message(), "") == 0);
  static const d2d_status all[] = {D2D_OK,          D2D_INVALID_ARGUMENT, D2D_INVALID_MODEL,  D2D_DEVICE_ERROR,
                                   D2D_UNSUPPORTED, D2D_BUFFER_TOO_SMALL, D2D_INTERNAL_ERROR, D2D_OUT_OF_MEMORY};
  for (size_t i = 0; i < sizeof all / sizeof *all; ++i) {
    CHECK(strcmp(d2d_status_name(all[i]), "unknown status") != 0);
    CHECK(all[i] % 10 >= (all[i] != D2D_OK) && all[i] % 10 <= 3); /* the exit code */
  }
  CHECK(strcmp(d2d_status_name(D2D_OUT_OF_MEMORY), "out of memory") == 0);
  CHECK(strcmp(d2d_status_name(-1), "unknown status") == 0 && strcmp(d2d_status_name(4), "unknown status") == 0);
}

static void refuse_options(d2d_options options, d2d_status status, const char* message) {
  d2d_detector* detector = (d2d_detector*)pixels;
  REFUSES(d2d_detector_load(model_folder, &options, &detector), status, message);
  CHECK(detector == NULL);
}

static void check_options(void) {
#define OPTION(field, value, status, message)              \
  do {                                                     \
    d2d_options options = {.struct_size = sizeof options}; \
    options.field = value;                                 \
    refuse_options(options, D2D_##status, message);        \
  } while (0)
  OPTION(struct_size, 0, INVALID_ARGUMENT, "d2d_detector_load: struct_size is 0, wanted sizeof(d2d_options)");
  OPTION(struct_size, offsetof(d2d_options, max_batch) - 1, INVALID_ARGUMENT, "wanted sizeof(d2d_options)");
  OPTION(struct_size, SIZE_MAX, INVALID_ARGUMENT, "wanted sizeof(d2d_options)");
  OPTION(device, "tpu", UNSUPPORTED, "device 'tpu' is not available");
  OPTION(precision, "float8", UNSUPPORTED, "precision 'float8' is not available");
  OPTION(precision, "int8", INVALID_ARGUMENT, "needs a calibration: there is no ");
  OPTION(engine, "other", UNSUPPORTED, "engine 'other'");
  OPTION(kernels, "Conv", INVALID_ARGUMENT, "Conv");
  OPTION(max_tensor_bytes, -1, INVALID_ARGUMENT, "max_tensor_bytes is -1");
  OPTION(threads, -1, INVALID_ARGUMENT, "threads is -1");
  OPTION(threads, INT32_MAX, INVALID_ARGUMENT, "wanted 0 (as many as the process may use) to 4096");
  OPTION(low_memory, 2, INVALID_ARGUMENT, "low_memory is 2, wanted 0 to 1");
  OPTION(tune, -1, INVALID_ARGUMENT, "tune is -1, wanted 0 to 1");
  OPTION(as_in_file, 2, INVALID_ARGUMENT, "as_in_file is 2, wanted 0 to 1");
  OPTION(own_class_masks, 2, INVALID_ARGUMENT, "own_class_masks is 2, wanted 0 to 1");
  OPTION(mode, 2, INVALID_ARGUMENT, "mode is 2, wanted 0 to 1");
  OPTION(order, 5, INVALID_ARGUMENT, "order is 5, wanted 0 to 4");
  OPTION(row_order, -1, INVALID_ARGUMENT, "row_order is -1, wanted 0 to 1");
  OPTION(pad_with_zero, 2, INVALID_ARGUMENT, "pad_with_zero is 2, wanted 0 to 1");
  OPTION(caffe2_scale, 2, INVALID_ARGUMENT, "caffe2_scale is 2, wanted 0 to 1");
  OPTION(sem_seg, 2, INVALID_ARGUMENT, "sem_seg is 2, wanted 0 to 1");
  OPTION(keypoint_maps, 2, INVALID_ARGUMENT, "keypoint_maps is 2, wanted 0 to 1");
  OPTION(min_size, -2, INVALID_ARGUMENT, "min_size_test is -2");
  OPTION(max_size, -1, INVALID_ARGUMENT, "max_size_test is -1");
  OPTION(max_batch, -1, INVALID_ARGUMENT, "max_batch is -1, wanted 1 to 64");
  OPTION(max_batch, INT64_MAX, INVALID_ARGUMENT, "wanted 1 to 64");
}

static void check_files(void) {
  d2d_detector* detector = (d2d_detector*)pixels;
  d2d_model* model = (d2d_model*)pixels;
  const char* message = "no such folder/model.pb";
  REFUSES(d2d_detector_load("no such folder", NULL, &detector), D2D_INVALID_ARGUMENT, message);
  REFUSES(d2d_model_load("no such folder", NULL, &model), D2D_INVALID_ARGUMENT, message);
  CHECK(detector == NULL && model == NULL);
  REFUSES(d2d_detector_load(NULL, NULL, &detector), D2D_INVALID_ARGUMENT, "d2d_detector_load: folder is NULL");
  REFUSES(d2d_detector_load(model_folder, NULL, NULL), D2D_INVALID_ARGUMENT, "the pointer that gets the handle");
  REFUSES(d2d_detector_load_files(NULL, "b", NULL, &detector), D2D_INVALID_ARGUMENT, "predict_net is NULL");
  REFUSES(d2d_detector_load_files("a", NULL, NULL, &detector), D2D_INVALID_ARGUMENT, "init_net is NULL");
  REFUSES(d2d_model_load(NULL, NULL, &model), D2D_INVALID_ARGUMENT, "folder is NULL");
  REFUSES(d2d_model_load_files(NULL, "b", NULL, &model), D2D_INVALID_ARGUMENT, "predict_net is NULL");
  REFUSES(d2d_model_load_files("a", NULL, NULL, &model), D2D_INVALID_ARGUMENT, "init_net is NULL");
  /* A picture in the place of a net. */
  char net[4096], weights[4096], picture[4096];
  snprintf(net, sizeof net, "%s/model.pb", model_folder);
  snprintf(weights, sizeof weights, "%s/model_init.pb", model_folder);
  snprintf(picture, sizeof picture, "%s/input.png", model_folder);
  REFUSES(d2d_detector_load_files(picture, weights, NULL, &detector), D2D_INVALID_MODEL, "input.png");
  REFUSES(d2d_model_load_files(net, picture, NULL, &model), D2D_INVALID_MODEL, "input.png");
  CHECK(detector == NULL && model == NULL);
  CHECK(d2d_model_load_files(net, weights, NULL, &model) == D2D_OK && model != NULL);
  /* A call that succeeds leaves the error of the one before. */
  CHECK(d2d_last_status() == D2D_INVALID_MODEL && strstr(d2d_last_message(), "input.png") != NULL);
  CHECK(d2d_model_free(model) == D2D_OK);
  CHECK(d2d_detector_load_files(net, weights, NULL, &detector) == D2D_OK);
  CHECK(d2d_detector_free(detector) == D2D_OK);
}

static void check_images(const d2d_detector* detector) {
  d2d_prediction* found = (d2d_prediction*)pixels;
#define IMAGE(change, message)                                                               \
  do {                                                                                       \
    d2d_image image = {.data = pixels, .bytes = kBytes, .height = kHeight, .width = kWidth}; \
    change;                                                                                  \
    REFUSES(d2d_detector_predict(detector, &image, &found), D2D_INVALID_ARGUMENT, message);  \
    CHECK(found == NULL);                                                                    \
  } while (0)
  IMAGE(image.data = NULL, "d2d_detector_predict: data of the image is NULL");
  IMAGE(image.width = INT64_MAX / 2, "pixels of 3 channels, 9223372036854775807 bytes apart");
  IMAGE(image.height = 0, "the image is empty: 0 x 256 pixels of 3 channels");
  IMAGE(image.width = -1, "the image is empty: 192 x -1 pixels of 3 channels");
  IMAGE(image.channels = -1, "the image is empty: 192 x 256 pixels of -1 channels");
  IMAGE(image.bytes = kBytes - 1, "the image has 147455 bytes, too few for 192 rows of 256 pixels of 3 channels, 768");
  IMAGE(image.height = kHeight + 1, "too few for 193 rows");
  IMAGE(image.row_bytes = kWidth * 3 + 1, "too few for 192 rows");
  IMAGE(image.row_bytes = kWidth * 3 - 1, "row_bytes of the image is 767, wanted at least 3 * 256");
  IMAGE(image.row_bytes = -kWidth * 3, "row_bytes of the image is -768, wanted at least 3 * 256");
  IMAGE(image.width = INT64_MAX, "too few for 192 rows");
  IMAGE(image.height = INT64_MAX, "too few for");
  IMAGE(image.row_bytes = INT64_MAX, "too few for");
  IMAGE(image.height = INT64_MAX; image.row_bytes = INT64_MAX, "too few for");
  IMAGE(image.channels = 4; image.height = 4, "the image has 4 channels, its order says 3");
  IMAGE(image.channels = 4; image.order = D2D_AS_IS; image.height = 4, "the image has 4 channels, the model takes 3");
  IMAGE(image.order = 5, "order is 5, wanted 0 to 4");
  IMAGE(image.order = -1, "order is -1, wanted 0 to 4");
  REFUSES(d2d_detector_predict(detector, NULL, &found), D2D_INVALID_ARGUMENT, "image is NULL");
  const d2d_image image = {.data = pixels, .bytes = kBytes, .height = kHeight, .width = kWidth};
  REFUSES(d2d_detector_predict(detector, &image, NULL), D2D_INVALID_ARGUMENT, "the pointer that gets the handle");
  REFUSES(d2d_detector_predict(NULL, &image, &found), D2D_INVALID_ARGUMENT, "the d2d_detector is NULL");
  const float box[4] = {0, 0, 8, 8};
  REFUSES(d2d_detector_predict_proposals(detector, &image, NULL, 0, &found), D2D_INVALID_ARGUMENT, "boxes is NULL");
  REFUSES(d2d_detector_predict_proposals(detector, &image, box, -1, &found), D2D_INVALID_ARGUMENT, "count is -1");
  REFUSES(d2d_detector_predict_proposals(detector, &image, box, INT64_MAX, &found), D2D_INVALID_ARGUMENT, "count is");
  REFUSES(d2d_detector_predict_proposals(detector, &image, box, 1, &found), D2D_INVALID_ARGUMENT,
          "the model finds its proposals itself");
}

static void check_resized(const d2d_detector* detector) {
  d2d_prediction* found = NULL;
  const float box[4] = {0, 0, 8, 8};
  d2d_tensor image = {.data = pixels, .bytes = kBytes, .dtype = D2D_UINT8, .rank = 3, .shape = {3, kHeight, kWidth}};
#define RESIZED(image, height, width, boxes, count, message)                                                        \
  REFUSES(d2d_detector_predict_resized(detector, image, height, width, boxes, count, &found), D2D_INVALID_ARGUMENT, \
          message)
  RESIZED(NULL, kHeight, kWidth, NULL, 0, "the tensor is NULL");
  RESIZED(&image, 0, kWidth, NULL, 0, "predictions are wanted for 0 x 256 pixels");
  RESIZED(&image, kHeight, kWidth, NULL, 1, "boxes is NULL, and count 1");
  RESIZED(&image, kHeight, kWidth, box, 1, "the model finds its proposals itself");
  image.rank = 2;
  RESIZED(&image, kHeight, kWidth, NULL, 0, "the image must be (3, H, W) float32 or uint8, got (3, 192) uint8");
  image.rank = 3;
  image.shape[1] = 0; /* no memory is needed for nothing */
  image.data = NULL;
  image.bytes = 0;
  RESIZED(&image, kHeight, kWidth, NULL, 0, "the image must be (3, H, W)");
}

/* NULL in the place of each pointer that a prediction's functions write to, and indices beside. */
static void check_prediction(const d2d_prediction* found) {
  int64_t count = 0, other = 0;
  const float* floats = NULL;
  const d2d_keypoint* keypoints = NULL;
  const d2d_segment* segments = NULL;
  uint8_t mask[8];
  size_t needed = 0;
  d2d_polygons* polygons = (d2d_polygons*)pixels;
  REQUIRE(d2d_prediction_count(found, &count));
#define WANTS(call, name) REFUSES(call, D2D_INVALID_ARGUMENT, name " is NULL")
  WANTS(d2d_prediction_size(found, NULL, &other), "height");
  WANTS(d2d_prediction_size(found, &other, NULL), "width");
  WANTS(d2d_prediction_count(found, NULL), "count");
  WANTS(d2d_prediction_boxes(found, NULL, &other), "boxes");
  WANTS(d2d_prediction_boxes(found, &floats, NULL), "columns");
  WANTS(d2d_prediction_scores(found, NULL), "scores");
  WANTS(d2d_prediction_classes(found, NULL), "classes");
  WANTS(d2d_prediction_masks(found, NULL), "the tensor");
  WANTS(d2d_prediction_keypoints(found, NULL, &other), "keypoints");
  WANTS(d2d_prediction_keypoints(found, &keypoints, NULL), "per_detection");
  WANTS(d2d_prediction_keypoint_maps(found, NULL), "the tensor");
  WANTS(d2d_prediction_panoptic_map(found, NULL), "map");
  WANTS(d2d_prediction_segments(found, NULL, &other), "segments");
  WANTS(d2d_prediction_segments(found, &segments, NULL), "count");
  WANTS(d2d_prediction_class_map(found, NULL), "map");
  WANTS(d2d_prediction_sem_seg(found, NULL), "the tensor");
  WANTS(d2d_prediction_mask(found, 0, 0.5f, NULL, sizeof mask), "mask");
  WANTS(d2d_prediction_mask_rle(found, 0, 0.5f, NULL, 8, &needed), "text");
  WANTS(d2d_prediction_mask_rle(found, 0, 0.5f, NULL, 0, NULL), "text");
  REFUSES(d2d_prediction_mask(found, 0, 0.5f, mask, sizeof mask), D2D_BUFFER_TOO_SMALL,
          "the mask has 49152 bytes, 192 x 256; the buffer 8");
  REFUSES(d2d_prediction_mask_rle(found, 0, 0.5f, (char*)mask, 0, &needed), D2D_BUFFER_TOO_SMALL, "the buffer 0");
  const int64_t beside[] = {-1, count, INT64_MIN, INT64_MAX};
  for (size_t i = 0; i < sizeof beside / sizeof *beside; ++i) {
    const char* message = "there is no detection ";
    REFUSES(d2d_prediction_mask(found, beside[i], 0.5f, pixels, sizeof pixels), D2D_INVALID_ARGUMENT, message);
    REFUSES(d2d_prediction_mask_rle(found, beside[i], 0.5f, NULL, 0, &needed), D2D_INVALID_ARGUMENT, message);
    REFUSES(d2d_prediction_mask_polygons(found, beside[i], 0.5f, &polygons), D2D_INVALID_ARGUMENT, message);
    CHECK(polygons == NULL);
  }
  const float zero = 0, not_a_number = zero / zero;
  REFUSES(d2d_prediction_mask(found, 0, 1.5f, pixels, sizeof pixels), D2D_INVALID_ARGUMENT, "threshold");
  REFUSES(d2d_prediction_mask(found, 0, not_a_number, pixels, sizeof pixels), D2D_INVALID_ARGUMENT, "threshold");
  REFUSES(d2d_prediction_mask_rle(found, 0, -0.5f, NULL, 0, &needed), D2D_INVALID_ARGUMENT, "threshold");
  REFUSES(d2d_prediction_mask_polygons(found, 0, 0.5f, NULL), D2D_INVALID_ARGUMENT, "the pointer that gets the handle");
}

/* Handles of one kind in the place of another, and pointers that are to none. */
static void check_kinds(d2d_detector* detector, d2d_prediction* found) {
  static const uint64_t zeros[4];
  int64_t count = 0;
  d2d_session* session = NULL;
  d2d_model* model = NULL;
  d2d_polygons* polygons = NULL;
  const int32_t* xy = NULL;
  const char* const* names = NULL;
  d2d_tensor tensor;
  d2d_facts facts = {.struct_size = sizeof facts};
  d2d_input input = {.struct_size = sizeof input};
#define KIND(call, wanted) REFUSES(call, D2D_INVALID_ARGUMENT, "wanted a d2d_" wanted)
  KIND(d2d_prediction_count((d2d_prediction*)detector, &count), "prediction");
  REFUSES(d2d_detector_facts((d2d_detector*)found, &facts), D2D_INVALID_ARGUMENT,
          "the handle is a d2d_prediction, wanted a d2d_detector");
  REFUSES(d2d_detector_facts((const d2d_detector*)zeros, &facts), D2D_INVALID_ARGUMENT,
          "the pointer is not to a handle, or to one that was freed; wanted a d2d_detector");
  KIND(d2d_detector_input((const d2d_detector*)((const char*)detector + 1), &input), "detector");
  KIND(d2d_detector_class_names((d2d_detector*)found, &names, &count), "detector");
  KIND(d2d_detector_stuff_class_names((d2d_detector*)found, &names, &count), "detector");
  KIND(d2d_detector_predict_batch((d2d_detector*)found, NULL, 0, NULL), "detector");
  KIND(d2d_model_facts((d2d_model*)detector, &facts), "model");
  KIND(d2d_model_inputs((d2d_model*)detector, &names, &count), "model");
  KIND(d2d_model_outputs((d2d_model*)detector, &names, &count), "model");
  KIND(d2d_session_create((d2d_model*)detector, &session), "model");
  KIND(d2d_session_run((d2d_session*)detector, NULL, 0), "session");
  KIND(d2d_session_output_count((d2d_session*)detector, &count), "session");
  KIND(d2d_session_output((d2d_session*)detector, 0, &tensor), "session");
  KIND(d2d_polygons_count((d2d_polygons*)found, &count), "polygons");
  KIND(d2d_polygons_get((d2d_polygons*)found, 0, &xy, &count), "polygons");
  KIND(d2d_detector_free((d2d_detector*)found), "detector");
  KIND(d2d_prediction_free((d2d_prediction*)detector), "prediction");
  KIND(d2d_polygons_free((d2d_polygons*)detector), "polygons");
  KIND(d2d_model_free((d2d_model*)detector), "model");
  KIND(d2d_session_free((d2d_session*)detector), "session");
  CHECK(d2d_detector_free(NULL) == D2D_OK && d2d_prediction_free(NULL) == D2D_OK && d2d_model_free(NULL) == D2D_OK);
  CHECK(d2d_polygons_free(NULL) == D2D_OK && d2d_session_free(NULL) == D2D_OK);
  REFUSES(d2d_detector_facts(detector, NULL), D2D_INVALID_ARGUMENT, "facts is NULL");
  REFUSES(d2d_detector_input(detector, NULL), D2D_INVALID_ARGUMENT, "input is NULL");
  REFUSES(d2d_detector_class_names(detector, NULL, &count), D2D_INVALID_ARGUMENT, "names is NULL");
  REFUSES(d2d_detector_class_names(detector, &names, NULL), D2D_INVALID_ARGUMENT, "count is NULL");
  facts.struct_size = 8;
  REFUSES(d2d_detector_facts(detector, &facts), D2D_INVALID_ARGUMENT, "struct_size is 8, wanted sizeof(d2d_facts)");
  input.struct_size = 0;
  REFUSES(d2d_detector_input(detector, &input), D2D_INVALID_ARGUMENT, "struct_size is 0, wanted sizeof(d2d_input)");
  REQUIRE(d2d_model_load(model_folder, NULL, &model));
  REFUSES(d2d_session_create(model, NULL), D2D_INVALID_ARGUMENT, "the pointer that gets the handle");
  CHECK(d2d_session_create(model, &session) == D2D_OK);
  REFUSES(d2d_session_output_count(session, NULL), D2D_INVALID_ARGUMENT, "count is NULL");
  CHECK(d2d_session_free(session) == D2D_OK && d2d_model_free(model) == D2D_OK);
  CHECK(d2d_prediction_mask_polygons(found, 0, 0.5f, &polygons) == D2D_OK);
  REFUSES(d2d_polygons_count(polygons, NULL), D2D_INVALID_ARGUMENT, "count is NULL");
  REFUSES(d2d_polygons_get(polygons, -1, &xy, &count), D2D_INVALID_ARGUMENT, "there is no polygon -1");
  REFUSES(d2d_polygons_get(polygons, 0, NULL, &count), D2D_INVALID_ARGUMENT, "xy is NULL");
  REFUSES(d2d_polygons_get(polygons, 0, &xy, NULL), D2D_INVALID_ARGUMENT, "corners is NULL");
  CHECK(d2d_polygons_free(polygons) == D2D_OK);
}

void test_errors(void) {
  const d2d_options options = quick_options(kHeight);
  const d2d_image image = {.data = pixels, .bytes = kBytes, .height = kHeight, .width = kWidth};
  d2d_detector* detector = NULL;
  d2d_prediction* found = NULL;
  check_versions(); /* the first, before there was an error */
  check_options();
  check_files();
  draw_squares(pixels, 1);
  REQUIRE(d2d_detector_load(model_folder, &options, &detector));
  REQUIRE(d2d_detector_predict(detector, &image, &found));
  check_images(detector);
  check_resized(detector);
  check_kinds(detector, found);
  check_prediction(found); /* which writes to the picture */
  CHECK(d2d_prediction_free(found) == D2D_OK);
  CHECK(d2d_detector_free(detector) == D2D_OK);
}
