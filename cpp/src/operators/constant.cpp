#include "operators/constant.h"

namespace d2deploy {

Tensor Constant::plain() {
  const std::lock_guard lock(mutex_);
  return plain_locked();
}

Tensor Constant::plain_locked() {
  if (dropped_) {
    plain_ = packed_.begin()->second.unpack();
    dropped_ = false;
  }
  return plain_;
}

std::shared_ptr<const void> Constant::packed(const std::string& form,
                                             const std::function<Packed(const Tensor&)>& pack) {
  const std::lock_guard lock(mutex_);
  const auto it = packed_.find(form);
  if (it != packed_.end()) return it->second.data;
  return packed_.emplace(form, pack(plain_locked())).first->second.data;
}

void Constant::drop_plain() {
  const std::lock_guard lock(mutex_);
  if (packed_.empty()) return;
  plain_ = {};
  dropped_ = true;
}

}  // namespace d2deploy
