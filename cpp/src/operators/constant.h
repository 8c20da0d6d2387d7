// A constant of a model: its plain values, and the packed forms that kernels made of it.
#pragma once
#include <functional>
#include <map>
#include <memory>
#include <mutex>
#include <string>
#include <vector>

#include "d2deploy/tensor.h"

namespace d2deploy {

/// Packed once per model and form, shared by all plans. Once every reader has a packed form the
/// plain values can be dropped; they come back from an exact form should another plan want them, or, where all forms
/// are of a smaller type, from one of those. Thread-safe.
class Constant {
 public:
  struct Packed {
    std::shared_ptr<const void> data;  // what the kernel wants to keep
    std::size_t bytes = 0;
    std::function<Tensor()> unpack;  // the plain values again; empty where the form does not have them
    bool rounded = false;            // those that it gives are not the ones it was made of, but pack to the same form
  };
  struct Form {
    std::string name, owner;
    std::size_t bytes = 0;
    bool exact = false;  ///< can be unpacked, bit for bit
  };

  explicit Constant(Tensor plain) : type_(plain.type()), plain_(std::move(plain)) {}

  const TensorType& type() const { return type_; }
  Tensor plain();
  /// The form of that name, made by `pack` where it is not there. `owner` is the kernel that knows it.
  std::shared_ptr<const void> packed(const std::string& form, const std::string& owner,
                                     const std::function<Packed(const Tensor& plain)>& pack);
  /// The form that `owner` made first; null where it has made none. A form is chosen once, not once per image size.
  std::shared_ptr<const void> packed_by(const std::string& owner) const;
  std::vector<Form> forms() const;
  /// Forgets the plain values where a form can give them back. Views handed out before stay valid.
  void drop_plain();

 private:
  struct Entry {
    Form form;
    Packed packed;
  };

  const Entry* source() const;
  Tensor plain_locked();

  TensorType type_;
  mutable std::mutex mutex_;
  Tensor plain_;
  bool dropped_ = false;
  bool read_plain_ = false;     // by a kernel that goes without a form of its own
  std::vector<Entry> entries_;  // few: one for each kernel that the model uses it with
};

}  // namespace d2deploy
