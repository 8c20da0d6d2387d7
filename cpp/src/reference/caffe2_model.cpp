#include "reference/caffe2_model.h"

#include <algorithm>
#include <cstdlib>

#include "core/check.h"
#include "io/cpu_net.h"

namespace d2deploy {

namespace {

// A folder for rewritten nets, removed at the end.
class TemporaryFolder {
 public:
  TemporaryFolder() {
    std::error_code error;
    const auto parent = std::filesystem::temp_directory_path(error);
    check<DeviceError>(!error, "engine caffe2: there is no folder for temporary files, ", error.message(),
                       "; set TMPDIR to one");
    std::string name = (parent / "d2deploy-XXXXXX").string();
    check<DeviceError>(mkdtemp(name.data()) != nullptr, "cannot make a folder ", name);
    path_ = name;
  }
  ~TemporaryFolder() {
    std::error_code ignored;
    std::filesystem::remove_all(path_, ignored);
  }
  TemporaryFolder(const TemporaryFolder&) = delete;
  TemporaryFolder& operator=(const TemporaryFolder&) = delete;

  std::filesystem::path operator/(const char* name) const { return path_ / name; }

 private:
  std::filesystem::path path_;
};

constexpr DType kDTypes[] = {DType::float32, DType::int32, DType::int64, DType::uint8};  // by d2deploy_caffe2_dtype

d2deploy_caffe2_tensor to_c(const std::string& name, const Tensor& tensor) {
  d2deploy_caffe2_tensor out{};
  const auto* dtype = std::ranges::find(kDTypes, tensor.dtype());
  check(dtype != std::end(kDTypes), "input '", name, "' holds ", tensor.dtype(), ", which engine caffe2 does not take");
  out.name = name.c_str();
  out.dtype = static_cast<std::int32_t>(dtype - kDTypes);
  out.rank = static_cast<std::int32_t>(tensor.shape().rank());
  std::ranges::copy(tensor.shape(), out.dims);
  out.data = tensor.raw();
  return out;
}

}  // namespace

Caffe2Model::Caffe2Model(const std::filesystem::path& predict_net, const std::filesystem::path& init_net,
                         std::vector<std::string> inputs, const Options& options)
    : library_(Caffe2Library::open(options.library)) {
  const TemporaryFolder folder;
  std::filesystem::path predict = predict_net, init = init_net;
  if (write_cpu_net(predict_net, folder / "model.pb")) predict = folder / "model.pb";
  if (write_cpu_net(init_net, folder / "model_init.pb")) init = folder / "model_init.pb";
  std::vector<const char*> names;
  for (const auto& name : inputs) names.push_back(name.c_str());
  engine_ = library_.load(predict.c_str(), init.c_str(), names.data(), static_cast<std::int32_t>(names.size()),
                          options.threads, options.global_init ? 1 : 0);
  check<InvalidModel>(engine_ != nullptr, predict_net.string(), ": Caffe2 does not load it: ", library_.error());
}

Caffe2Model::~Caffe2Model() { library_.free(engine_); }

Tensors Caffe2Model::run(const Tensors& inputs, const std::vector<std::string>& outputs) {
  Caffe2Library::check_process();
  const std::lock_guard lock(mutex_);
  std::vector<d2deploy_caffe2_tensor> given;
  for (const auto& [name, tensor] : inputs) given.push_back(to_c(name, tensor));
  const auto failed = library_.run(engine_, given.data(), static_cast<std::int32_t>(given.size()));
  check<InternalError>(failed == 0, "Caffe2: ", library_.error());
  Tensors out;
  for (const auto& name : outputs) out[name] = output(name);
  return out;
}

Tensor Caffe2Model::output(const std::string& name) const {
  d2deploy_caffe2_tensor view{};
  const auto failed = library_.output(engine_, name.c_str(), &view);
  check<InternalError>(failed == 0, "Caffe2: ", library_.error());
  const Shape shape(std::span<const std::int64_t>(view.dims, static_cast<std::size_t>(view.rank)));
  return Tensor::view({kDTypes[view.dtype], shape, Layout::row_major}, const_cast<void*>(view.data)).clone();
}

}  // namespace d2deploy
