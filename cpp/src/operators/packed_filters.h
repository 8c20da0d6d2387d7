// Filters of the packed kernels as forms of a constant.
#pragma once
#include <memory>
#include <string>

#include "kernels/packed_conv.h"
#include "operators/operator.h"

namespace d2deploy {

/// Of convolution filters (M, C / group, kernel_h, kernel_w), as they lie.
FilterView filter_view(const TensorType& w, std::int64_t group);

/// The filters that `view` sees in a float32 constant, packed: made once, shared by all plans, and undone exactly.
std::shared_ptr<const PackedFilters> packed_filters(Constant& weights, const std::string& form,
                                                    const std::string& owner, const PackedLoops& loops,
                                                    const FilterView& view);

}  // namespace d2deploy
