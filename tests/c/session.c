/* The net alone: named tensors in, named tensors out. */
#include <stdlib.h>
#include <string.h>

#include "picture.h"
#include "test.h"

enum { kImages = 2 };
static uint8_t planes[kImages * kBytes];
static float im_info[kImages * 3];

static void draw_planes(void) {
  static uint8_t pixels[kBytes];
  for (int image = 0; image < kImages; ++image) {
    draw_squares(pixels, image == 0 ? 1 : 7);
    for (int i = 0; i < kBytes; ++i) planes[image * kBytes + i % 3 * kHeight * kWidth + i / 3] = pixels[i];
    im_info[image * 3] = kHeight;
    im_info[image * 3 + 1] = kWidth;
    im_info[image * 3 + 2] = 1;
  }
}

static void make_inputs(int64_t images, d2d_tensor inputs[2]) {
  const d2d_tensor made[2] = {{.name = "data",
                               .data = planes,
                               .bytes = sizeof planes,
                               .dtype = D2D_UINT8,
                               .rank = 4,
                               .shape = {images, 3, kHeight, kWidth}},
                              {.name = "im_info",
                               .data = im_info,
                               .bytes = sizeof im_info,
                               .dtype = D2D_FLOAT32,
                               .rank = 2,
                               .shape = {images, 3}}};
  inputs[0] = made[0];
  inputs[1] = made[1];
}

static int find_output(const d2d_session* session, const char* name, d2d_tensor* output) {
  int64_t count = 0;
  if (d2d_session_output_count(session, &count) != D2D_OK) return 0;
  for (int64_t i = 0; i < count; ++i)
    if (d2d_session_output(session, i, output) == D2D_OK && strcmp(output->name, name) == 0) return 1;
  return 0;
}

static void check_names(const d2d_model* model, const d2d_session* session) {
  const char *const *inputs = NULL, *const *outputs = NULL;
  int64_t taken = 0, given = 0, count = 0;
  CHECK(d2d_model_inputs(model, &inputs, &taken) == D2D_OK && taken == 2);
  CHECK(strcmp(inputs[0], "data") == 0 && strcmp(inputs[1], "im_info") == 0);
  REQUIRE(d2d_model_outputs(model, &outputs, &given));
  REQUIRE(d2d_session_output_count(session, &count));
  CHECK(given > 3 && count == given);
  for (int64_t i = 0; i < count; ++i) {
    d2d_tensor output;
    REQUIRE(d2d_session_output(session, i, &output));
    CHECK(strcmp(output.name, outputs[i]) == 0);
    int64_t elements = 1;
    for (int32_t d = 0; d < output.rank; ++d) elements *= output.shape[d];
    CHECK(output.dtype == D2D_FLOAT32 && output.bytes == (size_t)elements * sizeof(float));
    CHECK(output.data != NULL);
  }
}

/* What a picture gets alone, it gets in a batch, which tells whose rows are whose. */
static void check_batch(d2d_session* session) {
  d2d_tensor inputs[2], scores, splits;
  make_inputs(1, inputs);
  REQUIRE(d2d_session_run(session, inputs, 2));
  CHECK(find_output(session, "score_nms", &scores) && scores.rank == 1 && scores.shape[0] > 3);
  const size_t bytes = scores.bytes;
  float* alone = malloc(bytes);
  memcpy(alone, scores.data, bytes);
  make_inputs(kImages, inputs);
  if (d2d_session_run(session, inputs, 2) == D2D_OK) {
    CHECK(find_output(session, "score_nms", &scores) && scores.bytes > bytes);
    CHECK(memcmp(scores.data, alone, bytes) == 0);
    CHECK(find_output(session, "batch_splits", &splits) && splits.rank == 1 && splits.shape[0] == kImages);
    CHECK(((const float*)splits.data)[0] == (float)(bytes / sizeof(float)));
    int64_t count = 0;
    CHECK(d2d_session_output_count(session, &count) == D2D_OK);
    CHECK(d2d_session_output(session, count - 1, &splits) == D2D_OK && strcmp(splits.name, "batch_splits") == 0);
  } else {
    fail_at(__FILE__, __LINE__, d2d_last_message());
  }
  free(alone);
}

/* A picture without objects: no rows, but their type and width. */
static void check_nothing(d2d_session* session) {
  d2d_tensor inputs[2], boxes;
  uint8_t* gray = malloc(kBytes);
  memset(gray, 110, kBytes);
  make_inputs(1, inputs);
  inputs[0].data = gray;
  inputs[0].bytes = kBytes;
  CHECK(d2d_session_run(session, inputs, 2) == D2D_OK);
  CHECK(find_output(session, "bbox_nms", &boxes) && boxes.dtype == D2D_FLOAT32 && boxes.bytes == 0);
  CHECK(boxes.rank == 2 && boxes.shape[0] == 0 && boxes.shape[1] == 4);
  free(gray);
}

static void refuse(d2d_session* session, const d2d_tensor* inputs, int64_t count, const char* message) {
  int64_t outputs = 7;
  REFUSES(d2d_session_run(session, inputs, count), D2D_INVALID_ARGUMENT, message);
  CHECK(d2d_session_output_count(session, &outputs) == D2D_OK && outputs == 0);
}

static void check_refusals(d2d_session* session) {
  d2d_tensor good[2], bad[3];
  make_inputs(1, good);
#define CHANGED(change, message)      \
  do {                                \
    bad[0] = good[0];                 \
    bad[1] = good[1];                 \
    change;                           \
    refuse(session, bad, 2, message); \
  } while (0)
  CHANGED(bad[0].name = NULL, "the name of an input is NULL");
  CHANGED(bad[0].name = "date", "input 'data' is missing; wanted: data, im_info");
  CHANGED(bad[0].name = "im_info", "input 'im_info': it is given twice");
  CHANGED(bad[0].data = NULL, "input 'data': data is NULL");
  CHANGED(bad[0].bytes = kBytes - 1, "input 'data': the tensor has 147455 bytes, too few for (1, 3, 192, 256) uint8");
  CHANGED(bad[0].dtype = 0, "dtype is 0, wanted 1 to 8");
  CHANGED(bad[0].dtype = 9, "dtype is 9, wanted 1 to 8");
  CHANGED(bad[0].dtype = D2D_INT64; bad[0].shape[2] = 1, "data");
  CHANGED(bad[0].rank = -1, "rank is -1, wanted 0 to 8");
  CHANGED(bad[0].rank = 9, "rank is 9, wanted 0 to 8");
  CHANGED(bad[0].rank = 3, "data");
  CHANGED(bad[0].shape[3] = -1, "dimension 3 is -1, wanted 0 or more");
  CHANGED(bad[0].shape[0] = INT64_MAX; bad[0].shape[1] = INT64_MAX, "too few for");
  CHANGED(bad[0].dtype = D2D_BOOL, "a value of type bool is neither 0 nor 1");
  bad[0] = good[0];
  bad[1] = bad[2] = good[1];
  bad[2].name = "other";
  refuse(session, bad, 3, "other");
  refuse(session, good, 1, "im_info");
  refuse(session, good, 0, "data");
  refuse(session, NULL, 2, "inputs is NULL");
  refuse(session, good, -1, "count is -1");
}

void test_session(void) {
  const d2d_options options = {.struct_size = sizeof options, .threads = 1};
  d2d_model* model = NULL;
  d2d_session* session = NULL;
  d2d_tensor inputs[2], output;
  int64_t count = 7;
  draw_planes();
  REQUIRE(d2d_model_load(model_folder, &options, &model));
  d2d_facts facts = {.struct_size = sizeof facts};
  CHECK(d2d_model_facts(model, &facts) == D2D_OK && strcmp(facts.device, "cpu") == 0 && facts.threads == 1);
  REQUIRE(d2d_session_create(model, &session));
  CHECK(d2d_session_output_count(session, &count) == D2D_OK && count == 0);
  REFUSES(d2d_session_output(session, 0, &output), D2D_INVALID_ARGUMENT, "there is no output 0, there are 0");
  make_inputs(1, inputs);
  REQUIRE(d2d_session_run(session, inputs, 2));
  check_names(model, session);
  CHECK(d2d_session_output(session, 0, &output) == D2D_OK);
  REFUSES(d2d_session_output(session, -1, &output), D2D_INVALID_ARGUMENT, "there is no output -1");
  REFUSES(d2d_session_output(session, 0, NULL), D2D_INVALID_ARGUMENT, "the tensor is NULL");
  CHECK(d2d_model_free(model) == D2D_OK); /* the session goes on */
  check_batch(session);
  check_nothing(session);
  check_refusals(session);
  make_inputs(1, inputs);
  CHECK(d2d_session_run(session, inputs, 2) == D2D_OK); /* after all that was refused */
  CHECK(d2d_session_free(session) == D2D_OK);
}
