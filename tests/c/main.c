/* c_api_test FOLDER [errors|predictions|session|sharing]: tests of the C ABI on the example model in FOLDER. */
#include <stdio.h>
#include <string.h>

#include "test.h"

const char* model_folder;
int failures = 0;

void fail_at(const char* file, int line, const char* what) {
  fprintf(stderr, "%s:%d: %s\n", file, line, what);
  ++failures;
}

void check_refusal(const char* file, int line, d2d_status found, d2d_status wanted, const char* text) {
  if (found == wanted && d2d_last_status() == wanted && strstr(d2d_last_message(), text) != NULL) return;
  fprintf(stderr, "%s:%d: status %d (%s), wanted %d; message '%s', wanted '%s'\n", file, line, (int)found,
          d2d_status_name(found), (int)wanted, d2d_last_message(), text);
  ++failures;
}

d2d_options quick_options(int64_t min_size) {
  d2d_options options = {.struct_size = sizeof options, .threads = 1, .min_size = min_size, .max_size = 320};
  return options;
}

int same_prediction(const d2d_prediction* a, const d2d_prediction* b) {
  const float *boxes[2], *scores[2];
  const int64_t* classes[2];
  d2d_tensor masks[2];
  int64_t count[2], columns[2];
  const d2d_prediction* both[2] = {a, b};
  for (int i = 0; i < 2; ++i)
    if (d2d_prediction_count(both[i], &count[i]) || d2d_prediction_boxes(both[i], &boxes[i], &columns[i]) ||
        d2d_prediction_scores(both[i], &scores[i]) || d2d_prediction_classes(both[i], &classes[i]) ||
        d2d_prediction_masks(both[i], &masks[i]))
      return 0;
  const size_t n = (size_t)count[0];
  return count[0] == count[1] && n > 0 && columns[0] == 4 && columns[1] == 4 &&
         memcmp(boxes[0], boxes[1], n * 4 * sizeof(float)) == 0 &&
         memcmp(scores[0], scores[1], n * sizeof(float)) == 0 &&
         memcmp(classes[0], classes[1], n * sizeof(int64_t)) == 0 && masks[0].bytes == masks[1].bytes &&
         memcmp(masks[0].data, masks[1].data, masks[0].bytes) == 0;
}

int main(int argc, char** argv) {
  static const struct {
    const char* name;
    void (*run)(void);
  } tests[] = {
      {"errors", test_errors}, {"predictions", test_predictions}, {"session", test_session}, {"sharing", test_sharing}};
  int ran = 0;
  if (argc > 1) model_folder = argv[1];
  for (size_t i = 0; argc > 1 && i < sizeof tests / sizeof *tests; ++i) {
    if (argc > 2 && strcmp(argv[2], tests[i].name) != 0) continue;
    const int before = failures;
    tests[i].run();
    printf("%s: %s\n", tests[i].name, failures == before ? "ok" : "FAILED");
    ++ran;
  }
  if (ran == 0) {
    fprintf(stderr, "usage: c_api_test FOLDER [errors|predictions|session|sharing]\n");
    return 2;
  }
  return failures == 0 ? 0 : 1;
}
