#include "operators/fc/fc_packed.h"

#include "operators/packed_filters.h"

namespace d2deploy {

namespace {

struct State {
  PackedConvolution convolution;
  std::shared_ptr<const PackedFilters> filters;
  std::int64_t columns;
};

}  // namespace

std::string reject_packed_fc(const char* type, const FCParams& p, const CallSite& site) {
  if (!site.is_constant(1)) return "the weights are not constant";
  return reject_packed_product(type, p, site);
}

Prepared prepare_packed_fc(const char* type, const FCParams& p, const CallSite& site) {
  const PackedLoops& loops = packed_loops();
  const FCSizes s = FCSizes::of(type, p, site);
  const FilterView view{1, s.columns, s.depth, 1, 1, 0, s.depth, 1, 0, 0};
  const auto filters = packed_filters(
      *site.constants[1], join("packed ", loops.name, " matrix of ", s.columns, " rows"), "FC/packed_f32", loops, view);
  const OutputGrid grid{1, 1, 0, 0, 1, 1, 1, 1, {{0, 0, 0}}};
  auto state = std::make_shared<State>(State{
      PackedConvolution(loops, {s.rows, 1, 1, s.depth, 1, 1, view}, {grid}, site.context.threads), filters, s.columns});
  return {.state = state, .scratch_bytes = state->convolution.scratch_bytes(), .detail = loops.name, .packed = {1}};
}

void run_packed_fc(const Call& call, bool relu) {
  const auto& state = *static_cast<const State*>(call.state);
  const PackedFinish finish{.bias = call.in<float>(2), .addend = nullptr, .relu = relu};
  state.convolution.run(*state.filters, call.output(0).size() / state.columns, call.in<float>(0), finish,
                        call.out<float>(0), call.scratch);
}

}  // namespace d2deploy
