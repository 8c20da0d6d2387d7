// The fast way through a fill: its one long list of floats is copied straight from the file, or stays where it is.
#pragma once
#include <set>
#include <string>

#include "io/bytes.h"

namespace d2deploy {

inline constexpr std::size_t kTaggedBytes = 1 + sizeof(float);  ///< of a float on the wire with its tag
inline constexpr std::size_t kLeastRun = 1024;  ///< bytes of an argument with a run; protobuf is as fast with less

/// A list of float32 on the wire.
struct FloatRun {
  Bytes bytes;
  std::size_t stride = 0;  ///< 4: packed; 5: a tag before each value; 0: there is no run
  bool dense = false;      ///< the values stand at aligned_place, side by side, instead of on the wire

  std::size_t size() const { return stride == 0 ? 0 : bytes.size() / stride; }
  /// `values` may lie in the run itself, at an aligned_place.
  void copy_to(float* values) const;
  /// Where in the run all its values have room, aligned as a tensor; null where they have not.
  const std::byte* aligned_place() const;
};

/// An operator of which the values of argument `values` are kept out, if they are many floats in one run.
struct SplitOperator {
  std::string rest;  ///< the OperatorDef without them; meaningless where there is no run
  FloatRun run;
};

/// Finds the run. Where anything is unusual (few floats, another order, another argument) there is none, and protobuf's
/// parser should read the operator. `bytes` has passed index_net. `dense`: where runs begin that are read already.
SplitOperator split_floats(Bytes file, Bytes bytes, const std::set<const std::byte*>& dense = {});

/// The floats with tags in the argument `values`, as far as its first bytes and its length tell; empty where it is
/// something else.
Bytes tagged_run(Bytes file, Bytes argument);
/// Whether they are what they look like; `bytes` is whole floats with their tags.
bool every_value_is_tagged(Bytes bytes);

}  // namespace d2deploy
