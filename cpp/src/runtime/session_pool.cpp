#include "d2deploy/session_pool.h"

#include "core/check.h"

namespace d2deploy {

SessionPool::SessionPool(std::shared_ptr<const Model> model) : model_(std::move(model)) {}
SessionPool::~SessionPool() = default;

std::unique_ptr<Session> SessionPool::take() {
  const std::lock_guard lock(mutex_);
  if (idle_.empty()) {
    idle_.reserve(sessions_ + 1);  // so that giving back never fails
    auto made = std::make_unique<Session>(model_);
    ++sessions_;
    return made;
  }
  auto session = std::move(idle_.back());
  idle_.pop_back();
  return session;
}

SessionPool::Lease::Lease(SessionPool& pool) : pool_(pool), session_(guarded([&] { return pool.take(); })) {}
SessionPool::Lease::~Lease() {
  const std::lock_guard lock(pool_.mutex_);
  pool_.idle_.push_back(std::move(session_));
}

}  // namespace d2deploy
