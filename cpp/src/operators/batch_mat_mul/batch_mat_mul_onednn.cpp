// Products of oneDNN: all pairs of a call are one primitive.
#include "kernels/onednn.h"
#include "operators/batch_mat_mul/batch_mat_mul.h"

namespace d2deploy {

namespace {

using dnnl::memory;
using Descriptor = dnnl::matmul::primitive_desc;

struct State {
  dnnl::matmul matmul;
  memory::desc a, b, y, scratch;
};

// One of the three tensors: its dimensions as oneDNN has them, and the elements from one index to the next.
struct Operand {
  memory::dims dims, strides;

  memory::desc desc() const { return {dims, memory::data_type::f32, strides}; }
};

// Matrices (rows, columns) that lie one behind the other, one for each index of `batch`, or one for all along its
// dimensions of 1.
Operand operand(memory::dims batch, std::int64_t rows, std::int64_t columns, bool transposed) {
  Operand o{std::move(batch), {}};
  o.strides.resize(o.dims.size());
  std::int64_t step = rows * columns;
  for (std::size_t d = o.dims.size(); d-- > 0; step *= o.dims[d]) o.strides[d] = step;
  o.dims.insert(o.dims.end(), {rows, columns});
  o.strides.insert(o.strides.end(), {transposed ? 1 : columns, transposed ? rows : 1});
  return o;
}

// The dimensions before the matrices, of which neighbours are one where A and B are read alike along both.
struct Batch {
  memory::dims a, b, y;

  static Batch of(const Shape& a, const Shape& b, const Shape& y) {
    Batch batch;
    const auto size = [&](const Shape& x, std::size_t d) {
      const std::size_t own = x.rank() < 2 ? 0 : x.rank() - 2, missing = y.rank() - own;
      return d < missing ? 1 : x[d - missing];
    };
    for (std::size_t d = 0; d < y.rank(); ++d)
      if (y[d] != 1) batch.add(size(a, d), size(b, d), y[d]);
    return batch;
  }

 private:
  void add(std::int64_t in_a, std::int64_t in_b, std::int64_t in_y) {
    if (!y.empty() && (a.back() == 1) == (in_a == 1) && (b.back() == 1) == (in_b == 1)) {
      a.back() *= in_a;
      b.back() *= in_b;
      y.back() *= in_y;
      return;
    }
    a.push_back(in_a);
    b.push_back(in_b);
    y.push_back(in_y);
  }
};

// Throws dnnl::error where oneDNN cannot do it.
Descriptor describe(const BatchMatMul::Params& p, const CallSite& site) {
  const Shape &a = site.inputs[0].shape, &b = site.inputs[1].shape;
  auto s = BatchMatMul::sizes(p, a, b);
  Batch batch = Batch::of(a, b, s.batch);
  const bool trans_a = p.trans_a && a.rank() > 1, trans_b = p.trans_b && b.rank() > 1;
  if (batch.y.size() == 1 && batch.b[0] == 1 && !trans_a) {  // all rows of A with one B: a single product
    s.m *= batch.y[0];
    batch = {};
  }
  return {onednn::cpu(), operand(batch.a, s.m, s.k, trans_a).desc(), operand(batch.b, s.k, s.n, trans_b).desc(),
          operand(batch.y, s.m, s.n, false).desc(), onednn::attributes()};
}

std::string reject(const BatchMatMul::Params& p, const CallSite& site) {
  if (site.bounded) return "the number of products is known in the run alone";
  if (!site.inputs[0].shape.known() || !site.inputs[1].shape.known()) return "the sizes are unknown";
  if (site.inputs[0].shape.size() == 0 || site.inputs[1].shape.size() == 0) return "there is nothing to sum";
  try {
    return onednn::refuse_slow(describe(p, site).impl_info_str());
  } catch (const dnnl::error& e) {
    return onednn::refusal(e);
  }
}

Prepared prepare(const BatchMatMul::Params& p, const CallSite& site) {
  return onednn::translated([&] {
    const Descriptor desc = describe(p, site);
    const State state{dnnl::matmul(desc), desc.src_desc(), desc.weights_desc(), desc.dst_desc(),
                      desc.scratchpad_desc()};
    Prepared prepared;
    prepared.detail = desc.impl_info_str();
    prepared.scratch_bytes = state.scratch.get_size();
    prepared.state = std::make_shared<State>(state);
    return prepared;
  });
}

void run(const BatchMatMul::Params&, const Call& call) {
  const auto& state = *static_cast<const State*>(call.state);
  onednn::translated([&] {
    onednn::execute(state.matmul, {{DNNL_ARG_SRC, state.a, call.input(0).raw()},
                                   {DNNL_ARG_WEIGHTS, state.b, call.input(1).raw()},
                                   {DNNL_ARG_DST, state.y, call.output(0).raw()},
                                   {DNNL_ARG_SCRATCHPAD, state.scratch, call.scratch}});
  });
}

}  // namespace

template <>
Kernels<BatchMatMul> kernels<BatchMatMul, Backend::onednn>() {
  return {{"onednn_f32", reject, run, prepare}};
}

}  // namespace d2deploy
