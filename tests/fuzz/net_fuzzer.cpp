// Bytes -> the inputs of nets that are right: pictures, sizes, boxes and scores of any kind, for one or more images.
#include "core/check.h"
#include "fuzz.h"
#include "runtime/model.h"
#include "small_detector.h"

using namespace d2deploy;

namespace {

// The operators on boxes, with boxes that no net made.
const char* const kBoxes = R"(
input maps float32 ?x3x?x?
input coarse float32 ?x3x?x?
input rois float32 ?x5
input prob float32 ?x3
input boxes float32 ?x12
input splits float32 ?
f2, f3, order = DistributeFpnProposals(rois) {roi_min_level=2 roi_max_level=3 roi_canonical_scale=8 roi_canonical_level=2}
a2 = RoIAlign(maps, f2) {spatial_scale=0.5 pooled_h=2 pooled_w=3 sampling_ratio=2}
a3 = RoIAlign(coarse, f3) {spatial_scale=0.25 pooled_h=2 pooled_w=3 sampling_ratio=2}
both = Concat(a2, a3) {axis=0}
pooled = BatchPermutation(both, order)
single = RoIAlign(maps, rois) {spatial_scale=0.5 pooled_h=3 pooled_w=1}
score, box, class, per_image, keeps, keeps_size = BoxWithNMSLimit(prob, boxes, splits) {score_thresh=0.05 nms=0.3 detections_per_im=5 soft_nms_enabled=1 soft_nms_method=gaussian}
output pooled single score box class per_image keeps keeps_size
)";

// Scores and deltas that no net made.
const char* const kProposals = R"(
input s2 float32 ?x2x?x?
input d2 float32 ?x8x?x?
input s3 float32 ?x2x?x?
input d3 float32 ?x8x?x?
input im_info float32 ?x3
const anchors float32 2x4 = -4 -4 4 4 -8 -2 8 2
r2, q2 = GenerateProposals(s2, d2, im_info, anchors) {spatial_scale=0.5 pre_nms_topN=20 post_nms_topN=6 min_size=1.0}
r3, q3 = GenerateProposals(s3, d3, im_info, anchors) {spatial_scale=0.25 pre_nms_topN=20 post_nms_topN=6 min_size=1.0}
rois = CollectRpnProposals(r2, r3, q2, q3) {rpn_min_level=2 rpn_max_level=3 rpn_post_nms_topN=8}
f2, f3, order = DistributeFpnProposals(rois) {roi_min_level=2 roi_max_level=3}
output rois f2 f3 order
)";

std::vector<std::shared_ptr<const Model>> load_nets() {
  std::vector<std::shared_ptr<const Model>> models;
  for (const std::string& text : {testing::small_detector(), std::string(kBoxes), std::string(kProposals)})
    for (const bool optimize : {true, false}) {
      ModelOptions options;
      options.threads = 1;
      options.optimize = optimize;
      options.max_tensor_bytes = 16 << 20;
      models.push_back(Model::Impl::make(parse_graph(text), options));
    }
  return models;
}

void run(std::span<const std::uint8_t> bytes) {
  static const auto models = load_nets();
  fuzz::Choices choices(bytes);
  const Model& model = *models[choices.below(models.size())];
  const auto images = static_cast<std::int64_t>(1 + choices.below(3));
  const auto rows = static_cast<std::int64_t>(1 + choices.below(24));
  Session session(std::shared_ptr<const Model>(std::shared_ptr<void>(), &model));
  const std::size_t runs = 1 + choices.below(2);  // the second finds the memory of the first
  for (std::size_t r = 0; r < runs; ++r) {
    Tensors inputs;
    const auto height = static_cast<std::int64_t>(1 + choices.below(20)),
               width = static_cast<std::int64_t>(1 + choices.below(20));
    for (const auto& name : model.inputs()) {
      TensorType type = impl_of(model).graph.input_types.at(name);
      const bool map = type.shape.rank() == 4;
      const bool per_image = map || name == "im_info" || name == "splits";
      if (type.shape[0] == kUnknown) type.shape[0] = per_image ? images : rows;
      if (choices.below(32) == 31) type.shape[0] += 1;  // must be refused, or do no harm
      if (map) type.shape[2] = name.ends_with('3') || name == "coarse" ? (height + 1) / 2 : height;
      if (map) type.shape[3] = name.ends_with('3') || name == "coarse" ? (width + 1) / 2 : width;
      Tensor tensor = Tensor::allocate(type);
      choices.fill(tensor);
      inputs.emplace(name, std::move(tensor));
    }
    for (const auto& [name, tensor] : session.run(inputs)) (void)tensor.clone();  // reads all of it
  }
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  fuzz::allow_errors([&] { run({data, size}); });
  return 0;
}
