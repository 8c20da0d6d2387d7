#include "operators/fc/fc_packed.h"

#include "kernels/packed_conv.h"

namespace d2deploy {

namespace {

struct State {
  PackedConvolution convolution;
  std::shared_ptr<const PackedFilters> filters;
  std::int64_t columns;
};

FCSizes sizes_of(const char* type, const FCParams& p, const CallSite& site) {
  return FCSizes::of(type, p, site.inputs[0].shape, site.inputs[1].shape, site.inputs[2].shape);
}

}  // namespace

std::string reject_packed_fc(const char* type, const FCParams& p, const CallSite& site) {
  if (!site.is_constant(1)) return "the weights are not constant";
  if (!site.outputs[0].shape.known() || site.outputs[0].shape.size() == 0)
    return "the output is empty or of unknown size";
  const FCSizes s = sizes_of(type, p, site);
  if (s.depth <= 0) return "there is nothing to sum";
  if (!fc_reads_in_place(s, site.inputs[0], site.inputs[1])) return "X and W lie in different orders";
  if (site.outputs[0].layout == Layout::channels_last) return "the output is an image that is channels-last";
  if (site.bounded && s.axis != 1) return "the rows of the matrix are not the rows of X";
  return {};
}

Prepared prepare_packed_fc(const char* type, const FCParams& p, const CallSite& site) {
  const PackedLoops& loops = packed_loops();
  const FCSizes s = sizes_of(type, p, site);
  const FilterView view{1, s.columns, s.depth, 1, 1, 0, s.depth, 1, 0, 0};
  const auto pack = [&, w = site.inputs[1]](const Tensor& plain) -> Constant::Packed {
    auto packed = std::make_shared<PackedFilters>(pack_filters(loops, view, plain.data<float>()));
    return {packed, packed->bytes, [&loops, view, packed, w] {
              Tensor out = Tensor::allocate(w);
              unpack_filters(loops, view, *packed, out.data<float>());
              return out;
            }};
  };
  const auto filters =
      site.constants[1]->packed(join("packed ", loops.name, " matrix of ", s.columns, " rows"), "FC/packed_f32", pack);
  const OutputGrid grid{1, 1, 0, 0, 1, 1, 1, 1, {{0, 0, 0}}};
  auto state = std::make_shared<State>(
      State{PackedConvolution(loops, {s.rows, 1, 1, s.depth, 1, 1, view}, {grid}, site.context.threads),
            std::static_pointer_cast<const PackedFilters>(filters), s.columns});
  Prepared prepared;
  prepared.scratch_bytes = state->convolution.scratch_bytes();
  prepared.detail = loops.name;
  prepared.packed = {1};
  prepared.state = std::move(state);
  return prepared;
}

void run_packed_fc(const Call& call, bool relu) {
  const auto& state = *static_cast<const State*>(call.state);
  const PackedFinish finish{.bias = call.in<float>(2), .addend = nullptr, .relu = relu};
  state.convolution.run(*state.filters, call.output(0).size() / state.columns, call.in<float>(0), finish,
                        call.out<float>(0), call.scratch);
}

}  // namespace d2deploy
