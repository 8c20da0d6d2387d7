#include "operators/constant.h"

#include <algorithm>

namespace d2deploy {

Tensor Constant::plain() {
  const std::lock_guard lock(mutex_);
  const Tensor plain = plain_locked();
  read_plain_ = true;
  return plain;
}

// The form that the plain values can come back from; null where there is none.
const Constant::Entry* Constant::source() const {
  const auto exact = std::ranges::find(entries_, true, [](const Entry& e) { return e.form.exact; });
  if (exact != entries_.end()) return &*exact;
  // Rounded values do for those alone who round them in the same way.
  const bool same = !entries_.empty() && std::ranges::all_of(entries_, [&](const Entry& e) {
    return e.packed.rounded && e.packed.unpack != nullptr && e.form.owner == entries_[0].form.owner;
  });
  return same && !read_plain_ ? entries_.data() : nullptr;
}

Tensor Constant::plain_locked() {
  if (dropped_) {
    const Entry* from = source();
    const bool from_store = from == nullptr || (from->packed.rounded && store_ != nullptr);
    plain_ = from_store ? store_->plain() : from->packed.unpack();
    dropped_ = false;
  }
  return plain_;
}

std::shared_ptr<const void> Constant::packed(const std::string& form, const std::string& owner,
                                             const std::function<Packed(const Tensor&)>& pack, const Restore& restore) {
  const std::lock_guard lock(mutex_);
  const auto it = std::ranges::find(entries_, form, [](const Entry& e) { return e.form.name; });
  if (it != entries_.end()) return it->packed.data;
  const bool kept = store_ != nullptr && !restore.sizes.empty();
  auto parts = kept ? store_->load(form, restore.sizes) : std::vector<ConstantStore::Memory>();
  const bool found = !parts.empty();
  Packed packed = found ? restore.make(std::move(parts)) : pack(plain_locked());
  if (kept && !found) store_->save(form, packed.parts);
  const bool exact = packed.unpack != nullptr && !packed.rounded;
  entries_.push_back({{form, owner, packed.bytes, exact}, std::move(packed)});
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
  if (source() == nullptr && store_ == nullptr) return;
  plain_ = {};
  dropped_ = true;
}

}  // namespace d2deploy
