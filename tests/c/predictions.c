/* From a picture to what was found in it. */
#include <stdlib.h>
#include <string.h>

#include "picture.h"
#include "test.h"

static uint8_t pixels[kBytes];

static d2d_image picture(void) {
  const d2d_image image = {.data = pixels, .bytes = kBytes, .height = kHeight, .width = kWidth};
  return image;
}

/* COCO's code as a bitmap, row by row: numbers in base 32, characters from '0', each but the first two less the one
   before the last; how many pixels are 0, then 1, and so on, column by column. Returns 0 where it is none. */
static int decode(const char* text, uint8_t* bitmap) {
  long counts[4096], place = 0;
  size_t n = 0;
  memset(bitmap, 0, (size_t)kHeight * kWidth);
  while (*text != '\0') {
    long value = 0;
    int shift = 0, more = 1;
    while (more) {
      const int digit = *text++ - '0';
      if (digit < 0 || digit > 63) return 0;
      value |= (long)(digit & 31) << shift;
      shift += 5;
      more = digit & 32;
      if (!more && (digit & 16)) value -= 1L << shift;
    }
    if (n == sizeof counts / sizeof *counts) return 0;
    counts[n] = value + (n > 2 ? counts[n - 2] : 0);
    for (long i = 0; i < counts[n]; ++i, ++place) {
      if (place >= kHeight * kWidth) return 0;
      bitmap[place % kHeight * kWidth + place / kHeight] = n % 2;
    }
    ++n;
  }
  return place == kHeight * kWidth;
}

/* Twice the area that a polygon encloses. */
static int64_t doubled_area(const int32_t* xy, int64_t corners) {
  int64_t sum = 0;
  for (int64_t i = 0; i < corners; ++i) {
    const int64_t next = (i + 1) % corners;
    sum += (int64_t)xy[2 * i] * xy[2 * next + 1] - (int64_t)xy[2 * next] * xy[2 * i + 1];
  }
  return sum;
}

/* The mask of a detection in its three forms. Returns its area. */
static int64_t check_mask(const d2d_prediction* found, int64_t i) {
  static uint8_t mask[kHeight * kWidth], decoded[kHeight * kWidth];
  int64_t area = 0, polygons_area = 0, parts = 0;
  CHECK(d2d_prediction_mask(found, i, 0.5f, mask, sizeof mask) == D2D_OK);
  for (size_t p = 0; p < sizeof mask; ++p) {
    CHECK(mask[p] <= 1);
    area += mask[p];
  }
  size_t needed = 0, again = 0;
  CHECK(d2d_prediction_mask_rle(found, i, 0.5f, NULL, 0, &needed) == D2D_OK && needed > 1);
  char* text = malloc(needed);
  memset(text, 'x', needed);
  CHECK(d2d_prediction_mask_rle(found, i, 0.5f, text, needed, &again) == D2D_OK && again == needed);
  CHECK(strlen(text) + 1 == needed);
  CHECK(decode(text, decoded) && memcmp(mask, decoded, sizeof mask) == 0);
  REFUSES(d2d_prediction_mask_rle(found, i, 0.5f, text, needed - 1, &again), D2D_BUFFER_TOO_SMALL, "the buffer");
  CHECK(again == needed);
  free(text);
  d2d_polygons* polygons = NULL;
  CHECK(d2d_prediction_mask_polygons(found, i, 0.5f, &polygons) == D2D_OK);
  CHECK(d2d_polygons_count(polygons, &parts) == D2D_OK && (parts > 0) == (area > 0));
  for (int64_t part = 0; part < parts; ++part) {
    const int32_t* xy = NULL;
    int64_t corners = 0;
    CHECK(d2d_polygons_get(polygons, part, &xy, &corners) == D2D_OK && corners >= 4);
    polygons_area += doubled_area(xy, corners) / 2;
  }
  CHECK(polygons_area >= area); /* holes are filled */
  REFUSES(d2d_polygons_get(polygons, parts, NULL, NULL), D2D_INVALID_ARGUMENT, "there is no polygon");
  CHECK(d2d_polygons_free(polygons) == D2D_OK);
  return area;
}

static void check_found(const d2d_prediction* found) {
  int64_t count = 0, columns = 0, height = 0, width = 0, area = 0;
  const float *boxes = NULL, *scores = NULL;
  const int64_t* classes = NULL;
  CHECK(d2d_prediction_size(found, &height, &width) == D2D_OK && height == kHeight && width == kWidth);
  REQUIRE(d2d_prediction_count(found, &count));
  REQUIRE(d2d_prediction_boxes(found, &boxes, &columns));
  REQUIRE(d2d_prediction_scores(found, &scores));
  REQUIRE(d2d_prediction_classes(found, &classes));
  CHECK(count >= 4 && columns == 4);
  for (int64_t i = 0; i < count; ++i) {
    const float* box = boxes + i * columns;
    CHECK(box[0] >= 0 && box[1] >= 0 && box[0] < box[2] && box[1] < box[3] && box[2] <= kWidth && box[3] <= kHeight);
    CHECK(scores[i] > 0 && scores[i] <= 1 && (i == 0 || scores[i] <= scores[i - 1]));
    CHECK(classes[i] >= 0 && classes[i] < 5);
    area += check_mask(found, i);
  }
  CHECK(area > 1000);
  d2d_tensor masks;
  CHECK(d2d_prediction_masks(found, &masks) == D2D_OK && masks.rank == 3 && masks.shape[0] == count);
  CHECK(masks.dtype == D2D_FLOAT32 && masks.bytes == (size_t)(count * masks.shape[1] * masks.shape[2]) * sizeof(float));
}

/* What a Mask R-CNN does not have is NULL, and no error. */
static void check_absent(const d2d_prediction* found) {
  const d2d_keypoint* keypoints = (const d2d_keypoint*)pixels;
  const d2d_segment* segments = (const d2d_segment*)pixels;
  const int32_t *panoptic = (const int32_t*)pixels, *classes = panoptic;
  int64_t per_detection = 7, count = 7;
  d2d_tensor maps, logits;
  CHECK(d2d_prediction_keypoints(found, &keypoints, &per_detection) == D2D_OK && !keypoints && per_detection == 0);
  CHECK(d2d_prediction_segments(found, &segments, &count) == D2D_OK && segments == NULL && count == 0);
  CHECK(d2d_prediction_panoptic_map(found, &panoptic) == D2D_OK && panoptic == NULL);
  CHECK(d2d_prediction_class_map(found, &classes) == D2D_OK && classes == NULL);
  CHECK(d2d_prediction_keypoint_maps(found, &maps) == D2D_OK && maps.data == NULL && maps.bytes == 0);
  CHECK(d2d_prediction_sem_seg(found, &logits) == D2D_OK && logits.data == NULL && logits.dtype == 0);
}

/* The same picture in other words: with gaps between rows, and in RGB. */
static void check_other_views(const d2d_detector* detector, const d2d_prediction* wanted) {
  enum { kGap = 5, kRow = kWidth * 3 + kGap };
  uint8_t* other = malloc((size_t)kRow * kHeight); /* of which the last gap is not read */
  for (int y = 0; y < kHeight; ++y) memcpy(other + y * kRow, pixels + y * kWidth * 3, kWidth * 3);
  d2d_image image = {.data = other,
                     .bytes = (size_t)kRow * kHeight - kGap,
                     .height = kHeight,
                     .width = kWidth,
                     .row_bytes = kRow,
                     .channels = 3,
                     .order = D2D_BGR};
  d2d_prediction* found = NULL;
  CHECK(d2d_detector_predict(detector, &image, &found) == D2D_OK && same_prediction(found, wanted));
  d2d_prediction_free(found);
  for (int i = 0; i < kBytes; i += 3)
    for (int c = 0; c < 3; ++c) other[i + c] = pixels[i + 2 - c];
  image.row_bytes = 0;
  image.order = D2D_RGB;
  CHECK(d2d_detector_predict(detector, &image, &found) == D2D_OK && same_prediction(found, wanted));
  d2d_prediction_free(found);
  free(other);
}

static void check_resized(const d2d_detector* detector, const d2d_prediction* wanted) {
  uint8_t* planes = malloc(kBytes);
  for (int i = 0; i < kBytes; ++i) planes[i % 3 * kHeight * kWidth + i / 3] = pixels[i];
  const d2d_tensor image = {
      .data = planes, .bytes = kBytes, .dtype = D2D_UINT8, .rank = 3, .shape = {3, kHeight, kWidth}};
  d2d_prediction* found = NULL;
  CHECK(d2d_detector_predict_resized(detector, &image, kHeight, kWidth, NULL, 0, &found) == D2D_OK);
  CHECK(same_prediction(found, wanted)); /* the size that the detector gives the picture is its own */
  d2d_prediction_free(found);
  free(planes);
}

static void check_batches(const d2d_prediction* wanted) {
  static uint8_t other[kBytes];
  d2d_options options = quick_options(kHeight);
  options.mode = D2D_THROUGHPUT;
  options.threads = 2;
  d2d_detector* detector = NULL;
  d2d_prediction *all[3] = {NULL, NULL, NULL}, *alone = NULL;
  draw_squares(other, 7);
  d2d_image images[3] = {picture(), picture(), picture()};
  images[1].data = other;
  REQUIRE(d2d_detector_load(model_folder, &options, &detector));
  d2d_facts facts = {.struct_size = sizeof facts};
  CHECK(d2d_detector_facts(detector, &facts) == D2D_OK && facts.streams == 2 && facts.threads == 1);
  CHECK(d2d_detector_predict_batch(detector, images, 3, all) == D2D_OK);
  CHECK(d2d_detector_predict(detector, &images[1], &alone) == D2D_OK);
  CHECK(same_prediction(all[0], wanted) && same_prediction(all[2], wanted) && same_prediction(all[1], alone));
  CHECK(!same_prediction(all[0], all[1]));
  CHECK(d2d_detector_predict_batch(detector, NULL, 0, NULL) == D2D_OK);
  for (int i = 0; i < 3; ++i) d2d_prediction_free(all[i]);
  d2d_prediction_free(alone);
  images[1].height = 0;
  REFUSES(d2d_detector_predict_batch(detector, images, 3, all), D2D_INVALID_ARGUMENT, "image 1: the image is empty");
  CHECK(all[0] == NULL && all[1] == NULL && all[2] == NULL);
  images[2].bytes = 5;
  REFUSES(d2d_detector_predict_batch(detector, images, 3, all), D2D_INVALID_ARGUMENT, "image 2: the image has 5 bytes");
  REFUSES(d2d_detector_predict_batch(detector, images, -1, all), D2D_INVALID_ARGUMENT, "count is -1");
  REFUSES(d2d_detector_predict_batch(detector, NULL, 1, all), D2D_INVALID_ARGUMENT, "images is NULL");
  REFUSES(d2d_detector_predict_batch(detector, images, 1, NULL), D2D_INVALID_ARGUMENT, "predictions is NULL");
  d2d_detector_free(detector);
}

static void check_facts(const d2d_detector* detector) {
  d2d_facts facts = {.struct_size = sizeof facts};
  CHECK(d2d_detector_facts(detector, &facts) == D2D_OK && facts.struct_size == sizeof facts);
  CHECK(strcmp(facts.device, "cpu") == 0 && strcmp(facts.precision, "float32") == 0);
  CHECK(strcmp(facts.engine, "native") == 0 && strcmp(facts.meta_architecture, "GeneralizedRCNN") == 0);
  CHECK(facts.threads == 1 && facts.streams == 1);
  d2d_input input = {.struct_size = sizeof input};
  CHECK(d2d_detector_input(detector, &input) == D2D_OK && input.order == D2D_BGR && input.channels == 3);
  CHECK(input.min_size == kHeight && input.max_size == 320 && input.takes_proposals == 0);
  CHECK(input.size_divisibility == 32 && input.square_size == 0);
  CHECK(input.pixel_mean[0] == 123 && input.pixel_mean[1] == 117 && input.pixel_mean[2] == 104);
  const char* const* names = (const char* const*)pixels;
  int64_t count = 7;
  CHECK(d2d_detector_class_names(detector, &names, &count) == D2D_OK && names == NULL && count == 0);
  CHECK(d2d_detector_stuff_class_names(detector, &names, &count) == D2D_OK && names == NULL && count == 0);
}

/* Structs of later versions of c.h: what is not known stays as it is, or is refused where it is set. */
static void check_larger_structs(void) {
  struct {
    d2d_options options;
    int64_t later;
  } larger = {quick_options(kHeight), 0};
  larger.options.struct_size = sizeof larger;
  d2d_detector* detector = NULL;
  REQUIRE(d2d_detector_load(model_folder, &larger.options, &detector));
  struct {
    d2d_facts facts;
    int64_t later;
  } facts = {{.struct_size = sizeof facts}, 5};
  CHECK(d2d_detector_facts(detector, &facts.facts) == D2D_OK && facts.facts.streams == 1 && facts.later == 5);
  d2d_detector_free(detector);
  larger.later = 1;
  REFUSES(d2d_detector_load(model_folder, &larger.options, &detector), D2D_UNSUPPORTED, "does not know");
}

void test_predictions(void) {
  const d2d_options options = quick_options(kHeight);
  const d2d_image image = picture();
  d2d_detector* detector = NULL;
  d2d_prediction* found = NULL;
  draw_squares(pixels, 1);
  REQUIRE(d2d_detector_load(model_folder, &options, &detector));
  REQUIRE(d2d_detector_predict(detector, &image, &found));
  check_facts(detector);
  check_other_views(detector, found);
  check_resized(detector, found);
  CHECK(d2d_detector_free(detector) == D2D_OK);
  check_found(found); /* which outlives the detector */
  check_absent(found);
  check_batches(found);
  CHECK(d2d_prediction_free(found) == D2D_OK);
  check_larger_structs();
}
