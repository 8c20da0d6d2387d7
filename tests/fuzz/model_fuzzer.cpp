// Files: four bytes (length of the predict net, big-endian), the predict net, the init net -> reader, passes, plan.
#include "fuzz.h"
#include "io/model_file.h"
#include "runtime/model.h"

using namespace d2deploy;

namespace {

void load(std::span<const std::uint8_t> bytes) {
  fuzz::Choices head(bytes);
  const std::size_t wanted = head.word();
  const auto nets = std::as_bytes(head.rest());
  const std::size_t length = std::min(wanted, nets.size());

  ModelOptions options;
  options.threads = 1;
  options.max_tensor_bytes = 8 << 20;  // small, so that what gets past the bound shows as memory
  options.optimize = wanted >> 31 == 0;
  Graph graph = read_model({nets.first(length), "model.pb"}, {nets.subspan(length), "model_init.pb"},
                           {options.max_tensor_bytes, options.log});
  const Model::Impl model(std::move(graph), options);
  TypeMap types;
  for (const auto& input : model.graph.inputs)
    types[input] = {DType::float32, input == "data" ? Shape{2, 3, 32, 64} : Shape{2, 3}, Layout::row_major};
  (void)model.plan(types);
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  fuzz::allow_errors([&] { load({data, size}); });
  return 0;
}
