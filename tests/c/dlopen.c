/* c_dlopen_test LIBRARY FOLDER: a caller that has no header of the library, as one in another language: it knows the
   names of functions, numbers, and where things lie in structs. What stands here must never have to change. */
#define _GNU_SOURCE /* dlvsym */
#include <dlfcn.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include "picture.h"

static void* library;

/* Of a function, into the pointer at `variable`: ISO C converts no address of an object to one of a function, where
   POSIX has the same bytes. */
static int find(const char* name, void* variable) {
  void* address = dlvsym(library, name, "D2DEPLOY_C_1");
  if (address == NULL) fprintf(stderr, "%s\n", dlerror());
  memcpy(variable, &address, sizeof address);
  return address != NULL;
}

static void put(unsigned char* at, const void* value, size_t bytes) { memcpy(at, value, bytes); }

int main(int argc, char** argv) {
  static uint8_t pixels[kBytes], mask[kHeight * kWidth];
  if (argc != 3 || (library = dlopen(argv[1], RTLD_NOW | RTLD_LOCAL)) == NULL) {
    fprintf(stderr, "usage: c_dlopen_test LIBRARY FOLDER; %s\n", argc == 3 ? dlerror() : "two arguments are wanted");
    return 2;
  }
  int32_t (*load)(const char*, const void*, void**);
  int32_t (*predict)(const void*, const void*, void**);
  int32_t (*count_of)(const void*, int64_t*);
  int32_t (*boxes_of)(const void*, const float**, int64_t*);
  int32_t (*mask_of)(const void*, int64_t, float, uint8_t*, size_t);
  int32_t (*free_prediction)(void*);
  int32_t (*free_detector)(void*);
  const char* (*last_message)(void);
  int32_t (*abi_version)(void);
  if (!find("d2d_detector_load", &load) || !find("d2d_detector_predict", &predict) ||
      !find("d2d_prediction_count", &count_of) || !find("d2d_prediction_boxes", &boxes_of) ||
      !find("d2d_prediction_mask", &mask_of) || !find("d2d_prediction_free", &free_prediction) ||
      !find("d2d_detector_free", &free_detector) || !find("d2d_last_message", &last_message) ||
      !find("d2d_abi_version", &abi_version))
    return 1;

  unsigned char options[144] = {0}, image[48] = {0};
  const size_t options_bytes = sizeof options, bytes = sizeof pixels;
  const int64_t min_size = kHeight, max_size = 320, height = kHeight, width = kWidth;
  const int32_t threads = 1, bgr = 1;
  const uint8_t* data = pixels;
  put(options, &options_bytes, 8);
  put(options + 80, &threads, 4);
  put(options + 128, &min_size, 8);
  put(options + 136, &max_size, 8);
  put(image, &data, 8);
  put(image + 8, &bytes, 8);
  put(image + 16, &height, 8);
  put(image + 24, &width, 8);
  put(image + 44, &bgr, 4);

  void *detector = NULL, *found = NULL;
  int64_t count = 0, columns = 0, pixels_of_all = 0;
  const float* boxes = NULL;
  draw_squares(pixels, 1);
  if (abi_version() < 1 || load(argv[2], options, &detector) != 0 || predict(detector, image, &found) != 0 ||
      count_of(found, &count) != 0 || boxes_of(found, &boxes, &columns) != 0) {
    fprintf(stderr, "%s\n", last_message());
    return 1;
  }
  for (int64_t i = 0; i < count; ++i) {
    if (mask_of(found, i, 0.5f, mask, sizeof mask) != 0) return fprintf(stderr, "%s\n", last_message()), 1;
    for (size_t p = 0; p < sizeof mask; ++p) pixels_of_all += mask[p];
  }
  printf("%d objects, the first at %g %g %g %g, %d pixels in all masks\n", (int)count, boxes[0], boxes[1], boxes[2],
         boxes[3], (int)pixels_of_all);
  if (count < 4 || columns != 4 || pixels_of_all < 1000) return 1;
  if (free_prediction(found) != 0 || load("no such folder", options, &found) != 1 ||
      strstr(last_message(), "no such folder") == NULL)
    return 1;
  return free_detector(detector) != 0;
}
