// What is made of a model's files, kept in a folder for later processes: the graph after all passes, its constants,
// and the packed forms of these as kernels ask for them.
#pragma once
#include <atomic>
#include <functional>
#include <memory>
#include <mutex>
#include <optional>
#include <string>

#include "core/cache_file.h"
#include "io/model_file.h"
#include "runtime/model.h"

namespace d2deploy {

/// The cache of one model, with one set of options. Files in it:
///   model      graph and plain constants, of these two files' contents
///   stamp      which files had these contents; so that not all of their bytes must be read to know them again
///   *.form     one packed form of one constant
/// A file counts where its size, key and checksums are right. The key has the contents, the version of the library, and
/// what of the options the file depends on; packed forms say in their names what of the CPU. Anything else is made anew
/// and written over. Nothing here throws but for lack of memory. Thread-safe once loaded or saved.
class ModelCache : public std::enable_shared_from_this<ModelCache> {
 public:
  /// The plain constants of the model, made of its files again.
  using Source = std::function<std::shared_ptr<const Model>(std::uint64_t content)>;

  /// Null where the environment variable D2DEPLOY_CACHE names no folder. The options are resolved ones.
  static std::shared_ptr<ModelCache> open(const std::filesystem::path& predict_net,
                                          const std::filesystem::path& init_net, const ModelOptions& options,
                                          Source source);

  /// What is kept of the model, if the files are those that it was made of, by what the system says of them.
  std::optional<KeptModel> load();
  /// The same by the bytes of the files, which are looked at before anything else is made of them.
  std::optional<KeptModel> load(const ModelFiles& files);
  static std::uint64_t content_of(const ModelFiles& files);

  /// Keeps a model whose constants still stand in its graph.
  void save(const Model::Impl& model);
  /// The constant's place in what was saved; null where that could not be.
  std::unique_ptr<ConstantStore> store(const std::string& constant, const TensorType& type);

 private:
  class Store;

  ModelCache(std::filesystem::path predict_net, std::filesystem::path init_net, const ModelOptions& options,
             Source source);
  std::optional<KeptModel> read_model();
  void write_stamp();
  /// Whether it could be written; says once where it could not, and then tries no more.
  bool write(const std::filesystem::path& path, std::uint64_t key, std::span<const Bytes> parts);
  std::optional<CacheFile> open_file(const std::filesystem::path& path, std::uint64_t key) const;
  std::uint64_t key(std::string_view what) const;
  Tensor reread(const std::string& constant);

  const std::filesystem::path predict_net_, init_net_;
  const Log log_;
  const Source source_;
  std::string calibration_content_, settings_;  // what the graph depends on, beside the two files
  std::filesystem::path folder_;
  std::uint64_t content_ = 0;                            // of the two files
  std::optional<FileStamp> predict_stamp_, init_stamp_;  // of those that were read; none: written a moment ago
  std::optional<CacheFile> model_;
  std::map<std::string, std::size_t> parts_;  // of the model's file, by constant
  std::atomic<bool> writable_{true};
  std::mutex mutex_;
  std::shared_ptr<const Model> again_;  // guarded by mutex_; what `source_` gave
};

}  // namespace d2deploy
