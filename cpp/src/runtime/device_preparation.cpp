#include "runtime/device_preparation.h"

#include <algorithm>
#include <atomic>
#include <chrono>
#include <exception>
#include <mutex>
#include <thread>

#include "core/device.h"

namespace d2deploy {

namespace {

const Kernel& next_kernel(const Step& step, const CallSite& site) {
  const auto& all = step.op->kernels;
  for (const Kernel* k = step.kernel + 1; k < all.data() + all.size(); ++k)
    if (device_of(k->backend) == site.context.device.kind && k->reject(*step.op, step.params, site).empty()) return *k;
  fail<DeviceError>("no kernel for ", site.context.device, " finds a way to compute this call");
}

// Called in several threads.
class SharedLog {
 public:
  explicit SharedLog(const Log& log) : log_(log) {}
  template <class... T>
  void debug(const T&... text) {
    const std::scoped_lock lock(mutex_);
    log(log_, LogLevel::debug, text...);
  }

 private:
  const Log& log_;
  std::mutex mutex_;
};

void prepare(Step& step, const CallSite& site, SharedLog& log) {
  const DeviceScope scope(site.context.device);
  while (true) {
    try {
      step.prepared = step.kernel->prepare(*step.op, step.params, site);
      return;
    } catch (const Unsupported& e) {
      log.debug(step.label, ": kernel ", step.kernel->name, ": ", e.what());
    }
    step.kernel = &next_kernel(step, site);
  }
}

}  // namespace

Tensor constant_on(Device device, Constant& constant) {
  const auto pack = [device](const Tensor& plain) -> Constant::Packed {
    auto there = std::make_shared<Tensor>(upload(device, plain));
    return {there, static_cast<std::size_t>(there->bytes()), {}};
  };
  const auto name = join("plain on ", device);
  return *std::static_pointer_cast<const Tensor>(constant.packed(name, name, pack));
}

void DevicePreparation::add(std::size_t step, const CallSite& site) {
  calls_.push_back({step,
                    {site.inputs.begin(), site.inputs.end()},
                    {site.outputs.begin(), site.outputs.end()},
                    {site.constants.begin(), site.constants.end()},
                    site.bounded,
                    site.context,
                    site.images});
}

void DevicePreparation::run(std::vector<Step>& steps, const PlanOptions& options) const {
  using Clock = std::chrono::steady_clock;
  const auto begin = Clock::now();
  const auto convolutions =
      std::ranges::count_if(calls_, [&](const Call& c) { return steps[c.step].kernel->backend == Backend::cudnn; });
  SharedLog log(options.log);
  const Device device = options.context.device;
  if (convolutions != 0)
    log.debug("making ", convolutions, " convolutions ready for ", device, " and these sizes of inputs");
  std::atomic<std::size_t> next = 0;
  std::vector<std::exception_ptr> errors(calls_.size());
  const auto work = [&] {
    for (std::size_t i = 0; (i = next++) < calls_.size();) {
      Step& step = steps[calls_[i].step];
      try {
        with_context([&] { return step.label; }, [&] { prepare(step, calls_[i].site(), log); });
      } catch (...) {
        errors[i] = std::current_exception();
      }
    }
  };
  {
    std::vector<std::jthread> others;
    const std::size_t threads = std::min<std::size_t>(std::max(1, options.context.threads), calls_.size());
    for (std::size_t i = 1; i < threads; ++i) others.emplace_back(work);
    work();
  }
  for (const auto& error : errors)
    if (error) std::rethrow_exception(error);
  if (convolutions != 0)
    log.debug(convolutions, " convolutions were made ready for ", device, " in ",
              std::chrono::duration<double>(Clock::now() - begin).count(), " s");
}

std::vector<DevicePreparation::Constants> DevicePreparation::constants() const {
  std::vector<Constants> all;
  for (const Call& c : calls_) all.push_back({c.step, c.constants});
  return all;
}

}  // namespace d2deploy
