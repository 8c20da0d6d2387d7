// Where the parts of a NetDef lie in its bytes. Nothing is copied and no operator is parsed yet, so that an init net
// of any size is looked through at once.
#pragma once
#include <memory>
#include <set>
#include <string>
#include <string_view>
#include <vector>

#include "io/bytes.h"

namespace d2deploy {

/// What an operator is, short of its arguments.
struct OperatorHead {
  Bytes bytes;  ///< of the whole OperatorDef
  std::string_view type;
  std::vector<std::string_view> inputs, outputs;
};

struct NetIndex {
  std::string file;  ///< name for messages
  Bytes bytes;
  std::shared_ptr<void> memory;           ///< that of `bytes`, where tensors may take it over: the bytes are then lost
  std::set<const std::byte*> dense_runs;  ///< as read_sparsely left them
  std::string_view name, type;
  std::vector<OperatorHead> operators;
  std::vector<Bytes> arguments;
  std::vector<std::string_view> external_inputs, external_outputs;
};

/// Throws InvalidModel where `bytes` is no NetDef (saying what it is instead, if that can be seen), is truncated or
/// damaged, has names that are none, or more parts than any net has.
NetIndex index_net(Bytes bytes, const std::string& file);

/// "node 17 (Conv -> y)", as describe() has it.
std::string describe(const NetIndex& net, std::size_t index);

/// Throws where the two nets cannot be what they were given as: the same bytes twice, only fills where the predict net
/// should be, a net with inputs where the init net should be. InvalidArgument, since it is the call that is wrong.
void check_roles(const NetIndex& predict, const NetIndex& init);

}  // namespace d2deploy
