// Reads a model, a predict net and an init net, into a graph. Files are hostile until they have passed here.
#pragma once
#include <cstdint>
#include <filesystem>
#include <string>

#include "d2deploy/log.h"
#include "graph/graph.h"
#include "io/bytes.h"
#include "io/file.h"

namespace d2deploy {

struct ReadOptions {
  std::int64_t max_tensor_bytes = std::int64_t{4} << 30;  ///< no constant may be larger, nor all ConstantFills together
  Log log;                                                ///< told what is odd but does not stop us; null: silence
};

/// A net in memory.
struct NetBytes {
  Bytes bytes;
  std::string name;  ///< for messages, as "model.pb"
};

/// The two files of a model in memory.
class ModelFiles {
 public:
  /// Args: `init`: how the init net is read.
  /// Throws InvalidArgument where a file cannot be opened, or is given twice.
  ModelFiles(const std::filesystem::path& predict_net, const std::filesystem::path& init_net, Reading init);

  const FileBytes& predict() const { return predict_; }
  const FileBytes& init() const { return init_; }
  NetBytes predict_net() const { return {predict_.bytes(), predict_name_}; }
  NetBytes init_net() const { return {init_.bytes(), init_name_}; }

 private:
  std::string predict_name_, init_name_;
  FileBytes predict_, init_;
};

/// Reads both files.
/// Returns: the graph in single assignment. Inputs are the external inputs that the init net does not make (`data`
///   float32 (?, ?, ?, ?) and `im_info` float32 (?, 3)), constants those of its blobs that are used, attributes the
///   arguments of the predict net. A blob that is assigned several times becomes x, x.1, x.2; an external output is the
///   last of them and keeps its name. Nodes keep the types of the file, copies and aliases too; their `origin` is their
///   place in the file. A Copy in the init net shares the memory of what it copies.
/// Throws InvalidModel, with the file and its faults, all at once where possible; Unsupported, with all operators of
/// the
///   init net that we do not read; InvalidArgument where a file cannot be opened, is given twice, or the two look
///   swapped.
Graph read_model(const std::filesystem::path& predict_net, const std::filesystem::path& init_net,
                 const ReadOptions& options = {});

/// The same of files that are in memory already, which becomes the weights': they cannot be read again.
Graph read_model(const ModelFiles& files, const ReadOptions& options = {});

/// The same without the weights, whose values are not looked at: the graph then has no constants.
Graph read_outline(const std::filesystem::path& predict_net, const std::filesystem::path& init_net,
                   const ReadOptions& options = {});

/// The same as read_model from memory, which may be freed afterwards.
Graph read_model(const NetBytes& predict_net, const NetBytes& init_net, const ReadOptions& options = {});

}  // namespace d2deploy
