/* The C interface of libd2deploy_caffe2.so: the real Caffe2, inside libtorch, as an engine to compare with.
 *
 * Plain C, since libtorch 1.10 and its protobuf cannot share a C++ interface with the rest of the program: it uses the
 * C++ ABI of before 2011 and other versions of the same libraries. The program loads this library with dlopen. */
#pragma once
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

#define D2DEPLOY_CAFFE2_ABI 1 /* changes when this file does */

enum { d2deploy_caffe2_max_rank = 8 };
enum d2deploy_caffe2_dtype {
  d2deploy_caffe2_float32,
  d2deploy_caffe2_int32,
  d2deploy_caffe2_int64,
  d2deploy_caffe2_uint8
};

typedef struct {
  const char* name; /* of the blob */
  int32_t dtype;    /* d2deploy_caffe2_dtype */
  int32_t rank;
  int64_t dims[d2deploy_caffe2_max_rank];
  const void* data; /* row-major, host memory */
} d2deploy_caffe2_tensor;

typedef struct d2deploy_caffe2_engine d2deploy_caffe2_engine;

/* All functions return null or a number other than 0 where they fail; d2deploy_caffe2_error() then says why, in
 * Caffe2's own words. The text is valid until the calling thread's next call. */
int32_t d2deploy_caffe2_abi(void);
const char* d2deploy_caffe2_error(void);

/* Loads both nets (CPU operators only) and runs the init net. `inputs`: the `count` blobs that run will be given.
 * `threads`: of Caffe2's loops; 0: leave it. `global_init`: whether Caffe2's GlobalInit runs first, as in its own
 * example programs; once per process. */
d2deploy_caffe2_engine* d2deploy_caffe2_load(const char* predict_net, const char* init_net, const char* const* inputs,
                                             int32_t count, int32_t threads, int32_t global_init);

/* Copies the inputs into the engine and runs the net. */
int32_t d2deploy_caffe2_run(d2deploy_caffe2_engine* engine, const d2deploy_caffe2_tensor* inputs, int32_t count);

/* A view of a blob that the last run made; valid until the next run. */
int32_t d2deploy_caffe2_output(d2deploy_caffe2_engine* engine, const char* name, d2deploy_caffe2_tensor* output);

void d2deploy_caffe2_free(d2deploy_caffe2_engine* engine);

#ifdef __cplusplus
}
#endif
