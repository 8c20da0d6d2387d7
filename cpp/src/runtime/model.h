// What a Model is made of. Immutable but for the caches, which lock.
#pragma once
#include <filesystem>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "d2deploy/model.h"
#include "reference/caffe2_model.h"
#include "runtime/plan.h"
#include "runtime/plan_cache.h"

namespace d2deploy {

class ModelCache;

/// What a cache has of a model.
struct KeptModel {
  Graph graph;
  Constants constants;
  ModelInfo info;
  std::vector<std::string> outputs;
  std::string splits, text;
};

struct Model::Impl {
  /// `cache`: where the model is to be kept; may be null.
  Impl(Graph graph, const ModelOptions& options, const std::shared_ptr<ModelCache>& cache = nullptr);
  Impl(KeptModel kept, const ModelOptions& options);
  /// A model that the real Caffe2 runs: `outline` is its graph without weights.
  Impl(Graph outline, const ModelOptions& options, std::unique_ptr<Caffe2Model> caffe2);

  /// A model of a graph as it comes from a file.
  static std::shared_ptr<const Model> make(Graph graph, const ModelOptions& options);
  /// The same, out of the cache where that has it.
  static std::shared_ptr<const Model> load(const std::filesystem::path& predict_net,
                                           const std::filesystem::path& init_net, const ModelOptions& options);

  /// The types that the net has inside for inputs of these. Throws InvalidArgument where one is missing, unknown, or
  /// does not fit.
  TypeMap check_inputs(const TypeMap& given) const;
  /// The plan for inputs of these types. Thread-safe; see PlanCache.
  std::shared_ptr<const Plan> plan(const TypeMap& input_types) const;

  ModelOptions options;
  Graph graph;  ///< after all passes; its constants are in `constants`
  std::string text;
  ModelInfo info;
  std::vector<std::string> outputs;  ///< those of the file
  std::string splits;                ///< output that counts the detections of each image; empty where there is none
  Constants constants;
  PlanOptions plan_options;
  std::unique_ptr<Caffe2Model> caffe2;  ///< engine caffe2: everything else here only describes it

 private:
  mutable PlanCache plans;
};

/// What a model is made of, for the library itself and its tests.
const Model::Impl& impl_of(const Model& model);

}  // namespace d2deploy
