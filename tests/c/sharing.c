/* One detector in several threads, and hundreds of detectors one after the other. */
#include <malloc.h>
#include <pthread.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "picture.h"
#include "test.h"

enum { kThreads = 4, kRuns = 3 };

static uint8_t pixels[kBytes];

static d2d_image picture(void) {
  const d2d_image image = {.data = pixels, .bytes = kBytes, .height = kHeight, .width = kWidth};
  return image;
}

typedef struct caller {
  const d2d_detector* detector;
  const d2d_prediction* wanted;
  int number, wrong;
} caller;

/* Predicts, and makes errors of its own in between, which are not those of the others. */
static void* run_caller(void* argument) {
  caller* self = argument;
  char message[64];
  d2d_image bad = picture();
  bad.height = -self->number;
  snprintf(message, sizeof message, "the image is empty: %d x %d pixels", -self->number, kWidth);
  self->wrong += d2d_last_status() != D2D_OK;
  for (int run = 0; run < kRuns; ++run) {
    const d2d_image good = picture();
    d2d_prediction* found = NULL;
    self->wrong += d2d_detector_predict(self->detector, &bad, &found) != D2D_INVALID_ARGUMENT;
    self->wrong +=
        d2d_detector_predict(self->detector, &good, &found) != D2D_OK || !same_prediction(found, self->wanted);
    self->wrong += d2d_prediction_free(found) != D2D_OK;
    self->wrong += strstr(d2d_last_message(), message) == NULL;
  }
  return NULL;
}

static void check_threads(const d2d_detector* detector, const d2d_prediction* wanted) {
  pthread_t threads[kThreads];
  caller callers[kThreads];
  for (int i = 0; i < kThreads; ++i) {
    const caller made = {detector, wanted, i + 1, 0};
    callers[i] = made;
    CHECK(pthread_create(&threads[i], NULL, run_caller, &callers[i]) == 0);
  }
  for (int i = 0; i < kThreads; ++i) {
    CHECK(pthread_join(threads[i], NULL) == 0);
    CHECK(callers[i].wrong == 0);
  }
}

/* What is allocated, by the C library's own count, and what the process has of the memory. */
static size_t heap_bytes(void) {
  const struct mallinfo2 info = mallinfo2();
  return info.uordblks + info.hblkhd;
}
static size_t resident_bytes(void) {
  unsigned long size = 0, resident = 0;
  FILE* file = fopen("/proc/self/statm", "r");
  if (file == NULL) return 0;
  if (fscanf(file, "%lu %lu", &size, &resident) != 2) resident = 0;
  fclose(file);
  return (size_t)resident * (size_t)sysconf(_SC_PAGESIZE);
}

static void load_and_free(int predicts) {
  const d2d_options options = quick_options(32);
  const d2d_image image = picture();
  d2d_detector* detector = NULL;
  d2d_prediction* found = NULL;
  d2d_model* model = NULL;
  d2d_session* session = NULL;
  REQUIRE(d2d_detector_load(model_folder, &options, &detector));
  if (predicts) CHECK(d2d_detector_predict(detector, &image, &found) == D2D_OK);
  CHECK(d2d_prediction_free(found) == D2D_OK && d2d_detector_free(detector) == D2D_OK);
  REFUSES(d2d_detector_load("no such folder", &options, &detector), D2D_INVALID_ARGUMENT, "no such folder");
  if (!predicts) return;
  REQUIRE(d2d_model_load(model_folder, &options, &model));
  CHECK(d2d_session_create(model, &session) == D2D_OK);
  CHECK(d2d_model_free(model) == D2D_OK && d2d_session_free(session) == D2D_OK);
}

/* A detector that stayed would be megabytes each time. */
static void check_memory(void) {
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
  const int loads = 12; /* leaks are found by the sanitizer, which keeps what is freed for a while */
  const size_t most = (size_t)1 << 40;
#else
  const int loads = 200;
  const size_t most = 16 << 20;
#endif
  for (int i = 0; i < 10; ++i) load_and_free(1);
  const size_t heap = heap_bytes(), resident = resident_bytes();
  for (int i = 0; i < loads; ++i) load_and_free(i % 10 == 0);
  const size_t heap_after = heap_bytes(), resident_after = resident_bytes();
  if (heap_after > heap + (64 << 10) || resident_after > resident + most) {
    fprintf(stderr, "%d loads: heap %zu -> %zu bytes, resident %zu -> %zu\n", loads, heap, heap_after, resident,
            resident_after);
    fail_at(__FILE__, __LINE__, "memory grows");
  }
}

static int warnings = 0;
static void count_message(int32_t level, const char* text, void* context) {
  warnings += level == D2D_LOG_WARNING;
  *(size_t*)context += strlen(text);
}

static void check_log(void) {
  size_t length = 0;
  d2d_options options = quick_options(32);
  d2d_detector* detector = NULL;
  options.log = count_message;
  options.log_context = &length;
  REQUIRE(d2d_detector_load(model_folder, &options, &detector));
  CHECK(length > 100 && warnings == 0);
  CHECK(d2d_detector_free(detector) == D2D_OK);
}

void test_sharing(void) {
  const d2d_options options = quick_options(32);
  const d2d_image image = picture();
  d2d_detector* detector = NULL;
  d2d_prediction* wanted = NULL;
  draw_squares(pixels, 1);
  REQUIRE(d2d_detector_load(model_folder, &options, &detector));
  REQUIRE(d2d_detector_predict(detector, &image, &wanted));
  check_threads(detector, wanted);
  CHECK(d2d_prediction_free(wanted) == D2D_OK);
  CHECK(d2d_detector_free(detector) == D2D_OK);
  check_memory();
  check_log();
}
