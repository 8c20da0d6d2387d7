#include "kernels/cudnn/conv.h"

#include <algorithm>
#include <map>
#include <mutex>

#include "core/check.h"
#include "core/device.h"
#include "d2deploy/version.h"
#include "kernels/cudnn/descriptor.h"
#include "kernels/cudnn/kept_plan.h"

namespace d2deploy::cudnn {

namespace {

using Dims = std::vector<std::int64_t>;

enum Uid : std::int64_t { kX = 1, kW, kBias, kAddend, kY, kFirstVirtual };

cudnnDataType_t type_of(DType dtype) {
  if (dtype == DType::float16) return CUDNN_DATA_HALF;
  return dtype == DType::bfloat16 ? CUDNN_DATA_BFLOAT16 : CUDNN_DATA_FLOAT;
}

// A map or a bank of filters, channels last.
Descriptor map(std::int64_t uid, cudnnDataType_t type, const Dims& d, std::int64_t alignment, bool is_virtual = false) {
  return std::move(Descriptor(CUDNN_BACKEND_TENSOR_DESCRIPTOR)
                       .set(CUDNN_ATTR_TENSOR_UNIQUE_ID, uid)
                       .set(CUDNN_ATTR_TENSOR_DATA_TYPE, CUDNN_TYPE_DATA_TYPE, type)
                       .set(CUDNN_ATTR_TENSOR_BYTE_ALIGNMENT, alignment)
                       .set(CUDNN_ATTR_TENSOR_DIMENSIONS, d)
                       .set(CUDNN_ATTR_TENSOR_STRIDES, Dims{d[1] * d[2] * d[3], 1, d[1] * d[3], d[1]})
                       .set(CUDNN_ATTR_TENSOR_IS_VIRTUAL, CUDNN_TYPE_BOOLEAN, is_virtual))
      .finalize();
}

Descriptor pointwise(cudnnPointwiseMode_t mode, const Descriptor& x, const Descriptor* b, const Descriptor& y) {
  const Descriptor what = std::move(Descriptor(CUDNN_BACKEND_POINTWISE_DESCRIPTOR)
                                        .set(CUDNN_ATTR_POINTWISE_MODE, CUDNN_TYPE_POINTWISE_MODE, mode)
                                        .set(CUDNN_ATTR_POINTWISE_MATH_PREC, CUDNN_TYPE_DATA_TYPE, CUDNN_DATA_FLOAT))
                              .finalize();
  Descriptor operation(CUDNN_BACKEND_OPERATION_POINTWISE_DESCRIPTOR);
  operation.set(CUDNN_ATTR_OPERATION_POINTWISE_PW_DESCRIPTOR, what)
      .set(CUDNN_ATTR_OPERATION_POINTWISE_XDESC, x)
      .set(CUDNN_ATTR_OPERATION_POINTWISE_YDESC, y);
  if (b != nullptr) operation.set(CUDNN_ATTR_OPERATION_POINTWISE_BDESC, *b);
  return std::move(operation).finalize();
}

Descriptor convolution(const Window& at) {
  return std::move(Descriptor(CUDNN_BACKEND_CONVOLUTION_DESCRIPTOR)
                       .set(CUDNN_ATTR_CONVOLUTION_COMP_TYPE, CUDNN_TYPE_DATA_TYPE, CUDNN_DATA_FLOAT)
                       .set(CUDNN_ATTR_CONVOLUTION_CONV_MODE, CUDNN_TYPE_CONVOLUTION_MODE, CUDNN_CROSS_CORRELATION)
                       .set(CUDNN_ATTR_CONVOLUTION_SPATIAL_DIMS, std::int64_t{2})
                       .set(CUDNN_ATTR_CONVOLUTION_PRE_PADDINGS, Dims{at.pad_t, at.pad_l})
                       .set(CUDNN_ATTR_CONVOLUTION_POST_PADDINGS, Dims{at.pad_b, at.pad_r})
                       .set(CUDNN_ATTR_CONVOLUTION_DILATIONS, Dims{at.dilation_h, at.dilation_w})
                       .set(CUDNN_ATTR_CONVOLUTION_FILTER_STRIDES, Dims{at.stride_h, at.stride_w}))
      .finalize();
}

// The operations of a problem, and the ways that cuDNN knows to compute them, best first.
class Graph {
 public:
  Graph(const ConvProblem& p, cudnnHandle_t handle) : handle_(handle) {
    const Dims y_dims{p.n, p.k, p.window.out_h, p.window.out_w};
    const Descriptor x = map(kX, type_of(p.x), {p.n, p.c, p.h, p.w}, p.alignment);
    const Descriptor w = map(kW, type_of(p.x), {p.k, p.c / p.group, p.window.kernel_h, p.window.kernel_w}, 16);
    const Descriptor bias = map(kBias, CUDNN_DATA_FLOAT, {1, p.k, 1, 1}, 16);
    const Descriptor addend = map(kAddend, type_of(p.x), y_dims, p.alignment);
    const Descriptor y = map(kY, type_of(p.y), y_dims, p.alignment);
    std::vector<Descriptor> sums;
    for (std::int64_t i = 0; i < 3; ++i) sums.push_back(map(kFirstVirtual + i, CUDNN_DATA_FLOAT, y_dims, 16, true));
    const Descriptor window = convolution(p.window);
    const int steps = (p.bias ? 1 : 0) + (p.add ? 1 : 0) + (p.relu ? 1 : 0);
    int done = 0;
    const Descriptor* sum = steps == 0 ? &y : sums.data();
    std::vector<Descriptor> operations;
    operations.push_back(std::move(Descriptor(CUDNN_BACKEND_OPERATION_CONVOLUTION_FORWARD_DESCRIPTOR)
                                       .set(CUDNN_ATTR_OPERATION_CONVOLUTION_FORWARD_X, x)
                                       .set(CUDNN_ATTR_OPERATION_CONVOLUTION_FORWARD_W, w)
                                       .set(CUDNN_ATTR_OPERATION_CONVOLUTION_FORWARD_Y, *sum)
                                       .set(CUDNN_ATTR_OPERATION_CONVOLUTION_FORWARD_CONV_DESC, window)
                                       .set(CUDNN_ATTR_OPERATION_CONVOLUTION_FORWARD_ALPHA, CUDNN_TYPE_FLOAT, 1.0F)
                                       .set(CUDNN_ATTR_OPERATION_CONVOLUTION_FORWARD_BETA, CUDNN_TYPE_FLOAT, 0.0F))
                             .finalize());
    const auto then = [&](cudnnPointwiseMode_t mode, const Descriptor* with) {
      const Descriptor* to = ++done == steps ? &y : &sums[static_cast<std::size_t>(done)];
      operations.push_back(pointwise(mode, *sum, with, *to));
      sum = to;
    };
    if (p.bias) then(CUDNN_POINTWISE_ADD, &bias);
    if (p.add) then(CUDNN_POINTWISE_ADD, &addend);
    if (p.relu) then(CUDNN_POINTWISE_RELU_FWD, nullptr);
    std::vector<cudnnBackendDescriptor_t> all;
    for (const auto& o : operations) all.push_back(o.get());
    graph_ = std::move(Descriptor(CUDNN_BACKEND_OPERATIONGRAPH_DESCRIPTOR)
                           .set(CUDNN_ATTR_OPERATIONGRAPH_OPS, CUDNN_TYPE_BACKEND_DESCRIPTOR, all)
                           .set(CUDNN_ATTR_OPERATIONGRAPH_HANDLE, CUDNN_TYPE_HANDLE, handle))
                 .finalize();
    for (const auto mode : {CUDNN_HEUR_MODE_A, CUDNN_HEUR_MODE_FALLBACK}) ask(mode, p);
  }

  std::size_t size() const { return choices_.size(); }

  /// The plan of choice i; null where cuDNN cannot make it.
  std::shared_ptr<Descriptor> plan(std::size_t i) const {
    auto plan = std::make_shared<Descriptor>(CUDNN_BACKEND_EXECUTION_PLAN_DESCRIPTOR);
    plan->set(CUDNN_ATTR_EXECUTION_PLAN_HANDLE, CUDNN_TYPE_HANDLE, handle_)
        .set(CUDNN_ATTR_EXECUTION_PLAN_ENGINE_CONFIG, choices_[i]);
    return plan->try_finalize() ? plan : nullptr;
  }

  std::int64_t engine(std::size_t i) const { return engines_[i]; }

 private:
  void ask(cudnnBackendHeurMode_t mode, const ConvProblem& p) {
    Descriptor heuristics(CUDNN_BACKEND_ENGINEHEUR_DESCRIPTOR);
    heuristics.set(CUDNN_ATTR_ENGINEHEUR_OPERATION_GRAPH, graph_)
        .set(CUDNN_ATTR_ENGINEHEUR_MODE, CUDNN_TYPE_HEUR_MODE, mode);
    if (!heuristics.try_finalize()) return;
    std::int64_t count = 0;
    check(functions().BackendGetAttribute(heuristics.get(), CUDNN_ATTR_ENGINEHEUR_RESULTS,
                                          CUDNN_TYPE_BACKEND_DESCRIPTOR, 0, &count, nullptr),
          "heuristics");
    std::vector<Descriptor> found;
    std::vector<cudnnBackendDescriptor_t> handles;
    for (std::int64_t i = 0; i < count; ++i)
      handles.push_back(found.emplace_back(CUDNN_BACKEND_ENGINECFG_DESCRIPTOR).get());
    check(functions().BackendGetAttribute(heuristics.get(), CUDNN_ATTR_ENGINEHEUR_RESULTS,
                                          CUDNN_TYPE_BACKEND_DESCRIPTOR, count, &count, handles.data()),
          "heuristics");
    for (std::int64_t i = 0; i < count; ++i) add(std::move(found[static_cast<std::size_t>(i)]), p);
  }

  // Equal answers in every run, and no precision lost that nobody gave up.
  void add(Descriptor choice, const ConvProblem& p) {
    const Descriptor engine(CUDNN_BACKEND_ENGINE_DESCRIPTOR);
    auto handle = engine.get();
    std::int64_t count = 0;
    if (functions().BackendGetAttribute(choice.get(), CUDNN_ATTR_ENGINECFG_ENGINE, CUDNN_TYPE_BACKEND_DESCRIPTOR, 1,
                                        &count, &handle) != CUDNN_STATUS_SUCCESS)
      return;
    for (const auto note : engine.values<cudnnBackendNumericalNote_t>(
             CUDNN_ATTR_ENGINE_NUMERICAL_NOTE, CUDNN_TYPE_NUMERICAL_NOTE, CUDNN_NUMERICAL_NOTE_TYPE_COUNT)) {
      if (note == CUDNN_NUMERICAL_NOTE_NONDETERMINISTIC || note == CUDNN_NUMERICAL_NOTE_REDUCED_PRECISION_REDUCTION)
        return;
      const bool strict = p.x == DType::float32 && !p.tf32;
      if (strict && (note == CUDNN_NUMERICAL_NOTE_TENSOR_CORE || note == CUDNN_NUMERICAL_NOTE_DOWN_CONVERT_INPUTS))
        return;
    }
    choices_.push_back(std::move(choice));
    engines_.push_back(engine.integer(CUDNN_ATTR_ENGINE_GLOBAL_INDEX));
  }

  cudnnHandle_t handle_;
  Descriptor graph_{CUDNN_BACKEND_OPERATIONGRAPH_DESCRIPTOR};
  std::vector<Descriptor> choices_;
  std::vector<std::int64_t> engines_;
};

class CudnnConv : public Conv {
 public:
  CudnnConv(int device, const ConvProblem& problem, std::shared_ptr<Descriptor> plan, std::int64_t engine)
      : device_(device), add_(problem.add), bias_(problem.bias), plan_(std::move(plan)), engine_(engine) {}

  std::size_t scratch_bytes() const override {
    return static_cast<std::size_t>(plan_->integer(CUDNN_ATTR_EXECUTION_PLAN_WORKSPACE_SIZE));
  }
  std::string detail() const override { return join("engine ", engine_); }
  KeptPlan kept() const { return {engine_, plan_->text(CUDNN_ATTR_EXECUTION_PLAN_JSON_REPRESENTATION)}; }

  void run(void* stream, const ConvArguments& a) const override {
    Dims uids{kX, kW, kY};
    std::vector<const void*> pointers{a.x, a.w, a.y};
    if (bias_) {
      uids.push_back(kBias);
      pointers.push_back(a.bias);
    }
    if (add_) {
      uids.push_back(kAddend);
      pointers.push_back(a.addend);
    }
    const Descriptor pack = std::move(Descriptor(CUDNN_BACKEND_VARIANT_PACK_DESCRIPTOR)
                                          .set(CUDNN_ATTR_VARIANT_PACK_UNIQUE_IDS, uids)
                                          .set(CUDNN_ATTR_VARIANT_PACK_DATA_POINTERS, CUDNN_TYPE_VOID_PTR, pointers)
                                          .set(CUDNN_ATTR_VARIANT_PACK_WORKSPACE, CUDNN_TYPE_VOID_PTR, a.scratch))
                                .finalize();
    Handle& handle = Handle::of(device_);
    const std::scoped_lock lock(handle.mutex());
    check(functions().SetStream(handle.get(), static_cast<cudaStream_t>(stream)), "stream");
    check(functions().BackendExecute(handle.get(), plan_->get(), pack.get()), "convolution");
  }

 private:
  int device_;
  bool add_, bias_;
  std::shared_ptr<Descriptor> plan_;
  std::int64_t engine_;
};

// Runs of a convolution in memory of its own.
class Timer {
 public:
  Timer(Device device, const ConvProblem& p) : device_(device), stream_(device) {
    const auto bytes = [](std::int64_t count, DType dtype) { return static_cast<std::size_t>(count) * size_of(dtype); };
    const std::int64_t sums = p.n * p.k * p.window.out_h * p.window.out_w;
    x_ = noise(bytes(p.n * p.c * p.h * p.w, p.x));
    w_ = noise(bytes(p.k * p.c / p.group * p.window.kernel_h * p.window.kernel_w, p.x));
    bias_ = noise(bytes(p.k, DType::float32));
    addend_ = p.add ? noise(bytes(sums, p.x)) : nullptr;
    y_ = noise(bytes(sums, p.y));
  }

  double milliseconds(const Conv& conv) const {
    const auto scratch = allocate(device_, conv.scratch_bytes());
    const ConvArguments arguments{x_.get(),      w_.get(), static_cast<const float*>(bias_.get()),
                                  addend_.get(), y_.get(), scratch.get()};
    double best = 1e30;
    for (int i = 0; i < 5; ++i) {  // the first is slower than the others
      Event begin(device_), end(device_);
      begin.record(stream_);
      conv.run(stream_.handle(), arguments);
      end.record(stream_);
      best = std::min(best, end.milliseconds_since(begin));
    }
    return best;
  }

 private:
  // Numbers around 0.01, whatever their type: zeros would take less power, and so less time.
  std::shared_ptr<void> noise(std::size_t bytes) const {
    static const std::vector<std::uint16_t> values = [] {
      std::vector<std::uint16_t> all(std::size_t{1} << 19);
      std::uint32_t state = 1;
      for (auto& v : all) {
        state = state * 1664525U + 1013904223U;
        v = static_cast<std::uint16_t>(0x2000U | (state >> 16 & 0x8BFFU));
      }
      return all;
    }();
    auto memory = allocate(device_, bytes);
    for (std::size_t first = 0; first < bytes; first += values.size() * 2)
      stream_.copy(static_cast<std::byte*>(memory.get()) + first, device_, values.data(), {},
                   std::min(values.size() * 2, bytes - first));
    return memory;
  }

  Device device_;
  Stream stream_;
  std::shared_ptr<void> x_, w_, bias_, addend_, y_;
};

// Null where this cuDNN does not take the plan.
std::shared_ptr<const CudnnConv> restored(Device device, const ConvProblem& problem, const KeptPlan& kept) {
  try {
    auto plan = std::make_shared<Descriptor>(CUDNN_BACKEND_EXECUTION_PLAN_DESCRIPTOR);
    plan->set(CUDNN_ATTR_EXECUTION_PLAN_HANDLE, CUDNN_TYPE_HANDLE, Handle::of(device.index).get())
        .set(CUDNN_ATTR_EXECUTION_PLAN_JSON_REPRESENTATION, CUDNN_TYPE_CHAR,
             std::vector<char>(kept.json.begin(), kept.json.end()));
    if (!plan->try_finalize()) return nullptr;
    auto conv = std::make_shared<const CudnnConv>(device.index, problem, std::move(plan), kept.engine);
    (void)conv->scratch_bytes();
    return conv;
  } catch (const DeviceError&) {
    return nullptr;
  }
}

std::shared_ptr<const CudnnConv> choose(Device device, const ConvProblem& problem, bool tune) {
  const Graph graph(problem, Handle::of(device.index).get());
  constexpr std::size_t kTried = 8;
  std::shared_ptr<const CudnnConv> best;
  double least = 0;
  std::unique_ptr<Timer> timer;
  static std::mutex timing;  // convolutions that are timed side by side would measure each other
  std::size_t tried = 0;
  for (std::size_t i = 0; i < graph.size() && tried < kTried; ++i) {
    auto plan = graph.plan(i);
    if (plan == nullptr) continue;
    const auto conv = std::make_shared<CudnnConv>(device.index, problem, std::move(plan), graph.engine(i));
    if (!tune) return conv;
    ++tried;
    const std::scoped_lock lock(timing);
    if (timer == nullptr) timer = std::make_unique<Timer>(device, problem);
    const double time = timer->milliseconds(*conv);
    if (best != nullptr && time >= least) continue;
    best = conv;
    least = time;
  }
  return best;
}

std::shared_ptr<const Conv> restore_or_choose(Device device, const ConvProblem& problem, bool tune) {
  const DeviceScope scope(device);
  const auto key = join(D2DEPLOY_VERSION, " cuDNN ", functions().GetVersion(), " on ", device_name(device),
                        tune ? " tuned " : " ", problem.text());
  if (const auto kept = read_plan(key))
    if (auto conv = restored(device, problem, *kept)) return conv;
  auto conv = choose(device, problem, tune);
  if (conv != nullptr) keep_plan(key, conv->kept());
  return conv;
}

}  // namespace

std::string ConvProblem::text() const {
  const Window& at = window;
  return join(x, " (", n, ", ", c, ", ", h, ", ", w, ") ", k, " filters ", at.kernel_h, 'x', at.kernel_w, " group ",
              group, " stride ", at.stride_h, ' ', at.stride_w, " pads ", at.pad_t, ' ', at.pad_l, ' ', at.pad_b, ' ',
              at.pad_r, " dilation ", at.dilation_h, ' ', at.dilation_w, bias ? " bias" : "", add ? " add" : "",
              relu ? " relu" : "", tf32 ? " tf32" : "", " aligned to ", alignment, " to ", y);
}

std::shared_ptr<const Conv> make_conv(Device device, const ConvProblem& problem, bool tune) {
  struct Entry {
    std::mutex mutex;
    std::weak_ptr<const Conv> conv;
  };
  static std::mutex mutex;
  static std::map<std::string, std::shared_ptr<Entry>> entries;
  std::shared_ptr<Entry> entry;
  {
    const std::scoped_lock lock(mutex);
    std::erase_if(entries, [](const auto& e) { return e.second.use_count() == 1 && e.second->conv.expired(); });
    auto& known = entries[join(device, tune ? " tuned " : " ", problem.text())];
    if (known == nullptr) known = std::make_shared<Entry>();
    entry = known;
  }
  const std::scoped_lock lock(entry->mutex);  // one maker; who wants the same waits
  auto conv = entry->conv.lock();
  if (conv == nullptr) entry->conv = conv = restore_or_choose(device, problem, tune);
  return conv;
}

void check_available(Device device) { (void)Handle::of(device.index); }

}  // namespace d2deploy::cudnn
