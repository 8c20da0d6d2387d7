// The Detector: a model, the sessions of its callers, and what its inputs and outputs mean.
#include "d2deploy/detector.h"

#include <algorithm>
#include <functional>
#include <mutex>

#include "core/check.h"
#include "core/threads.h"
#include "d2deploy/session_pool.h"
#include "detector/batcher.h"
#include "detector/device_feed.h"
#include "detector/given_proposals.h"
#include "detector/input_rule.h"
#include "detector/prediction.h"
#include "runtime/arguments.h"
#include "runtime/session.h"

namespace d2deploy {

namespace {

using Names = std::vector<std::string>;

// An input that a net does not read, such as im_info of a RetinaNet, it may not have.
Tensors taken_by(const Model& model, Tensors inputs) {
  std::erase_if(inputs, [&](const auto& input) { return std::ranges::count(model.inputs(), input.first) == 0; });
  return inputs;
}

using Proposals = std::optional<std::span<const float>>;

constexpr const char* kProposals = "proposals";

// What pictures on their way to a GPU need there, for each of those that predict at the same time.
class FeedPool {
 public:
  explicit FeedPool(Device device) : device_(device) {}

  std::unique_ptr<DeviceFeed> take() {
    const std::scoped_lock lock(mutex_);
    if (idle_.empty()) return std::make_unique<DeviceFeed>(device_);
    auto feed = std::move(idle_.back());
    idle_.pop_back();
    return feed;
  }
  void give_back(std::unique_ptr<DeviceFeed> feed) {
    const std::scoped_lock lock(mutex_);
    idle_.push_back(std::move(feed));
  }

 private:
  Device device_;
  std::mutex mutex_;
  std::vector<std::unique_ptr<DeviceFeed>> idle_;
};

using Turn = std::shared_ptr<const void>;  // of a batcher

// A run of the net, whose outputs are there as long as it is.
struct Run {
  explicit Run(SessionPool& pool) : session(pool) {}

  Turn turn;  // null where there is no batcher
  SessionPool::Lease session;
  Tensors outputs;
  std::int64_t images = 1;
};

// A picture on its way to a GPU and back.
struct Picture {
  SourceImage source;
  std::vector<PlaneSource> planes;
  Size size, room, wanted;  // in the net, without and with padding; of the prediction
  Tensor im_info;
  std::shared_ptr<const Run> run = nullptr;  // that it was image `index` of, until there is a prediction
  std::int64_t index = 0;
  Prediction prediction = {};
  std::exception_ptr error = nullptr;

  bool goes_with(const Picture& other) const { return room == other.room; }
};

// (N, 3)
Tensor stacked_infos(std::span<Picture* const> pictures) {
  std::vector<float> rows;
  for (const Picture* picture : pictures) {
    const auto values = picture->im_info.values<float>();
    rows.insert(rows.end(), values.begin(), values.end());
  }
  return Tensor::of<float>({static_cast<std::int64_t>(pictures.size()), 3}, rows);
}

// Image i of (N, C, H, W) float32, on a device.
Tensor image_of(Tensor images, std::size_t i) {
  TensorType type = images.type();
  type.shape[0] = 1;
  return Tensor::view(type, static_cast<float*>(images.raw()) + static_cast<std::int64_t>(i) * type.shape.size(),
                      images.device());
}

constexpr int kMostAtATime = 64;
constexpr std::size_t kTurns = 2;  // runs of a GPU at the same time: one begins when the other ends

// Calls of predict that should overlap.
int streams_of(const Model& model, const DetectorOptions& options, int at_a_time) {
  const bool gathers = impl_of(model).plan_options.context.device.kind != Device::cpu && options.max_batch > 1;
  return gathers ? std::max(at_a_time, static_cast<int>(kTurns) * options.max_batch) : at_a_time;
}

}  // namespace

struct Detector::Impl {
  Impl(const std::shared_ptr<const Model>& model, const DetectorOptions& given, int at_a_time)
      : options(given),
        streams(streams_of(*model, given, at_a_time)),
        input(input_rule_of(model->info(), options)),
        outputs(*model),
        class_names(argument(model->info().arguments, "class_names", Names())),
        stuff_class_names(argument(model->info().arguments, "stuff_class_names", Names())),
        sessions(model),
        device(impl_of(*model).plan_options.context.device),
        feeds(device),
        batcher(kTurns, static_cast<std::size_t>(given.max_batch)) {}

  bool takes_proposals() const { return std::ranges::count(sessions.model().inputs(), kProposals) > 0; }

  void check_given(const Proposals& proposals) const {
    if (takes_proposals())
      check(proposals.has_value(), "the model finds no proposals itself: give them with each image");
    else
      check(!proposals.has_value(), "the model finds its proposals itself, and takes none");
  }

  // What the net reads besides the picture.
  Tensors told(const Tensor& im_info, const Proposals& proposals) const {
    Tensors inputs{{"im_info", im_info}};
    if (proposals) inputs.emplace(kProposals, rois_of(*proposals));
    return inputs;
  }

  Prediction predict(const FedImage& fed, Size wanted, const Proposals& proposals) {
    const SessionPool::Lease session(sessions);
    Tensors inputs = told(fed.im_info, proposals);
    inputs.emplace("data", fed.data);
    inputs = taken_by(sessions.model(), std::move(inputs));
    return outputs.predict(session->run(inputs), {0, 1}, fed.size, wanted, options);
  }

  // The image is resized by whoever runs the net; proposals are of the image as it is given.
  Prediction predict(const ImageView& image, Proposals proposals) {
    const Size wanted{image.height, image.width};
    check_given(proposals);
    std::vector<float> resized;
    if (proposals) {
      resized = resized_proposals(*proposals, wanted, fed_size(image, input));
      proposals = resized;
    }
    if (device.kind == Device::cpu || !DeviceFeed::takes(static_cast<std::size_t>(input.channels)))
      return predict(feed(image, input, options.caffe2_scale), wanted, proposals);
    const Size size = fed_size(image, input);
    SourceImage source(image, input);
    auto planes = planes_of(source.view, input);
    Picture picture{std::move(source),
                    std::move(planes),
                    size,
                    padded(size, input),
                    wanted,
                    im_info_of(size, wanted, options.caffe2_scale)};
    Picture* const alone = &picture;
    if (options.max_batch == 1 || proposals || !outputs.tells_images_apart())
      run_on_device({&alone, 1}, proposals, nullptr);
    else
      batcher.run(picture,
                  [this](std::span<Picture* const> pictures, const Turn& turn) { run_together(pictures, turn); });
    if (picture.error) std::rethrow_exception(picture.error);
    if (picture.run) finish(picture);
    return std::move(picture.prediction);
  }

  void finish(Picture& picture) const {
    const ImageOf image{picture.index, picture.run->images};
    picture.prediction = outputs.predict(picture.run->outputs, image, picture.size, picture.wanted, options);
    picture.run.reset();
  }

  // Of one room, in one run of the net.
  void run_on_device(std::span<Picture* const> pictures, const Proposals& proposals, const Turn& turn) {
    std::vector<std::unique_ptr<DeviceFeed>> taken;
    for (std::size_t i = 0; i < pictures.size(); ++i) taken.push_back(feeds.take());
    const auto images = static_cast<std::int64_t>(pictures.size());
    const Size room = pictures[0]->room;
    const Fill data{{DType::float32, {images, input.channels, room.height, room.width}},
                    [&](const Tensor& there, const Stream& stream) {
                      for (std::size_t i = 0; i < pictures.size(); ++i)
                        taken[i]->resize_into_planes(pictures[i]->source.view, pictures[i]->size, pictures[i]->planes,
                                                     image_of(there, i), stream);
                    }};
    const auto run = std::make_shared<Run>(sessions);
    run->turn = turn;
    run->images = images;
    const Tensors info = taken_by(sessions.model(), told(stacked_infos(pictures), proposals));
    run->outputs = impl_of(*run->session.operator->()).run(info, {{"data", data}});
    for (auto& feed : taken) feeds.give_back(std::move(feed));
    for (std::int64_t i = 0; i < images; ++i) {
      pictures[static_cast<std::size_t>(i)]->run = run;
      pictures[static_cast<std::size_t>(i)]->index = i;
    }
  }

  // What fails of several, as for lack of memory, each tries alone.
  void run_together(std::span<Picture* const> pictures, const Turn& turn) {
    try {
      run_on_device(pictures, std::nullopt, turn);
    } catch (...) {
      if (pictures.size() == 1) throw;
      for (std::size_t i = 0; i < pictures.size(); ++i) try_alone(pictures.subspan(i, 1), turn);
    }
  }

  void try_alone(std::span<Picture* const> picture, const Turn& turn) {
    try {
      run_on_device(picture, std::nullopt, turn);
      finish(*picture[0]);  // before the next one needs memory
    } catch (...) {
      picture[0]->error = std::current_exception();
    }
  }

  Prediction predict_resized(const Tensor& image, Size wanted, const Proposals& proposals) {
    check_given(proposals);
    return predict(feed_resized(image, wanted, input, options.caffe2_scale), wanted, proposals);
  }

  DetectorOptions options;
  int streams;
  InputRule input;
  OutputRule outputs;
  Names class_names, stuff_class_names;
  SessionPool sessions;
  Device device;
  FeedPool feeds;
  Batcher<Picture> batcher;
};

Detector Detector::load(const std::filesystem::path& folder, const DetectorOptions& options) {
  return guarded([&] { return load(folder / "model.pb", folder / "model_init.pb", options); });
}

Detector Detector::load(const std::filesystem::path& predict_net, const std::filesystem::path& init_net,
                        const DetectorOptions& options) {
  return guarded([&] {
    check(options.max_batch >= 1 && options.max_batch <= kMostAtATime, "max_batch is ", options.max_batch,
          ", wanted 1 to ", kMostAtATime);
    ModelOptions model_options = options.model;
    model_options.own_class_masks = true;  // a prediction has no others
    int streams = 1;
    if (options.mode == Mode::throughput) {
      streams = threads_for(model_options.threads);
      model_options.threads = 1;
    }
    const auto model = Model::load(predict_net, init_net, model_options);
    return with_context([&] { return predict_net.string(); },
                        [&] { return Detector(std::make_unique<Impl>(model, options, streams)); });
  });
}

Detector::Detector(std::unique_ptr<Impl> impl) : impl_(std::move(impl)) {}
Detector::~Detector() = default;
Detector::Detector(Detector&&) noexcept = default;
Detector& Detector::operator=(Detector&&) noexcept = default;

const InputRule& Detector::input() const { return impl_->input; }
const std::vector<std::string>& Detector::class_names() const { return impl_->class_names; }
const std::vector<std::string>& Detector::stuff_class_names() const { return impl_->stuff_class_names; }
const Model& Detector::model() const { return impl_->sessions.model(); }
int Detector::streams() const { return impl_->streams; }
bool Detector::takes_proposals() const { return impl_->takes_proposals(); }

Prediction Detector::predict(const ImageView& image) const {
  return guarded([&] {
    const ThreadScope threads(impl_->sessions.model().options().threads);
    return impl_->predict(image, std::nullopt);
  });
}

Prediction Detector::predict(const ImageView& image, std::span<const float> proposals) const {
  return guarded([&] {
    const ThreadScope threads(impl_->sessions.model().options().threads);
    return impl_->predict(image, proposals);
  });
}

std::vector<Prediction> Detector::predict(std::span<const ImageView> images) const {
  return guarded([&] {
    std::vector<Prediction> predictions(images.size());
    const auto predict_one = [&](std::size_t i) {
      predictions[i] = with_context([&] { return join("image ", i); }, [&] { return predict(images[i]); });
    };
    if (impl_->streams == 1) {
      for (std::size_t i = 0; i < images.size(); ++i) predict_one(i);
    } else {
      const ThreadScope threads(impl_->streams);
      for_each_part(static_cast<std::uint32_t>(images.size()), std::ref(predict_one));
    }
    return predictions;
  });
}

Prediction Detector::predict_resized(const Tensor& image, Size wanted) const {
  return guarded([&] {
    const ThreadScope threads(impl_->sessions.model().options().threads);
    return impl_->predict_resized(image, wanted, std::nullopt);
  });
}

Prediction Detector::predict_resized(const Tensor& image, Size wanted, std::span<const float> proposals) const {
  return guarded([&] {
    const ThreadScope threads(impl_->sessions.model().options().threads);
    return impl_->predict_resized(image, wanted, proposals);
  });
}

}  // namespace d2deploy
