#pragma once
#include "operators/collect_rpn_proposals/collect_rpn_proposals.h"
#include "operators/generate_proposals/generate_proposals.h"

namespace d2deploy {

/// The proposals of a region proposal network on a feature pyramid: GenerateProposals on every level, and of those
/// of all levels the rpn_post_nms_topN with the highest scores, image by image.
/// Unlike CollectRpnProposals it knows how many images there are, so that the limit per image bounds the rows.
/// Internal: made by a pass, never written to a file.
struct PyramidProposals {
  struct Params : GenerateProposals::Params, CollectRpnProposals::Params {
    Floats spatial_scales;  // in place of the inherited spatial_scale

    /// The arguments of GenerateProposals on one level.
    GenerateProposals::Params level(std::size_t i) const {
      GenerateProposals::Params p = *this;
      p.spatial_scale = spatial_scales.at(i);
      return p;
    }
  };
  static constexpr auto fields =
      joined(inherited<Params, GenerateProposals::Params>(GenerateProposals::shared_fields),
             inherited<Params, CollectRpnProposals::Params>(CollectRpnProposals::fields),
             std::array{field<&Params::spatial_scales>("spatial_scales", Bound::positive,
                                                       "per level, feature map cells per image pixel")});
  static constexpr Signature signature{
      "PyramidProposals",
      "im_info: float32 (N, 3) height, width, scale | scores*: float32 any (N, A, H, W) of each level | "
      "deltas*: float32 any (N, 4 A, H, W) of each level | "
      "anchors*: float32 any (A, 4) of each level, x1, y1, x2, y2 in image pixels",
      "rois: float32 (~m, 5) image, x1, y1, x2, y2", LayoutRule::any};

  static Types infer(const Params& p, const Inputs& in) {
    const std::size_t levels = (in.size() - 1) / 3;
    const std::int64_t wanted = p.rpn_max_level - p.rpn_min_level + 1;
    check<InvalidModel>(static_cast<std::int64_t>(levels) == wanted && levels == p.spatial_scales.size(),
                        signature.type, ": got maps of ", levels, " levels and ", p.spatial_scales.size(),
                        " spatial_scales, wanted levels ", p.rpn_min_level, " to ", p.rpn_max_level);
    std::int64_t most = 0;
    for (std::size_t i = 0; i < levels; ++i) {
      const Shape& anchors = in[1 + 2 * levels + i];
      check<Unsupported>(anchors.rank() != 2 || anchors[1] != 5, signature.type,
                         ": rotated boxes are not supported, anchors_", i, " must be (A, 4), got ", anchors);
      const Types types{in.types[1 + i], in.types[1 + levels + i], in.types[0], in.types[1 + 2 * levels + i]};
      with_context([&] { return join(signature.type, ": level ", i); }, [&] { check_plain(p.level(i), types); });
      most = plus(most, GenerateProposals::most(p.level(i), types[0].shape));
    }
    const std::int64_t rows = times(in[0][0], most);
    check<Unsupported>(rows <= INT32_MAX, signature.type, ": takes at most 2^31 - 1 proposals, got ", rows);
    return {f32({times(in[0][0], limited(most, p.rpn_post_nms_topN)), 5})};
  }

  static std::string meaning(const Params& p, std::size_t inputs) {
    std::string text, rois, scores;
    for (std::size_t i = 0; i < (inputs - 1) / 3; ++i) {
      const GenerateProposals::Params level = p.level(i);
      text += join("rois_", i, ", probs_", i, " = GenerateProposals(scores_", i, ", deltas_", i, ", im_info, anchors_",
                   i, ") ", arguments(GenerateProposals::fields, &level), "\n");
      rois += join("rois_", i, ", ");
      scores += join(i == 0 ? "" : ", ", "probs_", i);
    }
    const CollectRpnProposals::Params& collect = p;
    return join(text, "rois = CollectRpnProposals(", rois, scores, ") ",
                arguments(CollectRpnProposals::fields, &collect), "\n");
  }

 private:
  // Checks the inputs of one level as the plain operator does.
  static void check_plain(const GenerateProposals::Params& p, const Types& inputs) {
    const Operator& plain = *find_operator(GenerateProposals::signature.type);
    (void)d2deploy::infer(plain, std::make_shared<GenerateProposals::Params>(p), {inputs, {}}, plain.outputs.size());
  }

  // All fields, as a node's arguments.
  static std::string arguments(std::span<const Field> fields, const void* params) {
    Args args;
    for (const Field& f : fields) args[f.name] = value_of(f, params);
    return to_text(args);
  }
};

}  // namespace d2deploy
