#include "operators/constant.h"

#include <algorithm>

namespace d2deploy {

Tensor Constant::plain() {
  const std::lock_guard lock(mutex_);
  return plain_locked();
}

const Constant::Entry* Constant::exact() const {
  const auto it = std::ranges::find(entries_, true, [](const Entry& e) { return e.form.exact; });
  return it == entries_.end() ? nullptr : &*it;
}

Tensor Constant::plain_locked() {
  if (dropped_) {
    plain_ = exact()->packed.unpack();
    dropped_ = false;
  }
  return plain_;
}

std::shared_ptr<const void> Constant::packed(const std::string& form, const std::string& owner,
                                             const std::function<Packed(const Tensor&)>& pack) {
  const std::lock_guard lock(mutex_);
  const auto it = std::ranges::find(entries_, form, [](const Entry& e) { return e.form.name; });
  if (it != entries_.end()) return it->packed.data;
  Packed packed = pack(plain_locked());
  entries_.push_back({{form, owner, packed.bytes, packed.unpack != nullptr}, std::move(packed)});
  return entries_.back().packed.data;
}

std::shared_ptr<const void> Constant::packed_by(const std::string& owner) const {
  const std::lock_guard lock(mutex_);
  const auto it = std::ranges::find(entries_, owner, [](const Entry& e) { return e.form.owner; });
  return it == entries_.end() ? nullptr : it->packed.data;
}

std::vector<Constant::Form> Constant::forms() const {
  const std::lock_guard lock(mutex_);
  std::vector<Form> forms;
  for (const Entry& e : entries_) forms.push_back(e.form);
  return forms;
}

void Constant::drop_plain() {
  const std::lock_guard lock(mutex_);
  if (exact() == nullptr) return;
  plain_ = {};
  dropped_ = true;
}

}  // namespace d2deploy
