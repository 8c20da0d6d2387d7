// d2deploy in plain C (C99), for programs in any language: from pictures to predictions, and the net alone.
//
//   d2d_options options = {.struct_size = sizeof options, .threads = 2};
//   d2d_detector* detector = NULL;
//   d2d_prediction* found = NULL;
//   d2d_image image = {.data = bgr, .bytes = bytes, .height = height, .width = width};
//   if (d2d_detector_load("model", &options, &detector) || d2d_detector_predict(detector, &image, &found))
//     return fprintf(stderr, "%s\n", d2d_last_message()), 1;
//
// *Pictures* are bytes of pixels in memory. The library reads no picture files: decode JPEG, PNG and the like yourself.
//
// *Status.* Functions that can fail return a d2d_status; d2d_last_message says what was found, what was wanted and the
// way out. No exception leaves a function. What a failed function would have given is NULL, or 0, or as it was.
//
// *Handles* (d2d_detector, d2d_prediction, d2d_polygons, d2d_model, d2d_session) are opaque. Who gets one by a pointer
// to a pointer owns it, and frees it, once, by the function of its kind; NULL may be freed. No handle needs another one
// to stay: predictions outlive their detector, sessions their model. NULL and handles of another kind are refused; what
// is no handle, or freed already, must not be given.
//
// *Pointers* that functions give are into the handle's memory: they stay valid until it is freed (those of a session:
// until its next run), and are never freed themselves. Of what a model does not have they are NULL and counts 0. What
// callers give is read during the call alone, and copied where it is kept, but for `log` of d2d_options.
//
// *Threads* may share a handle and call any functions with it at the same time, with three exceptions: a session serves
// one thread at a time, whoever frees a handle must be the last who uses it, and so must be whoever ends what `log`
// uses. A process may fork while no other thread is inside of a call; then both processes go on.
//
// *Compatibility.* What stands here stays: symbols, their parameters, values, the layout of structs. New functions come
// with a larger D2D_ABI_VERSION and under a symbol version of their own, so a program runs with every library whose
// d2d_abi_version() is at least that of the header it was compiled with. Structs that begin with `struct_size` may grow
// at their end: set it to the sizeof of the one you know, and all that you do not know, or do not set, to 0, which
// means the default. The library's file name has the minor version in it, for the sake of C++: a program that is to run
// with later ones opens it by dlopen, or is linked anew. Programs of 64 bits alone are served. Texts are UTF-8, or
// bytes as they stand in a model's file.
#ifndef D2DEPLOY_C_H
#define D2DEPLOY_C_H

// NOLINTBEGIN: names and types as C has them
#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

#ifdef __GNUC__
#define D2D_API __attribute__((visibility("default")))
#else
#define D2D_API
#endif

#define D2D_ABI_VERSION 1

/// What became of a call. The last digit is the exit code that the programs of this project give it (README.md).
typedef int32_t d2d_status;
enum {
  D2D_OK = 0,
  D2D_INVALID_ARGUMENT = 1,   ///< the call is wrong: a pointer, a size, an option, a file that cannot be opened
  D2D_INVALID_MODEL = 2,      ///< the model's file is wrong: damaged, inconsistent, or not a model
  D2D_DEVICE_ERROR = 3,       ///< the device failed: lost, or not present
  D2D_BUFFER_TOO_SMALL = 11,  ///< the caller's buffer is; the message says what is needed
  D2D_UNSUPPORTED = 12,       ///< right, but not available here: an operator, a device, a precision
  D2D_INTERNAL_ERROR = 13,    ///< a fault of this library; please report it
  D2D_OUT_OF_MEMORY = 23      ///< the memory, of host or device, does not suffice
};

/// "0.1.0", that of the whole project.
D2D_API const char* d2d_version(void);
/// The D2D_ABI_VERSION that the library has.
D2D_API int32_t d2d_abi_version(void);
/// "out of memory" for D2D_OUT_OF_MEMORY, and so on; "unknown status" for other numbers. Valid for good.
D2D_API const char* d2d_status_name(d2d_status status);
/// Status and message of the last call of this thread that failed; D2D_OK and "" before there was one. Calls that
/// succeed leave them. The message is valid until the next call of this thread that fails. Where threads are not your
/// own (goroutines, tasks), bind them to one from the call to here.
D2D_API d2d_status d2d_last_status(void);
D2D_API const char* d2d_last_message(void);

// ---- Options ----------------------------------------------------------------------------------------

typedef struct d2d_detector d2d_detector;
typedef struct d2d_prediction d2d_prediction;
typedef struct d2d_polygons d2d_polygons;
typedef struct d2d_model d2d_model;
typedef struct d2d_session d2d_session;

enum {
  D2D_LOG_DEBUG = 0,   ///< which pass changed what, which kernel was refused and why
  D2D_LOG_WARNING = 1  ///< something odd that does not stop the model, as a precision that the CPU is not fast in
};
/// `text` is valid during the call alone. Comes from inside of calls of the model or detector, in their threads, which
/// may be several at a time. It must return (no exception, no longjmp), and not call functions with the same handle.
typedef void (*d2d_log_function)(int32_t level, const char* text, void* log_context);

enum {
  D2D_LATENCY = 0,    ///< a prediction has all threads: the soonest answer
  D2D_THROUGHPUT = 1  ///< a prediction has one thread, and many run at the same time: the most pictures per second
};

/// What the channels of a picture are.
enum {
  D2D_ORDER_DEFAULT = 0,  ///< of options: what the model's file says; of a picture: gray with 1 channel, else BGR
  D2D_BGR = 1,
  D2D_RGB = 2,
  D2D_GRAY = 3,  ///< one channel of luminance
  D2D_AS_IS = 4  ///< any number of channels, which mean what the model takes them for
};

enum {
  D2D_BY_SCORE = 0,   ///< by falling score, equal ones as in the file: Detectron2's
  D2D_AS_IN_FILE = 1  ///< as the net gives them, which may be class by class: Caffe2's
};

enum {
  D2D_KEEP_SIZE = -1  ///< `min_size`: pictures are not resized
};

/// All 0 but `struct_size` is the default; so is a NULL in place of the struct. Flags are 0 or 1.
typedef struct d2d_options {
  size_t struct_size;          ///< sizeof(d2d_options)
  const char* device;          ///< "cpu" (NULL); an NVIDIA GPU: "cuda", "cuda:1"
  const char* precision;       ///< "float32" (NULL), "bfloat16", "int8"; on a GPU "tf32", "float16", "bfloat16"
  const char* calibration;     ///< int8: the file of `d2deploy calibrate`. NULL: calibration.txt beside the net
  const char* engine;          ///< "native" (NULL), or "caffe2": the real Caffe2, to compare with
  const char* caffe2_library;  ///< engine caffe2: its library. NULL: as the environment says, or where it is built
  const char* kernels;         ///< kernels to use, as "Conv=direct_f32". NULL: those of D2DEPLOY_KERNELS, or the best
  d2d_log_function log;        ///< NULL: silence
  void* log_context;           ///< what `log` is given
  int64_t max_tensor_bytes;    ///< no tensor may be larger; 0: 4 GiB
  int32_t threads;             ///< of one run, at most 4096; 0: as many as the process may use
  int32_t low_memory;          ///< weights are kept in no form larger than in the file: less memory, less speed
  int32_t tune;             ///< GPU: several ways to compute each convolution are tried out, which takes some seconds
  int32_t as_in_file;       ///< no optimisation: the nodes run as they stand in the file
  int32_t own_class_masks;  ///< the net gives the masks of each detection's class alone; detectors always ask for it

  // Of detectors; models do not read them.
  int32_t mode;           ///< D2D_LATENCY, D2D_THROUGHPUT
  int32_t order;          ///< of the model's channels, where the file does not say it, or says what you do not want
  int32_t row_order;      ///< D2D_BY_SCORE, D2D_AS_IN_FILE
  int32_t pad_with_zero;  ///< Caffe2's way: black pixels, where Detectron2's are as the mean
  int32_t caffe2_scale;   ///< im_info's scale is height wanted / height given, as in Detectron2's wrapper, and not 1
  int32_t sem_seg;        ///< predictions keep the semantic logits
  int32_t keypoint_maps;  ///< predictions keep the heat maps
  int64_t min_size;       ///< the shorter side is resized to it; 0: what the file says; or D2D_KEEP_SIZE
  int64_t max_size;       ///< no side becomes longer; 0: what the file says
  int64_t max_batch;      ///< GPU: pictures of one size that go through the net together if they come while it is busy
                          ///< (0: 1)
} d2d_options;

// ---- From pictures to predictions -------------------------------------------------------------------

/// A picture in memory: rows of interleaved 8-bit pixels, from the top.
typedef struct d2d_image {
  const uint8_t* data;
  size_t bytes;  ///< how many may be read at `data`: at least (height - 1) * row_bytes + width * channels
  int64_t height;
  int64_t width;
  int64_t row_bytes;  ///< from a row to the next one; 0: width * channels
  int32_t channels;   ///< 0: 3, or 1 where `order` is D2D_GRAY
  int32_t order;      ///< D2D_ORDER_DEFAULT, D2D_BGR, ...
} d2d_image;

enum {
  D2D_FLOAT32 = 1,
  D2D_BFLOAT16 = 2,
  D2D_FLOAT16 = 3,
  D2D_INT8 = 4,
  D2D_UINT8 = 5,
  D2D_INT32 = 6,
  D2D_INT64 = 7,
  D2D_BOOL = 8  ///< one byte, 0 or 1
};
#define D2D_MAX_RANK 8

/// Elements in host memory, row-major.
typedef struct d2d_tensor {
  const char* name;  ///< of the blob; NULL where it has none
  const void* data;  ///< may be NULL where there are no elements
  size_t bytes;      ///< how many may be read at `data`: at least those of all elements
  int32_t dtype;
  int32_t rank;                 ///< 0 (one element) to D2D_MAX_RANK
  int64_t shape[D2D_MAX_RANK];  ///< the first `rank` count
} d2d_tensor;

/// A folder with model.pb and model_init.pb, or these two files by name. `options` may be NULL.
/// D2D_INVALID_ARGUMENT: options, or a file that cannot be opened; D2D_INVALID_MODEL, with all faults of the files at
/// once where that is possible; D2D_UNSUPPORTED: operators that are not there, all of them, a device, a precision, or
/// outputs that are not a detector's (d2d_model_load takes them).
D2D_API d2d_status d2d_detector_load(const char* folder, const d2d_options* options, d2d_detector** detector);
D2D_API d2d_status d2d_detector_load_files(const char* predict_net, const char* init_net, const d2d_options* options,
                                           d2d_detector** detector);
D2D_API d2d_status d2d_detector_free(d2d_detector* detector);

/// What a model was loaded as. The functions fill as much of it as `struct_size` says, which you set.
typedef struct d2d_facts {
  size_t struct_size;             ///< sizeof(d2d_facts)
  const char* device;             ///< "cpu", "cuda:0"
  const char* precision;          ///< what it runs in, which on some CPUs is not what was asked for
  const char* engine;             ///< "native", "caffe2"
  const char* meta_architecture;  ///< "GeneralizedRCNN", "RetinaNet", ...
  int32_t threads;                ///< of one run
  int32_t streams;                ///< predictions that should run at the same time: 1, in D2D_THROUGHPUT the threads
} d2d_facts;
D2D_API d2d_status d2d_detector_facts(const d2d_detector* detector, d2d_facts* facts);

/// What a detector makes of a picture before the net gets it.
typedef struct d2d_input {
  size_t struct_size;       ///< sizeof(d2d_input)
  const float* pixel_mean;  ///< of each channel: what pictures are padded with
  int64_t channels;
  int64_t min_size;           ///< the shorter side is resized to it; 0: pictures keep their size
  int64_t max_size;           ///< no side becomes longer
  int64_t size_divisibility;  ///< sides are padded to multiples of it; 0 or 1: not padded
  int32_t order;              ///< of channels: D2D_BGR, ...
  int32_t takes_proposals;    ///< 1: the model finds no proposals itself, but is given them with each picture
  int64_t square_size;        ///< both sides are padded to it, and none may be longer; 0: there is no such size
} d2d_input;
D2D_API d2d_status d2d_detector_input(const d2d_detector* detector, d2d_input* input);

/// Names of the classes by number, where the file has them; those of the semantic map of a panoptic model.
D2D_API d2d_status d2d_detector_class_names(const d2d_detector* detector, const char* const** names, int64_t* count);
D2D_API d2d_status d2d_detector_stuff_class_names(const d2d_detector* detector, const char* const** names,
                                                  int64_t* count);

/// Resizes a picture as the model wants it, brings its channels into the model's order (gray pictures serve models of
/// three channels, and those of three channels gray models), and predicts.
D2D_API d2d_status d2d_detector_predict(const d2d_detector* detector, const d2d_image* image,
                                        d2d_prediction** prediction);
/// One prediction for each of `count` pictures, into as many pointers at `predictions`; with D2D_THROUGHPUT several at
/// the same time. Each is what the picture alone gets. All are NULL where one fails.
D2D_API d2d_status d2d_detector_predict_batch(const d2d_detector* detector, const d2d_image* images, int64_t count,
                                              d2d_prediction** predictions);
/// Of a model that takes proposals: `count` boxes of x1 y1 x2 y2 in pixels of the picture. They are resized with it,
/// cut to it, and left out where nothing remains. `boxes` is not NULL, even where count is 0.
D2D_API d2d_status d2d_detector_predict_proposals(const d2d_detector* detector, const d2d_image* image,
                                                  const float* boxes, int64_t count, d2d_prediction** prediction);
/// Of a picture that is resized already: (C, H, W) float32 or uint8, 0 to 255, with the model's channels in its order.
/// Predictions are for a picture of height x width pixels. `boxes` are in pixels of the resized picture, and NULL where
/// the model finds its proposals itself.
D2D_API d2d_status d2d_detector_predict_resized(const d2d_detector* detector, const d2d_tensor* image, int64_t height,
                                                int64_t width, const float* boxes, int64_t count,
                                                d2d_prediction** prediction);

// ---- What was found ---------------------------------------------------------------------------------

D2D_API d2d_status d2d_prediction_free(d2d_prediction* prediction);

/// Of the picture, in pixels, as all that follows.
D2D_API d2d_status d2d_prediction_size(const d2d_prediction* prediction, int64_t* height, int64_t* width);
/// Detections, or the proposals of a model that makes no more.
D2D_API d2d_status d2d_prediction_count(const d2d_prediction* prediction, int64_t* count);
/// `columns` numbers for each detection: 4, x1 y1 x2 y2, ends exclusive; or 5: centre x y, width, height, degrees.
D2D_API d2d_status d2d_prediction_boxes(const d2d_prediction* prediction, const float** boxes, int64_t* columns);
/// One for each detection, from 0 to 1; logits of proposals.
D2D_API d2d_status d2d_prediction_scores(const d2d_prediction* prediction, const float** scores);
/// One for each detection, from 0; NULL for proposals.
D2D_API d2d_status d2d_prediction_classes(const d2d_prediction* prediction, const int64_t** classes);

/// The mask of detection `i` at the size of the picture: height * width bytes, row by row, 1 where its probability is
/// at least `threshold` (in [0, 1], usually 0.5), else 0. `bytes` is the size of the caller's buffer. All functions of
/// masks: D2D_INVALID_ARGUMENT where there is no such detection, or the model gives no masks.
D2D_API d2d_status d2d_prediction_mask(const d2d_prediction* prediction, int64_t i, float threshold, uint8_t* mask,
                                       size_t bytes);
/// The same mask as COCO's run-length code, `counts` in COCO's files: characters and a 0 behind them, into the caller's
/// buffer of `bytes`. `needed`, which may be NULL, is set to the bytes of both, also with D2D_BUFFER_TOO_SMALL; with
/// `text` NULL and `bytes` 0 it is all that is asked for.
D2D_API d2d_status d2d_prediction_mask_rle(const d2d_prediction* prediction, int64_t i, float threshold, char* text,
                                           size_t bytes, size_t* needed);
/// The same mask as polygons around its parts, as COCO has them: without holes.
D2D_API d2d_status d2d_prediction_mask_polygons(const d2d_prediction* prediction, int64_t i, float threshold,
                                                d2d_polygons** polygons);
D2D_API d2d_status d2d_polygons_free(d2d_polygons* polygons);
D2D_API d2d_status d2d_polygons_count(const d2d_polygons* polygons, int64_t* count);
/// The corners of polygon `i`: x1 y1 x2 y2 ..., 2 * `corners` numbers.
D2D_API d2d_status d2d_polygons_get(const d2d_polygons* polygons, int64_t i, const int32_t** xy, int64_t* corners);
/// All masks as the net gives them: (count, S, S) float32 probabilities inside of the boxes.
D2D_API d2d_status d2d_prediction_masks(const d2d_prediction* prediction, d2d_tensor* masks);

typedef struct d2d_keypoint {
  float x, y;
  float logit;        ///< the height of the peak
  float probability;  ///< exp(logit) over the sum of exp of the whole heat map, as it was before it is resized
} d2d_keypoint;
/// `per_detection` for each detection, all of the first one first.
D2D_API d2d_status d2d_prediction_keypoints(const d2d_prediction* prediction, const d2d_keypoint** keypoints,
                                            int64_t* per_detection);
/// (count, K, S, S) float32 logits, where d2d_options asked for them.
D2D_API d2d_status d2d_prediction_keypoint_maps(const d2d_prediction* prediction, d2d_tensor* maps);

/// A part of a panoptic map.
typedef struct d2d_segment {
  int64_t category_id;  ///< things: the class; stuff: the class of the semantic map
  int64_t instance_id;  ///< things: which detection; stuff: -1
  int64_t area;         ///< pixels of the map
  float score;          ///< of things
  int32_t id;           ///< in the map, from 1
  int32_t is_thing;
  int32_t reserved;  ///< 0
} d2d_segment;
/// Of a panoptic model: height * width ids of segments, row by row, 0 where there is none; and the segments.
D2D_API d2d_status d2d_prediction_panoptic_map(const d2d_prediction* prediction, const int32_t** map);
D2D_API d2d_status d2d_prediction_segments(const d2d_prediction* prediction, const d2d_segment** segments,
                                           int64_t* count);
/// Of a model that tells the class of pixels alone: height * width classes, row by row.
D2D_API d2d_status d2d_prediction_class_map(const d2d_prediction* prediction, const int32_t** map);
/// (classes, height, width) float32 logits, where d2d_options asked for them.
D2D_API d2d_status d2d_prediction_sem_seg(const d2d_prediction* prediction, d2d_tensor* logits);

// ---- The net alone ----------------------------------------------------------------------------------

/// As d2d_detector_load, of any net.
D2D_API d2d_status d2d_model_load(const char* folder, const d2d_options* options, d2d_model** model);
D2D_API d2d_status d2d_model_load_files(const char* predict_net, const char* init_net, const d2d_options* options,
                                        d2d_model** model);
D2D_API d2d_status d2d_model_free(d2d_model* model);
D2D_API d2d_status d2d_model_facts(const d2d_model* model, d2d_facts* facts);
/// Names of the blobs that a run must be given, and of those that it gives, in the file's order.
D2D_API d2d_status d2d_model_inputs(const d2d_model* model, const char* const** names, int64_t* count);
D2D_API d2d_status d2d_model_outputs(const d2d_model* model, const char* const** names, int64_t* count);

/// One caller of a model: owns the working memory of its runs. Cheap to make.
D2D_API d2d_status d2d_session_create(const d2d_model* model, d2d_session** session);
D2D_API d2d_status d2d_session_free(d2d_session* session);
/// Runs the net on `count` tensors with the names of its inputs. For a detector: `data` float32 or uint8 (N, 3, H, W),
/// BGR, 0 to 255, and `im_info` float32 (N, 3), per picture height, width, scale. Outputs of the same session must not
/// be given back to it: they end here.
D2D_API d2d_status d2d_session_run(d2d_session* session, const d2d_tensor* inputs, int64_t count);
/// What the last run gave, in the order of d2d_model_outputs; 0 before the first run and after one that failed. With
/// several pictures one more comes last, `batch_splits`, float32 (N,): how many rows of the detections are of each.
D2D_API d2d_status d2d_session_output_count(const d2d_session* session, int64_t* count);
D2D_API d2d_status d2d_session_output(const d2d_session* session, int64_t i, d2d_tensor* output);

#ifdef __cplusplus
}
#endif
// NOLINTEND
#endif
