// A constant of a model: its plain values, and the packed forms that kernels made of it.
#pragma once
#include <functional>
#include <map>
#include <memory>
#include <mutex>
#include <string>

#include "d2deploy/tensor.h"

namespace d2deploy {

/// Packed once per model and form, shared by all plans. Once every reader has a packed form the
/// plain values can be dropped; they come back from a packed form should another plan want them.
/// Thread-safe.
class Constant {
 public:
  struct Packed {
    std::shared_ptr<const void> data;  // what the kernel wants to keep
    std::function<Tensor()> unpack;    // the plain values again
  };

  explicit Constant(Tensor plain) : type_(plain.type()), plain_(std::move(plain)) {}

  const TensorType& type() const { return type_; }
  Tensor plain();
  std::shared_ptr<const void> packed(const std::string& form, const std::function<Packed(const Tensor& plain)>& pack);
  /// Forgets the plain values where a packed form exists. Views handed out before stay valid.
  void drop_plain();

 private:
  Tensor plain_locked();

  TensorType type_;
  std::mutex mutex_;
  Tensor plain_;
  bool dropped_ = false;
  std::map<std::string, Packed> packed_;
};

}  // namespace d2deploy
