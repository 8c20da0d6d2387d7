#include "io/model_file.h"

#include "core/log.h"
#include "io/faults.h"
#include "io/file.h"
#include "io/init_net.h"
#include "io/net_index.h"
#include "io/predict_net.h"
#include "io/single_assignment.h"

namespace d2deploy {

namespace {

// The inputs that nets for detection have. A file does not say what its inputs are.
const TensorType* known_input(std::string_view blob) {
  static const TensorType data{DType::float32, {kUnknown, kUnknown, kUnknown, kUnknown}, Layout::row_major};
  static const TensorType im_info{DType::float32, {kUnknown, 3}, Layout::row_major};
  static const TensorType proposals{DType::float32, {kUnknown, 5}, Layout::row_major};
  return blob == "data" ? &data : blob == "im_info" ? &im_info : blob == "proposals" ? &proposals : nullptr;
}

BlobSet blobs_read(const Graph& graph) {
  BlobSet blobs(graph.outputs.begin(), graph.outputs.end());
  for (const Node& node : graph.nodes) blobs.insert(node.inputs.begin(), node.inputs.end());
  return blobs;
}

// Of the external inputs, those stay that a caller must give.
void resolve_inputs(Graph& graph, const NetIndex& predict, const NetIndex& init, const BlobSet& made, const Log& log) {
  const BlobSet read = blobs_read(graph);
  std::vector<std::string> inputs, missing;
  for (auto& blob : graph.inputs) {
    if (made.contains(blob)) continue;
    if (const TensorType* type = known_input(blob)) {
      graph.input_types[blob] = *type;
      inputs.push_back(blob);
    } else if (read.contains(blob)) {
      missing.push_back(blob);
    } else {
      d2deploy::log(log, LogLevel::warning, predict.file, ": external input ", in_quotes(blob),
                    " has no value and is not read");
    }
  }
  const bool one = missing.size() == 1;
  check<InvalidModel>(
      missing.empty(), predict.file, ": ", one ? "external input " : join(missing.size(), " external inputs "),
      some_of(missing), one ? " has" : " have", " no value: ", init.file, " does not make ", one ? "it" : "them",
      ", and only 'data', 'im_info' and 'proposals' come from the caller; do the two files belong together?");
  graph.inputs = std::move(inputs);
}

enum class Weights { read, skip };

Graph read(const NetBytes& predict_net, const NetBytes& init_net, const ReadOptions& options, Weights weights_wanted,
           const FileBytes* init_file) {
  check(options.max_tensor_bytes > 0, "max_tensor_bytes is ", options.max_tensor_bytes, ", must be positive");
  const NetIndex predict = index_net(predict_net.bytes, predict_net.name);
  NetIndex init = index_net(init_net.bytes, init_net.name);
  if (init_file != nullptr) {
    init.memory = init_file->memory();
    init.dense_runs = init_file->dense_runs();
  }
  check_roles(predict, init);
  Graph graph = read_predict_net(predict, options);
  const InitNet weights(init, options);
  resolve_inputs(graph, predict, init, weights.blobs(), options.log);
  const auto used = with_context([&] { return predict.file; }, [&] { return assign_once(graph, weights.blobs()); });
  if (weights_wanted == Weights::skip) return graph;
  BlobSet blobs;
  for (const auto& [blob, value] : used) blobs.insert(blob);
  for (auto& [blob, tensor] : weights.read(blobs)) graph.constants.emplace(used.at(blob), std::move(tensor));
  verify(graph);
  return graph;
}

Graph read(const ModelFiles& files, const ReadOptions& options, Weights weights) {
  return read(files.predict_net(), files.init_net(), options, weights, &files.init());
}

}  // namespace

ModelFiles::ModelFiles(const std::filesystem::path& predict_net, const std::filesystem::path& init_net, Reading init)
    : predict_name_(predict_net.string()), init_name_(init_net.string()), predict_(predict_net), init_(init_net, init) {
  std::error_code ignored;
  check(!std::filesystem::equivalent(predict_net, init_net, ignored), predict_name_,
        ": was given as predict net and as init net; give model.pb as predict net and model_init.pb as init net");
}

Graph read_model(const std::filesystem::path& predict_net, const std::filesystem::path& init_net,
                 const ReadOptions& options) {
  return read_model(ModelFiles(predict_net, init_net, Reading::sparse), options);
}

Graph read_model(const ModelFiles& files, const ReadOptions& options) { return read(files, options, Weights::read); }

Graph read_outline(const std::filesystem::path& predict_net, const std::filesystem::path& init_net,
                   const ReadOptions& options) {
  return read(ModelFiles(predict_net, init_net, Reading::sparse), options, Weights::skip);
}

Graph read_model(const NetBytes& predict_net, const NetBytes& init_net, const ReadOptions& options) {
  return read(predict_net, init_net, options, Weights::read, nullptr);
}

}  // namespace d2deploy
