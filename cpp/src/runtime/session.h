// Runs plans, step by step, in memory of its own.
#pragma once
#include <memory>
#include <vector>

#include "core/device.h"
#include "runtime/frame.h"
#include "runtime/model.h"

namespace d2deploy {

struct Session::Impl {
  std::shared_ptr<const Model> model;
  std::shared_ptr<void> arena;
  std::size_t arena_bytes = 0;
  std::unique_ptr<Frame> frame;
  bool profiling = false;
  std::vector<NodeProfile> profile;  // per step of the frame's plan

  const Model::Impl& net() const { return impl_of(*model); }

  /// `fills`: on a device, inputs that are made there instead of given.
  Tensors run(const Tensors& given, const Fills& fills = {});

 private:
  void bind(std::shared_ptr<const Plan> plan);
  void note_profile(std::size_t s, double milliseconds);
  Tensors collect(const TypeMap& types) const;
};

/// For the library itself.
Session::Impl& impl_of(Session& session);

}  // namespace d2deploy
