// The Detector: a model, the sessions of its callers, and what its inputs and outputs mean.
#include "d2deploy/detector.h"

#include <mutex>

#include "core/check.h"
#include "core/threads.h"
#include "detector/arguments.h"
#include "detector/input_rule.h"
#include "detector/prediction.h"
#include "runtime/model.h"

namespace d2deploy {

namespace {

using Names = std::vector<std::string>;

// An input that a net does not read, such as im_info of a RetinaNet, it may not have.
Tensors inputs_of(const Model& model, const FedImage& fed) {
  Tensors inputs{{"data", fed.data}, {"im_info", fed.im_info}};
  std::erase_if(inputs, [&](const auto& input) { return std::ranges::count(model.inputs(), input.first) == 0; });
  return inputs;
}

}  // namespace

struct Detector::Impl {
  Impl(std::shared_ptr<const Model> loaded, const DetectorOptions& given)
      : model(std::move(loaded)),
        options(given),
        input(input_rule_of(model->info(), options)),
        outputs(*model),
        class_names(argument(model->info(), "class_names", Names())),
        stuff_class_names(argument(model->info(), "stuff_class_names", Names())) {}

  Prediction predict(const FedImage& fed, Size wanted) {
    const Lease session(*this);
    return outputs.predict(session->run(inputs_of(*model, fed)), fed.size, wanted, options);
  }

  std::shared_ptr<const Model> model;
  DetectorOptions options;
  InputRule input;
  OutputRule outputs;
  Names class_names, stuff_class_names;

 private:
  // A session for the time of one prediction: an idle one, or a new one where all are at work.
  class Lease {
   public:
    explicit Lease(Impl& impl) : impl_(impl), session_(impl.take()) {}
    ~Lease() {
      const std::lock_guard lock(impl_.mutex_);
      impl_.idle_.push_back(std::move(session_));
    }
    Lease(const Lease&) = delete;
    Lease& operator=(const Lease&) = delete;
    Session* operator->() const { return session_.get(); }

   private:
    Impl& impl_;
    std::unique_ptr<Session> session_;
  };

  std::unique_ptr<Session> take() {
    const std::lock_guard lock(mutex_);
    if (idle_.empty()) {
      idle_.reserve(sessions_ + 1);  // so that giving back never fails
      auto made = std::make_unique<Session>(model);
      ++sessions_;
      return made;
    }
    auto session = std::move(idle_.back());
    idle_.pop_back();
    return session;
  }

  std::mutex mutex_;
  std::vector<std::unique_ptr<Session>> idle_;
  std::size_t sessions_ = 0;  // idle or at work
};

Detector Detector::load(const std::filesystem::path& folder, const DetectorOptions& options) {
  return guarded([&] { return load(folder / "model.pb", folder / "model_init.pb", options); });
}

Detector Detector::load(const std::filesystem::path& predict_net, const std::filesystem::path& init_net,
                        const DetectorOptions& options) {
  return guarded([&] {
    auto model = Model::load(predict_net, init_net, options.model);
    return with_context([&] { return predict_net.string(); },
                        [&] { return Detector(std::make_unique<Impl>(std::move(model), options)); });
  });
}

Detector::Detector(std::unique_ptr<Impl> impl) : impl_(std::move(impl)) {}
Detector::~Detector() = default;
Detector::Detector(Detector&&) noexcept = default;
Detector& Detector::operator=(Detector&&) noexcept = default;

const InputRule& Detector::input() const { return impl_->input; }
const std::vector<std::string>& Detector::class_names() const { return impl_->class_names; }
const std::vector<std::string>& Detector::stuff_class_names() const { return impl_->stuff_class_names; }
const Model& Detector::model() const { return *impl_->model; }

Prediction Detector::predict(const ImageView& image) const {
  return guarded([&] {
    const ThreadScope threads(impl_->model->options().threads);
    const FedImage fed = feed(image, impl_->input, impl_->options.caffe2_scale);
    return impl_->predict(fed, {image.height, image.width});
  });
}

std::vector<Prediction> Detector::predict(std::span<const ImageView> images) const {
  return guarded([&] {
    std::vector<Prediction> predictions;
    for (std::size_t i = 0; i < images.size(); ++i)
      predictions.push_back(with_context([&] { return join("image ", i); }, [&] { return predict(images[i]); }));
    return predictions;
  });
}

Prediction Detector::predict_resized(const Tensor& image, Size wanted) const {
  return guarded([&] {
    const ThreadScope threads(impl_->model->options().threads);
    return impl_->predict(feed_resized(image, wanted, impl_->input, impl_->options.caffe2_scale), wanted);
  });
}

}  // namespace d2deploy
