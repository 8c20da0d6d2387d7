/* c_consumer MODEL_FOLDER: objects in a gray picture, and an error of the library that is known by its status. */
#include <d2deploy/c.h>
#include <stdio.h>
#include <string.h>

int main(int argc, char** argv) {
  static unsigned char gray[320 * 480];
  memset(gray, 128, sizeof gray);
  const d2d_image image = {.data = gray, .bytes = sizeof gray, .height = 320, .width = 480, .order = D2D_GRAY};
  d2d_detector* detector = NULL;
  d2d_prediction* found = NULL;
  int64_t count = 0;
  if (argc != 2) return fprintf(stderr, "usage: c_consumer MODEL_FOLDER\n"), 2;
  if (d2d_detector_load(argv[1], NULL, &detector) || d2d_detector_predict(detector, &image, &found) ||
      d2d_prediction_count(found, &count) || d2d_prediction_free(found) || d2d_detector_free(detector))
    return fprintf(stderr, "%s\n", d2d_last_message()), 1;
  printf("d2deploy %s, ABI version %d: %d objects\n", d2d_version(), (int)d2d_abi_version(), (int)count);
  if (d2d_detector_load("no such folder", NULL, &detector) != D2D_INVALID_ARGUMENT) return 1;
  printf("refused: %s\n", d2d_last_message());
  return 0;
}
