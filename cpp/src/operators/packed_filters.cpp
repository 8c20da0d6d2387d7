#include "operators/packed_filters.h"

namespace d2deploy {

FilterView filter_view(const TensorType& w, std::int64_t group) {
  const Strides4 step = strides4(w);
  const std::int64_t out = w.shape[0] / group;
  return {group, out, w.shape[1], w.shape[2], w.shape[3], out * step.n, step.n, step.c, step.h, step.w};
}

std::shared_ptr<const PackedFilters> packed_filters(Constant& weights, const std::string& form,
                                                    const std::string& owner, const PackedLoops& loops,
                                                    const FilterView& view) {
  const auto form_of = [&](const PackedFilters& made) -> Constant::Packed {
    auto packed = std::make_shared<PackedFilters>(made);
    Constant::Packed result{packed, packed->bytes, [&loops, view, packed, type = weights.type()] {
                              Tensor out = Tensor::allocate(type);
                              unpack_filters(loops, view, *packed, out.data<float>());
                              return out;
                            }};
    result.parts = {std::as_bytes(std::span(packed->data.get(), packed->bytes / sizeof(float)))};
    return result;
  };
  const auto pack = [&](const Tensor& plain) { return form_of(pack_filters(loops, view, plain.data<float>())); };
  const std::size_t bytes = packed_filter_bytes(loops, view);
  const auto restore = [&](std::vector<ConstantStore::Memory> parts) {
    return form_of({std::static_pointer_cast<float>(parts[0]), bytes});
  };
  return std::static_pointer_cast<const PackedFilters>(weights.packed(form, owner, pack, {{bytes}, restore}));
}

}  // namespace d2deploy
