// A graph made ready for inputs of given types: kernels chosen, weights packed, memory placed.
// A plan is immutable and shared; what a run writes is a Session's.
#pragma once
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "core/log.h"
#include "d2deploy/model.h"
#include "operators/operator.h"
#include "passes/pass.h"

namespace d2deploy {

/// The constants of a model, by name.
using Constants = std::map<std::string, std::unique_ptr<Constant>>;

struct PlannedValue {
  enum class Place {
    input,     ///< given by the caller
    constant,  ///< the model's
    arena,     ///< at `offset` of the session's memory
    alias,     ///< the memory of `root`
    heap,      ///< shape not known before the run: settled then
  };
  std::string name;
  TensorType type;  ///< with the most rows that there can be
  int rows = -1;    ///< the row slot that says how many of them count; -1: all do
  Place place = Place::arena;
  std::size_t root = 0;    ///< alias: the value whose memory this is, never an alias itself
  std::size_t offset = 0;  ///< arena
  Tensor constant;
};

/// A number of rows that depends on data. A step writes it, row-wise steps pass it on: in the run it is one integer,
/// and the first dimension of all its values.
struct RowSlot {
  std::int64_t most = 0;
  std::vector<std::size_t> values;
};

/// What one run of a node costs: floating point operations, and bytes that it reads and writes.
struct Work {
  double flops = 0, bytes = 0;
};
/// Of a call with inputs and outputs of these types. Outputs must be known; unknown inputs count no bytes.
Work work_of(const Operator& op, const Parameters& params, const Inputs& inputs, const Types& outputs);

struct Step {
  const Operator* op = nullptr;
  Parameters params;
  const Kernel* kernel = nullptr;  ///< null for views
  Prepared prepared;
  std::vector<std::size_t> inputs, outputs;  ///< indices of values
  std::vector<std::size_t> writes;           ///< the row slots that it fills
  bool late = false;  ///< some shape depends on data in another way: shapes, memory and kernel are settled in the run
  std::size_t scratch_offset = 0;
  std::string label;  ///< for messages
  Work work;          ///< by the types above, with the most rows where they are bounded
};

struct Plan {
  std::vector<PlannedValue> values;
  std::vector<Step> steps;
  std::vector<RowSlot> rows;
  std::map<std::string, std::size_t> inputs;
  std::vector<std::size_t> outputs;  ///< in the order of the graph
  std::size_t arena_bytes = 0;
};

/// The steps of a plan as a profile of no run.
std::vector<NodeProfile> unused_profile(const Plan& plan);

/// Which kernels must be used, from "Conv=direct_f32,FC=...". Throws InvalidArgument for what does not exist.
std::map<std::string, std::string> parse_forced_kernels(const std::string& text);

/// Throws InvalidArgument where a tensor of this type is larger than allowed; <= 0: any size is.
void check_size(const TensorType& type, std::int64_t max_tensor_bytes);

struct PlanOptions {
  std::map<std::string, std::string> forced_kernels;
  Context context;
  std::int64_t max_tensor_bytes = 0;  ///< also bounds the scratch memory of a step, and the arena at 16 times as much
  bool low_memory = false;            ///< no kernel by backend winograd: its weights are four times as large
  Log log;
};

/// Throws InvalidArgument where the inputs do not fit the net, Unsupported where no kernel takes a node, DeviceError
/// where the net needs more memory for them than is allowed.
Plan make_plan(const Graph& graph, const TypeMap& input_types, const Constants& constants, const PlanOptions& options);

}  // namespace d2deploy
