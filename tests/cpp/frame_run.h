// A model's plan in memory of its own, run without a session.
#pragma once
#include <gtest/gtest.h>

#include "allocation_count.h"
#include "core/device.h"
#include "core/threads.h"
#include "runtime/frame.h"
#include "runtime/model.h"

namespace d2deploy::testing {

inline std::unique_ptr<Frame> frame_of(const Model& model, const Tensors& inputs) {
  TypeMap types;
  for (const auto& [name, tensor] : inputs) types[name] = tensor.type();
  const Model::Impl& impl = impl_of(model);
  auto plan = impl.plan(types);
  auto arena = allocate(impl.plan_options.context.device, plan->arena_bytes);
  auto frame = std::make_unique<Frame>(std::move(plan), std::move(arena), impl.constants, impl.plan_options);
  frame->set_inputs(inputs);
  return frame;
}

/// After the first run, in which oneDNN and OpenMP make what they keep.
inline void expect_no_allocations(const Model& model, const Tensors& inputs) {
  const ThreadScope threads(2);
  const auto frame = frame_of(model, inputs);
  for (const Step& step : frame->plan().steps) EXPECT_FALSE(step.late) << step.label;
  frame->run();
  for (std::size_t s = 0; s < frame->plan().steps.size(); ++s) {
    const AllocationCount allocations;
    for (int i = 0; i < 10; ++i) frame->run_step(s);
    EXPECT_EQ(allocations.count(), 0) << frame->plan().steps[s].label << ", kernel "
                                      << (frame->plan().steps[s].kernel ? frame->plan().steps[s].kernel->name : "view");
  }
}

}  // namespace d2deploy::testing
