// One operator of an init net -> one tensor.
#pragma once
#include <cstdint>
#include <functional>
#include <string_view>
#include <vector>

#include "d2deploy/log.h"
#include "d2deploy/tensor.h"
#include "io/float_run.h"
#include "io/net_index.h"

namespace d2deploy {

/// What init nets may hold.
enum class InitOperator { given, constant, copy, unsupported };
InitOperator init_operator(std::string_view type);
/// Why an operator is not among them; empty: there is nothing special to say.
std::string_view why_unsupported(std::string_view type);

/// What may be asked for on behalf of a file.
struct Limits {
  std::int64_t tensor_bytes = 0;
  std::int64_t constant_fill_bytes = 0;  ///< left for all ConstantFills together: their size costs nothing in the file
};

/// Finds a blob that was made before.
using Lookup = std::function<const Tensor&(std::string_view blob)>;

/// Values that are to be copied to their tensor.
struct PendingCopy {
  FloatRun run;
  float* values;
};

/// Makes the tensor of a fill or copy (which shares its input's memory). Nothing is allocated before shape, number of
/// values and limits agree. Many floats are left to be copied by the caller, in `pending`. Throws InvalidModel,
/// Unsupported.
Tensor read_fill(const NetIndex& net, std::size_t index, const Lookup& lookup, Limits& limits,
                 std::vector<PendingCopy>& pending, const Log& log);

}  // namespace d2deploy
