// The ways that were chosen to compute convolutions, kept for later processes in the folder D2DEPLOY_CACHE.
#pragma once
#include <cstdint>
#include <optional>
#include <string>

namespace d2deploy::cudnn {

struct KeptPlan {
  std::int64_t engine = 0;  ///< cuDNN's number of the way
  std::string json;         ///< the plan as cuDNN writes it

  friend bool operator==(const KeptPlan&, const KeptPlan&) = default;
};

/// `key` says all that the choice depends on. None where no folder is named, or no sound file of just this key is in
/// it.
std::optional<KeptPlan> read_plan(const std::string& key);

/// Does nothing where it cannot: a plan only saves work.
void keep_plan(const std::string& key, const KeptPlan& plan);

}  // namespace d2deploy::cudnn
