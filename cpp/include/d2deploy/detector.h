// From images to predictions.
//
//   const auto detector = d2deploy::Detector::load("model_folder");
//   const auto found = detector.predict({bgr.data(), height, width, width * 3});
//   for (std::int64_t i = 0; i < found.count(); ++i) draw(found.box(i), found.mask(i));
#pragma once
#include <cstdint>
#include <filesystem>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "d2deploy/image.h"
#include "d2deploy/model.h"
#include "d2deploy/prediction.h"

#pragma GCC visibility push(default)
namespace d2deploy {

/// What a model takes for an image. Read from its file; what files of Detectron2's own exporter do not tell has the
/// default of Detectron2's configurations.
struct InputRule {
  ChannelOrder order = ChannelOrder::bgr;
  std::int64_t channels = 3;
  std::vector<float> pixel_mean;       ///< of each channel: what images are padded with
  std::int64_t min_size = 800;         ///< the shorter side is resized to it; 0: images keep their size
  std::int64_t max_size = 1333;        ///< no side becomes longer
  std::int64_t size_divisibility = 0;  ///< sides are padded to multiples of it; 0 or 1: not padded
  std::int64_t square_size = 0;        ///< both are padded to it, and no side may be longer; 0: there is no such size
};

/// What the model's file says of images. Throws InvalidModel where its arguments cannot be, Unsupported where its
/// `input_format` is unknown.
InputRule input_rule(const Model& model);

/// Inputs of a net that does not resize: `data` float32 (N, C, H', W') and `im_info` float32 (N, 3) of height,
/// width, 1.
struct NetInputs {
  Tensor data, im_info;
};
/// Channels are brought into the rule's order, as Detector::predict does. Images of different size share the largest
/// height and width (or `square_size`, if > 0), rounded up to a multiple of `size_divisibility` (if > 1); what is
/// added, right and below, is as `pixel_mean`, or zero where that is empty. `min_size` and `max_size` do not count.
/// Throws InvalidArgument where there is no image, or an empty one, or one of other channels or larger than the square,
/// or `size_divisibility` is not in [0, 4096], or `square_size` not in [0, 8192].
NetInputs to_net_inputs(std::span<const ImageView> images, const InputRule& rule);
/// Of a BGR model, padded with zero.
NetInputs to_net_inputs(std::span<const ImageView> images, std::int64_t size_divisibility);

enum class RowOrder : std::uint8_t {
  score,  ///< by falling score, equal ones as in the file: Detectron2's
  file,   ///< as the net gives them, which may be class by class: Caffe2's
};

enum class Mode : std::uint8_t {
  latency,     ///< a prediction has all threads: the soonest answer
  throughput,  ///< a prediction has one thread, and many run at the same time: the most pictures per second
};

struct DetectorOptions {
  ModelOptions model;
  Mode mode = Mode::latency;
  /// On a GPU, how many images of one size in the net go through it together, 1 to 64: those of calls of predict that
  /// overlap and find it busy. None waits while it is not. Each number, 1, 2, 4, ..., is planned when it first comes.
  int max_batch = 1;
  // What the file says, unless it is given here.
  std::optional<ChannelOrder> order;
  std::optional<std::int64_t> min_size, max_size;
  bool pad_with_zero = false;  ///< Caffe2's way: black pixels, where Detectron2's are as the mean
  /// im_info's scale is height wanted / height given, as Detectron2's wrapper of Caffe2 has it, and not 1. It changes
  /// how boxes are clipped and rounded.
  bool caffe2_scale = false;
  RowOrder row_order = RowOrder::score;
  bool sem_seg = false;        ///< predictions keep the semantic logits
  bool keypoint_maps = false;  ///< predictions keep the heat maps
};

/// A model of any of Detectron2's kinds, and its predictions. Threads may share it: calls that overlap have working
/// memory of their own, which it keeps for later ones.
class Detector {
 public:
  /// The files model.pb and model_init.pb in a folder. Throws as Model::load, and Unsupported where the outputs are not
  /// those of a detector.
  static Detector load(const std::filesystem::path& folder, const DetectorOptions& options = {});
  static Detector load(const std::filesystem::path& predict_net, const std::filesystem::path& init_net,
                       const DetectorOptions& options = {});
  ~Detector();
  Detector(Detector&&) noexcept;
  Detector& operator=(Detector&&) noexcept;

  const InputRule& input() const;
  const std::vector<std::string>& class_names() const;        ///< empty where the file does not tell them
  const std::vector<std::string>& stuff_class_names() const;  ///< likewise, of a panoptic model
  const Model& model() const;
  /// Calls of predict that should run at the same time: 1, in mode throughput as many as there are threads, and with
  /// `max_batch` on a GPU enough for two runs of so many images.
  int streams() const;
  /// Whether the model finds no proposals itself, but is given them with each image (Fast R-CNN).
  bool takes_proposals() const;

  /// Resizes the image as the model wants it and predicts. Channels are brought into the model's order: gray images
  /// serve models of three channels, and those of three channels gray models (luminance, as Pillow's mode L).
  /// Throws InvalidArgument: an empty image, or one of other channels, or, once resized, larger than the model's
  /// square; InvalidModel: outputs that do not agree.
  Prediction predict(const ImageView& image) const;
  /// One prediction for each image, as many at the same time as there are streams. *Law*: each is what the image alone
  /// gets. An error of one is thrown once those that had begun are done.
  std::vector<Prediction> predict(std::span<const ImageView> images) const;
  /// Of an image that is resized already, with the model's channels in its order.
  /// Args: `image` (C, H, W) float32 or uint8, row-major, 0 to 255; `wanted` size that predictions are for.
  Prediction predict_resized(const Tensor& image, Size wanted) const;

  /// As predict and predict_resized, of a model that takes proposals. Args: `proposals` x1 y1 x2 y2 of each. Those of
  /// `predict` are in pixels of the image: they are resized with it, cut to it, and left out where nothing remains;
  /// those of `predict_resized` are in pixels of the image that is resized, and stay as they are.
  /// Throws InvalidArgument: the model finds its proposals itself (and the other functions, where it does not).
  Prediction predict(const ImageView& image, std::span<const float> proposals) const;
  Prediction predict_resized(const Tensor& image, Size wanted, std::span<const float> proposals) const;

 private:
  struct Impl;
  explicit Detector(std::unique_ptr<Impl> impl);
  std::unique_ptr<Impl> impl_;
};

}  // namespace d2deploy
#pragma GCC visibility pop
