// Loading a pair of Caffe2 files and running it.
//
//   auto model = d2deploy::Model::load("model.pb", "model_init.pb");
//   d2deploy::Session session(model);
//   auto outputs = session.run({{"data", image}, {"im_info", size}});
#pragma once
#include <cstdint>
#include <filesystem>
#include <map>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "d2deploy/argument.h"
#include "d2deploy/error.h"
#include "d2deploy/log.h"
#include "d2deploy/tensor.h"

#pragma GCC visibility push(default)
namespace d2deploy {

struct ModelOptions {
  /// "native": this library. "caffe2": the real Caffe2 inside libtorch, on the CPU in float32, to compare with; it
  /// needs the library that scripts/build_caffe2_engine builds.
  std::string engine = "native";
  /// Engine caffe2: its library. Empty: the environment variable D2DEPLOY_CAFFE2_LIBRARY, else where the script puts
  /// it.
  std::filesystem::path caffe2_library;
  /// "cpu", or "cuda:N" for an NVIDIA GPU, counted from 0; "cuda" is the first.
  std::string device = "cpu";
  /// "float32", or a smaller type for the layers that take most of the time and what stands between them. On the CPU:
  /// "bfloat16", or "int8", which needs a calibration of the net; one that has neither AVX512-BF16 nor AMX, or for int8
  /// no VNNI, runs float32 all the same, after a warning in the log; Model::options says which it is. On a GPU:
  /// "float16", "bfloat16", or "tf32", which rounds what is multiplied alone.
  std::string precision = "float32";
  /// Precision int8: the file that Calibrator wrote. Empty: calibration.txt beside the predict net.
  std::filesystem::path calibration;
  /// Threads of one run; 0: as many as affinity and control groups (a container's CPU limit) let the process use.
  int threads = 0;
  /// Needs less memory and more time: no kernel is used whose weights are larger than those of the file. A network of
  /// 180 MB keeps 180 MB then, instead of about twice as much in float32.
  bool low_memory = false;
  /// On a GPU: the fastest of several ways to compute a convolution is found by trying them out when a picture size
  /// comes for the first time, which then takes some seconds.
  bool tune = false;
  /// Kernels to use, as "Conv=direct_f32,RoIAlign=direct_f32", instead of the best that takes the call.
  /// Empty: the environment variable D2DEPLOY_KERNELS, which is read when the model is loaded.
  std::string kernels;
  std::int64_t max_tensor_bytes = std::int64_t{4}
                                  << 30;  ///< no tensor may be larger, nor the memory of a session 16 times this
  bool optimize = true;                   ///< false: the nodes run as they stand in the file
  /// `mask_fcn_probs` is (R, 1, M, M), the mask of the class that `class_nms` says, instead of (R, classes, M, M),
  /// where the net has the usual form and `optimize` is set. Detector sets it.
  bool own_class_masks = false;
  Log log;  ///< null: silence
};

/// What one node did in the runs of a session that were profiled; before the first one, what is planned: shapes and
/// work are then those with the most rows that there can be.
struct NodeProfile {
  std::string type, output, kernel;  ///< operator, its first output, and "onednn_f32/brgconv:avx512_core" for example
  std::string shape;                 ///< of the first output in the last run
  std::vector<std::pair<std::string, Shape>> outputs;  ///< all of them, likewise
  std::int64_t runs = 0;
  double milliseconds = 0;  ///< of all runs together
  /// Of the last run, by the shapes that it had: of convolutions and matrix products, a multiply-add counts as two.
  double flops = 0;
  double bytes = 0;  ///< read and written by the last run, likewise
};

/// Tensors by blob name.
using Tensors = std::map<std::string, Tensor>;

/// Numbers and strings that the exporter wrote beside the graph.
struct ModelInfo {
  std::string meta_architecture = "GeneralizedRCNN";
  std::int64_t size_divisibility = 0;  ///< pad height and width to a multiple of it; 0 or 1: any size
  /// Of each channel: the argument of that name, or else what the net subtracts from `data` first. Empty: unknown.
  std::vector<float> pixel_mean;
  /// All arguments of the predict net, these two included where the file has them. Strings are bytes of any kind.
  std::map<std::string, NetArgument, std::less<>> arguments;
};

/// A loaded model: immutable, shared by any number of sessions in any threads.
class Model {
 public:
  /// Reads, checks and prepares both files. Throws InvalidModel (with the file, and all faults at once where
  /// that is possible), Unsupported (operators that we do not have, all of them), InvalidArgument (options).
  static std::shared_ptr<const Model> load(const std::filesystem::path& predict_net,
                                           const std::filesystem::path& init_net, const ModelOptions& options = {});
  ~Model();
  Model(const Model&) = delete;
  Model& operator=(const Model&) = delete;

  const std::vector<std::string>& inputs() const;   ///< blobs that `run` must be given
  const std::vector<std::string>& outputs() const;  ///< blobs that `run` returns, in the file's order
  const ModelInfo& info() const;
  const ModelOptions& options() const;
  /// The graph that is run, after all passes, in its text form.
  std::string graph_text() const;
  /// What a run with inputs of these types would do, node by node; nothing is run. Throws as Session::run, and
  /// Unsupported with engine caffe2, which tells no plan.
  std::vector<NodeProfile> profile(const std::map<std::string, TensorType>& inputs) const;

  struct Impl;

 private:
  friend const Impl& impl_of(const Model& model);  // the library's own way in; runtime/model.h
  explicit Model(std::unique_ptr<Impl> impl);
  static std::shared_ptr<const Model> load_in_caffe2(const std::filesystem::path& predict_net,
                                                     const std::filesystem::path& init_net,
                                                     const ModelOptions& options);
  std::unique_ptr<Impl> impl_;
};

/// One caller of a model: owns the scratch memory of its runs. Cheap to make; not for two threads at a time.
/// A child process made by fork() may use its parent's models and sessions, and others, if no other thread of the
/// parent was inside of a call meanwhile; not those of engine caffe2, and not if the fork came from inside of a loop
/// that OpenMP runs on several threads: DeviceError.
class Session {
 public:
  explicit Session(std::shared_ptr<const Model> model);
  ~Session();
  Session(Session&&) noexcept;
  Session& operator=(Session&&) noexcept;

  /// Runs the net. For a detector: `data` float32 or uint8 (N, 3, H, W), BGR, 0 to 255, and `im_info` float32
  /// (N, 3), per image height, width, scale.
  /// Returns: every output of the model, row-major. With several images the rows of the detections are grouped by
  ///   image, and the extra blob `batch_splits`, float32 (N,), has the number of each. The tensors share the ownership
  ///   of the session's memory: they outlive the session, but its next run overwrites them. clone() what must stay.
  /// Throws InvalidArgument where an input is missing, unknown, or of the wrong type or shape.
  Tensors run(const Tensors& inputs);

  /// Off by default. On: the profile begins anew, and a clock is read per node. Off: the profile stays as it is.
  void set_profiling(bool on);
  std::vector<NodeProfile> profile() const;

  struct Impl;

 private:
  friend Impl& impl_of(Session& session);  // likewise; runtime/session.h
  std::unique_ptr<Impl> impl_;
};

}  // namespace d2deploy
#pragma GCC visibility pop
