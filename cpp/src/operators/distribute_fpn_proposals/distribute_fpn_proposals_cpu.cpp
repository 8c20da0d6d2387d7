#include "operators/distribute_fpn_proposals/distribute_fpn_proposals.h"

#include <array>

#include "kernels/fpn_levels.h"
#include "operators/distribute_fpn_proposals/distribute.h"

namespace d2deploy {

void distribute(const DistributeFpnProposals::Params& p, const Tensor& rois, const Call& call,
                std::size_t first_output) {
  const FpnLevels fpn{static_cast<float>(p.roi_canonical_scale), static_cast<float>(p.roi_canonical_level),
                      p.roi_min_level, p.roi_max_level, p.legacy_plus_one ? 1.0F : 0.0F};
  const auto levels = static_cast<std::size_t>(p.roi_max_level - p.roi_min_level + 1);
  const std::int64_t rows = rois.dim(0), columns = rois.dim(1);
  const float* x = rois.data<float>();
  auto* restore = call.out<std::int32_t>(first_output + levels);

  std::array<std::int32_t, 16> count{};  // as many as infer allows
  const auto level_of = [&](std::int64_t r) {
    return static_cast<std::size_t>(fpn.index(load_box(x + (r + 1) * columns - 4)));
  };
  for (std::int64_t r = 0; r < rows; ++r) {
    const std::size_t level = level_of(r);
    float* out = call.out<float>(first_output + level) + std::int64_t{count[level]} * 5;
    out[0] = columns == 5 ? x[r * columns] : 0.0F;
    store_box(load_box(x + (r + 1) * columns - 4), out + 1);
    restore[r] = count[level]++;
  }
  std::array<std::int32_t, 16> first{};
  for (std::size_t l = 1; l < levels; ++l) first[l] = first[l - 1] + count[l - 1];
  for (std::int64_t r = 0; r < rows; ++r) restore[r] += first[level_of(r)];
  for (std::size_t l = 0; l < levels; ++l) call.write_rows(first_output + l, count[l]);
}

namespace {

void run(const DistributeFpnProposals::Params& p, const Call& call) {
  DistributeFpnProposals::check_outputs(p, call.outputs.size());
  distribute(p, call.input(0), call, 0);
}

}  // namespace

template <>
Kernels<DistributeFpnProposals> kernels<DistributeFpnProposals, Backend::cpu>() {
  return {{"loop_f32", accepts_all<DistributeFpnProposals>, run}};
}

}  // namespace d2deploy
