// An init net: operators that make the weights.
#pragma once
#include <map>
#include <set>
#include <string>

#include "io/fill.h"
#include "io/model_file.h"
#include "io/net_index.h"

namespace d2deploy {

class InitNet {
 public:
  /// Looks at the operators, not at their values. Throws Unsupported (all operators that an init net may not hold),
  /// InvalidModel (wrong numbers of inputs and outputs, a copy of nothing). `net` must outlive this.
  InitNet(const NetIndex& net, const ReadOptions& options);

  /// The blobs that it makes.
  const std::set<std::string, std::less<>>& blobs() const { return blobs_; }

  /// The values of the blobs in `wanted`, all of which it makes. Where a blob is made twice, the later one wins.
  /// To be called once where the net's memory may be taken over. Throws InvalidModel, with all faults at once.
  std::map<std::string, Tensor> read(const std::set<std::string, std::less<>>& wanted) const;

 private:
  void check_operators() const;
  void find_blobs();
  std::vector<bool> needed_for(std::set<std::string, std::less<>> wanted) const;
  void copy(const std::vector<PendingCopy>& pending) const;

  const NetIndex& net_;
  const ReadOptions& options_;
  std::set<std::string, std::less<>> blobs_;
};

}  // namespace d2deploy
