#include "runtime/model_cache.h"

#include <dlfcn.h>

#include <algorithm>
#include <array>
#include <chrono>
#include <system_error>

#include "core/checksum.h"
#include "core/log.h"
#include "core/memory.h"
#include "core/text.h"
#include "d2deploy/version.h"
#include "io/graph_bytes.h"

namespace d2deploy {

namespace {

constexpr std::string_view kModel = "model", kStamp = "stamp";

// Which build of the library this is: two of one version may make different things of a model.
std::string build_id() {
  Dl_info info{};
  std::optional<FileStamp> stamp;
  // A program's own name is what its caller gave, a library's is its path.
  if (::dladdr(reinterpret_cast<const void*>(&build_id), &info) != 0 && info.dli_fname != nullptr &&
      info.dli_fname[0] == '/')
    stamp = stamp_of(info.dli_fname);
  if (!stamp) stamp = stamp_of("/proc/self/exe");
  return stamp ? join(stamp->bytes, ' ', stamp->modified) : "";
}

std::string absolute_name(const std::filesystem::path& path) {
  std::error_code error;
  const auto whole = std::filesystem::weakly_canonical(path, error);
  return error ? path.string() : whole.string();
}

// Of a calibration, which is a small text.
std::string calibration_content(const ModelOptions& options) {
  if (options.precision != "int8" || !stamp_of(options.calibration)) return "";
  const FileBytes text(options.calibration);
  return hexadecimal(checksum(as_text(text.bytes())));
}

Bytes bytes_of(const Tensor& tensor) {
  return {static_cast<const std::byte*>(tensor.raw()), static_cast<std::size_t>(tensor.bytes())};
}

void write_info(ByteWriter& writer, const ModelInfo& info) {
  writer.text(info.meta_architecture);
  writer.integer(info.size_divisibility);
  writer.args({{"pixel_mean", info.pixel_mean}});
  writer.args(info.arguments);
}

ModelInfo read_info(ByteReader& reader) {
  ModelInfo info;
  info.meta_architecture = reader.text();
  info.size_divisibility = reader.integer();
  constexpr std::int64_t kMost = 1 << 16;  // as in files
  check<InvalidModel>(info.size_divisibility >= 0 && info.size_divisibility <= kMost, "has size_divisibility ",
                      info.size_divisibility);
  const Args mean = reader.args();
  const auto found = mean.find("pixel_mean");
  if (found != mean.end() && std::holds_alternative<Floats>(found->second))
    info.pixel_mean = std::get<Floats>(found->second);
  info.arguments = reader.args();
  return info;
}

// Stamps tell files apart once their clock has gone on since they were written: it may tick slowly.
bool is_settled(const FileStamp& stamp) {
  constexpr std::int64_t kTick = 2'000'000'000;
  const auto now = std::chrono::system_clock::now().time_since_epoch();
  return std::max(stamp.modified, stamp.changed) + kTick <
         std::chrono::duration_cast<std::chrono::nanoseconds>(now).count();
}

struct Stamps {
  std::uint64_t content;
  FileStamp predict, init;
};

}  // namespace

class ModelCache::Store : public ConstantStore {
 public:
  Store(std::shared_ptr<ModelCache> cache, std::string constant, const TensorType& type, std::size_t part)
      : cache_(std::move(cache)), constant_(std::move(constant)), type_(type), part_(part) {}

  Tensor plain() override {
    Tensor tensor = Tensor::allocate(type_);
    return cache_->model_->read(part_, tensor.raw()) ? tensor : cache_->reread(constant_);
  }

  std::vector<Memory> load(const std::string& form, std::span<const std::size_t> sizes) override {
    const auto path = path_of(form);
    const auto file = cache_->open_file(path, key_of(form));
    if (!file) return {};
    std::vector<Memory> parts;
    bool sound = file->parts() == sizes.size();
    for (std::size_t i = 0; sound && i < sizes.size(); ++i) {
      sound = file->bytes(i) == sizes[i];
      if (!sound) break;
      parts.push_back(allocate(sizes[i]));
      sound = file->read(i, parts.back().get());
    }
    if (sound) return parts;
    d2deploy::log(cache_->log_, LogLevel::warning, path.string(), ": is damaged; it is made anew");
    return {};
  }

  void save(const std::string& form, std::span<const std::span<const std::byte>> parts) override {
    (void)cache_->write(path_of(form), key_of(form), parts);
  }

 private:
  std::string what(const std::string& form) const { return join("form ", constant_.size(), ' ', constant_, ' ', form); }
  std::uint64_t key_of(const std::string& form) const { return cache_->key(what(form)); }
  std::filesystem::path path_of(const std::string& form) const {
    return cache_->folder_ / (hexadecimal(checksum(what(form))) + ".form");
  }

  std::shared_ptr<ModelCache> cache_;
  std::string constant_;
  TensorType type_;
  std::size_t part_;
};

ModelCache::ModelCache(std::filesystem::path predict_net, std::filesystem::path init_net, const ModelOptions& options,
                       Source source)
    : predict_net_(std::move(predict_net)),
      init_net_(std::move(init_net)),
      log_(options.log),
      source_(std::move(source)) {}

std::shared_ptr<ModelCache> ModelCache::open(const std::filesystem::path& predict_net,
                                             const std::filesystem::path& init_net, const ModelOptions& options,
                                             Source source) {
  const auto folder = cache_folder();
  if (!folder) return nullptr;
  std::shared_ptr<ModelCache> cache(new ModelCache(predict_net, init_net, options, std::move(source)));
  const std::string build = join(D2DEPLOY_VERSION " ", build_id());
  const std::string options_text =
      join(options.device.substr(0, options.device.find(':')), ' ', options.precision, ' ',
           options.optimize ? "optimized" : "as it is", ' ', options.own_class_masks ? "own class" : "all classes", ' ',
           options.max_tensor_bytes);
  cache->calibration_content_ = calibration_content(options);
  cache->settings_ = join(build, '\n', options_text, '\n', cache->calibration_content_, '\n');
  // By name, so that new files of a model take the place of old ones.
  cache->folder_ = *folder / "models" /
                   hexadecimal(checksum(join(build, '\n', options_text, '\n', absolute_name(predict_net), '\n',
                                             absolute_name(init_net))));
  return cache;
}

std::uint64_t ModelCache::content_of(const ModelFiles& files) {
  const std::array<std::uint64_t, 2> both{checksum_in_parts(files.predict().bytes()),
                                          checksum_in_parts(files.init().bytes())};
  return checksum_of_parts(both);
}

std::uint64_t ModelCache::key(std::string_view what) const {
  return checksum(join(settings_, hexadecimal(content_), '\n', what));
}

std::optional<CacheFile> ModelCache::open_file(const std::filesystem::path& path, std::uint64_t key) const {
  std::string why;
  auto file = CacheFile::open(path, key, why);
  const LogLevel level = why == CacheFile::kOfOther ? LogLevel::debug : LogLevel::warning;
  if (!why.empty()) d2deploy::log(log_, level, path.string(), ": ", why, "; it is made anew");
  return file;
}

bool ModelCache::write(const std::filesystem::path& path, std::uint64_t key, std::span<const Bytes> parts) {
  if (!writable_) return false;
  std::error_code error;
  std::filesystem::create_directories(folder_, error);
  const std::string why = error ? error.message() : write_cache_file(path, key, parts);
  if (why.empty()) return true;
  if (writable_.exchange(false))
    d2deploy::log(
        log_, LogLevel::warning, path.string(), ": cannot be written: ", why,
        "; going on without. D2DEPLOY_CACHE should name a folder with room for some times the size of a model");
  return false;
}

std::optional<KeptModel> ModelCache::load() {
  const auto file = open_file(folder_ / kStamp, checksum(settings_));
  Stamps stamps{};
  if (!file || file->parts() != 1 || file->bytes(0) != sizeof stamps || !file->read(0, &stamps)) return std::nullopt;
  const auto predict = stamp_of(predict_net_), init = stamp_of(init_net_);
  if (predict != stamps.predict || init != stamps.init) return std::nullopt;
  content_ = stamps.content;
  return read_model();
}

std::optional<KeptModel> ModelCache::load(const ModelFiles& files) {
  content_ = content_of(files);
  if (is_settled(files.predict().stamp())) predict_stamp_ = files.predict().stamp();
  if (is_settled(files.init().stamp())) init_stamp_ = files.init().stamp();
  auto kept = read_model();
  if (kept) write_stamp();
  return kept;
}

std::optional<KeptModel> ModelCache::read_model() {
  const auto path = folder_ / kModel;
  model_ = open_file(path, key(kModel));
  if (!model_) return std::nullopt;
  try {
    check<InvalidModel>(model_->parts() > 0, "is empty");
    std::vector<std::byte> bytes(model_->bytes(0));
    check<InvalidModel>(model_->read(0, bytes.data()), "is damaged");
    ByteReader reader(bytes);
    KeptModel kept;
    kept.info = read_info(reader);
    kept.outputs = reader.texts();
    kept.splits = reader.text();
    kept.text = reader.text();
    std::map<std::string, TensorType> types;
    kept.graph = read_graph(reader, types);
    check<InvalidModel>(model_->parts() == 1 + types.size(), "has other constants than its graph");
    parts_.clear();
    for (const auto& [name, type] : types) {
      const std::size_t part = parts_[name] = 1 + parts_.size();
      check<InvalidModel>(model_->bytes(part) == static_cast<std::size_t>(type.bytes()), "has another '", name, "'");
      kept.graph.constants.emplace(name, Tensor::view(type, nullptr));
      kept.constants[name] = std::make_unique<Constant>(type, store(name, type));
    }
    const auto& outputs = kept.graph.outputs;  // the passes add theirs behind those of the file
    check<InvalidModel>(kept.outputs.size() <= outputs.size() &&
                            std::ranges::equal(kept.outputs, std::span(outputs).first(kept.outputs.size())),
                        "has other outputs than its graph");
    verify(kept.graph);
    for (const Node& node : kept.graph.nodes)
      check<InvalidModel>(find_operator(node.type) != nullptr, "has an operator '", node.type, "', which is unknown");
    kept.graph.constants.clear();
    d2deploy::log(log_, LogLevel::debug, path.string(), ": the model is read from here");
    return kept;
  } catch (const DeviceError&) {
    throw;  // lack of memory
  } catch (const Error& e) {
    d2deploy::log(log_, LogLevel::warning, path.string(), ": ", e.what(), "; it is made anew");
    model_.reset();
    parts_.clear();
    return std::nullopt;
  }
}

void ModelCache::save(const Model::Impl& model) {
  if (calibration_content(model.options) != calibration_content_) return;  // it was changed meanwhile
  ByteWriter writer;
  write_info(writer, model.info);
  writer.texts(model.outputs);
  writer.text(model.splits);
  writer.text(model.text);
  write_graph(writer, model.graph);
  std::vector<Bytes> parts{std::as_bytes(std::span(writer.bytes))};
  for (const auto& [name, tensor] : model.graph.constants) parts.push_back(bytes_of(tensor));
  const auto path = folder_ / kModel;
  if (!write(path, key(kModel), parts)) return;
  model_ = open_file(path, key(kModel));  // not there where another process is about to write it
  if (!model_) return;
  for (const auto& [name, tensor] : model.graph.constants) parts_[name] = 1 + parts_.size();
  write_stamp();
  d2deploy::log(log_, LogLevel::debug, path.string(), ": the model is kept here");
}

void ModelCache::write_stamp() {
  if (!predict_stamp_ || !init_stamp_) return;
  const Stamps stamps{content_, *predict_stamp_, *init_stamp_};
  const std::array<Bytes, 1> parts{std::as_bytes(std::span(&stamps, 1))};
  (void)write(folder_ / kStamp, checksum(settings_), parts);
}

std::unique_ptr<ConstantStore> ModelCache::store(const std::string& constant, const TensorType& type) {
  if (!model_) return nullptr;
  return std::make_unique<Store>(shared_from_this(), constant, type, parts_.at(constant));
}

Tensor ModelCache::reread(const std::string& constant) {
  const auto path = folder_ / kModel;
  const std::lock_guard lock(mutex_);
  if (again_ == nullptr) {
    d2deploy::log(log_, LogLevel::warning, path.string(), ": is damaged; the model is read from its own files");
    std::error_code ignored;
    std::filesystem::remove(path, ignored);
    again_ = source_(content_);
  }
  const auto& constants = impl_of(*again_).constants;
  const auto found = constants.find(constant);
  check<DeviceError>(found != constants.end(), path.string(), ": is damaged, and has another '", constant,
                     "'; load the model again");
  return found->second->plain();
}

}  // namespace d2deploy
