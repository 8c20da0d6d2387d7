#include "operators/packed_filters.h"

namespace d2deploy {

std::shared_ptr<const PackedFilters> packed_filters(Constant& weights, const std::string& form,
                                                    const std::string& owner, const PackedLoops& loops,
                                                    const FilterView& view) {
  const auto pack = [&](const Tensor& plain) -> Constant::Packed {
    auto packed = std::make_shared<PackedFilters>(pack_filters(loops, view, plain.data<float>()));
    return {packed, packed->bytes, [&loops, view, packed, type = plain.type()] {
              Tensor out = Tensor::allocate(type);
              unpack_filters(loops, view, *packed, out.data<float>());
              return out;
            }};
  };
  return std::static_pointer_cast<const PackedFilters>(weights.packed(form, owner, pack));
}

}  // namespace d2deploy
