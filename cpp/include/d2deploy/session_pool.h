// Sessions of one model, for callers in any number of threads.
#pragma once
#include <memory>
#include <mutex>
#include <vector>

#include "d2deploy/model.h"

#pragma GCC visibility push(default)
namespace d2deploy {

/// Lends sessions: an idle one, or a new one where all are at work. They are kept, so there are as many as there were
/// calls at the same time. It must outlive what it lends.
class SessionPool {
 public:
  explicit SessionPool(std::shared_ptr<const Model> model);
  ~SessionPool();
  SessionPool(const SessionPool&) = delete;
  SessionPool& operator=(const SessionPool&) = delete;

  const Model& model() const { return *model_; }

  /// A session for as long as this lives. Outputs of its runs must be used, or cloned, until then.
  class Lease {
   public:
    explicit Lease(SessionPool& pool);
    ~Lease();
    Lease(const Lease&) = delete;
    Lease& operator=(const Lease&) = delete;
    Session* operator->() const { return session_.get(); }

   private:
    SessionPool& pool_;
    std::unique_ptr<Session> session_;
  };

 private:
  std::unique_ptr<Session> take();

  std::shared_ptr<const Model> model_;
  std::mutex mutex_;
  std::vector<std::unique_ptr<Session>> idle_;
  std::size_t sessions_ = 0;  // idle or at work
};

}  // namespace d2deploy
#pragma GCC visibility pop
