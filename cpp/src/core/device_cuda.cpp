// NVIDIA GPUs, by the CUDA runtime.
#include <cuda_runtime_api.h>

#include <algorithm>
#include <vector>

#include "core/check.h"
#include "core/device_driver.h"

namespace d2deploy {

namespace {

// Errors after which the process must be started anew: every later call returns them, too.
bool is_last(cudaError_t status) {
  switch (status) {
    case cudaErrorIllegalAddress:
    case cudaErrorMisalignedAddress:
    case cudaErrorInvalidAddressSpace:
    case cudaErrorInvalidPc:
    case cudaErrorIllegalInstruction:
    case cudaErrorHardwareStackError:
    case cudaErrorLaunchFailure:
    case cudaErrorLaunchTimeout:
    case cudaErrorAssert:
    case cudaErrorECCUncorrectable:
    case cudaErrorNvlinkUncorrectable:
    case cudaErrorContained:
    case cudaErrorTensorMemoryLeak:
    case cudaErrorExternalDevice:
    case cudaErrorMpsClientTerminated: return true;
    default: return false;
  }
}

void check_cuda(cudaError_t status, const char* what) {
  if (status == cudaSuccess) return;
  (void)cudaGetLastError();  // what is not the last one is forgotten
  if (is_last(status)) fail<LostDevice>(what, ": ", cudaGetErrorString(status));
  fail<DeviceError>(what, ": ", cudaGetErrorString(status));
}

// The calling thread's device while this lives. Memory is given back with it, too, so it does not throw.
class Current {
 public:
  explicit Current(int index) noexcept {
    (void)cudaGetDevice(&before_);
    if (before_ != index) (void)cudaSetDevice(index);
  }
  ~Current() { (void)cudaSetDevice(before_); }
  Current(const Current&) = delete;
  Current& operator=(const Current&) = delete;

 private:
  int before_ = 0;
};

class CudaDriver : public DeviceDriver {
 public:
  int count() const override {
    int count = 0;
    if (cudaGetDeviceCount(&count) == cudaSuccess) return count;
    (void)cudaGetLastError();
    return 0;
  }

  std::string why_none() const override {
    int count = 0, driver = 0, runtime = 0;
    const cudaError_t status = cudaGetDeviceCount(&count);
    (void)cudaGetLastError();
    (void)cudaDriverGetVersion(&driver);
    (void)cudaRuntimeGetVersion(&runtime);
    if (driver == 0)
      return "no NVIDIA driver was found (libcuda.so.1); install one for CUDA " + version_text(runtime) + " or later";
    if (status == cudaErrorInsufficientDriver)
      return "the NVIDIA driver serves CUDA " + version_text(driver) + ", this build needs " + version_text(runtime) +
             "; install a newer driver";
    if (status == cudaSuccess || status == cudaErrorNoDevice)
      return "the NVIDIA driver shows none; nvidia-smi lists those of the machine, and CUDA_VISIBLE_DEVICES, "
             "where it is set, those that may be used";
    return std::string("the NVIDIA driver does not start: ") + cudaGetErrorString(status) +
           "; nvidia-smi may tell more";
  }

  std::string name(int index) const override {
    cudaDeviceProp properties{};
    check_cuda(cudaGetDeviceProperties(&properties, index), "cudaGetDeviceProperties");
    return properties.name;
  }

  std::shared_ptr<void> allocate(int index, std::size_t bytes) const override {
    const Current current(index);
    void* memory = nullptr;
    const cudaError_t status = cudaMalloc(&memory, std::max<std::size_t>(bytes, 1));
    if (status == cudaErrorMemoryAllocation) {
      (void)cudaGetLastError();
      std::size_t free = 0, total = 0;
      (void)cudaMemGetInfo(&free, &total);
      fail_for_memory(index, bytes, free, total);
    }
    check_cuda(status, "cudaMalloc");
    return {memory, [index](void* p) {
              const Current at(index);
              (void)cudaFree(p);
            }};
  }

  std::shared_ptr<void> allocate_pinned(int index, std::size_t bytes) const override {
    const Current current(index);
    void* memory = nullptr;
    const auto status =
        cudaHostAlloc(&memory, std::max<std::size_t>(bytes, 1), cudaHostAllocPortable | cudaHostAllocMapped);
    if (status == cudaErrorMemoryAllocation) {
      (void)cudaGetLastError();
      fail<OutOfMemory>("out of host memory that cuda:", index, " reaches: wanted ", bytes,
                        " bytes; give smaller images, or fewer at once");
    }
    check_cuda(status, "cudaHostAlloc");
    return {memory, [](void* p) { (void)cudaFreeHost(p); }};
  }

  int exchange_current(int index) const override {
    int before = 0;
    check_cuda(cudaGetDevice(&before), "cudaGetDevice");
    if (before != index) check_cuda(cudaSetDevice(index), "cudaSetDevice");
    return before;
  }

  std::shared_ptr<void> make_stream(int index) const override {
    const Current current(index);
    cudaStream_t stream = nullptr;
    check_cuda(cudaStreamCreateWithFlags(&stream, cudaStreamNonBlocking), "cudaStreamCreate");
    return {stream, [](void* p) { (void)cudaStreamDestroy(static_cast<cudaStream_t>(p)); }};
  }

  std::shared_ptr<void> make_event(int index) const override {
    const Current current(index);
    cudaEvent_t event = nullptr;
    check_cuda(cudaEventCreate(&event), "cudaEventCreate");
    return {event, [](void* p) { (void)cudaEventDestroy(static_cast<cudaEvent_t>(p)); }};
  }

  void copy(void* to, const void* from, std::size_t bytes, void* stream) const override {
    check_cuda(cudaMemcpyAsync(to, from, bytes, cudaMemcpyDefault, static_cast<cudaStream_t>(stream)), "copying");
  }
  void clear(void* memory, std::size_t bytes, void* stream) const override {
    check_cuda(cudaMemsetAsync(memory, 0, bytes, static_cast<cudaStream_t>(stream)), "clearing");
  }
  void synchronize(void* stream) const override {
    check_cuda(cudaStreamSynchronize(static_cast<cudaStream_t>(stream)), "work on the GPU");
  }

  std::shared_ptr<void> record(void* handle, const PartOrder& after,
                               const std::function<void(std::size_t part)>& work) const override {
    auto* stream = static_cast<cudaStream_t>(handle);
    check_cuda(cudaStreamBeginCapture(stream, cudaStreamCaptureModeThreadLocal), "recording");
    cudaGraph_t graph = nullptr;
    try {
      record_parts(stream, after, work);
    } catch (...) {
      (void)cudaStreamEndCapture(stream, &graph);
      (void)cudaGetLastError();
      if (graph != nullptr) (void)cudaGraphDestroy(graph);
      throw;
    }
    check_cuda(cudaStreamEndCapture(stream, &graph), "recording");
    cudaGraphExec_t executable = nullptr;
    const auto status = cudaGraphInstantiate(&executable, graph, 0);
    (void)cudaGraphDestroy(graph);
    check_cuda(status, "making a CUDA graph");
    return {executable, [](void* p) { (void)cudaGraphExecDestroy(static_cast<cudaGraphExec_t>(p)); }};
  }

  void replay(void* recording, void* stream) const override {
    check_cuda(cudaGraphLaunch(static_cast<cudaGraphExec_t>(recording), static_cast<cudaStream_t>(stream)),
               "launching a CUDA graph");
  }

  void mark(void* event, void* stream) const override {
    check_cuda(cudaEventRecord(static_cast<cudaEvent_t>(event), static_cast<cudaStream_t>(stream)), "cudaEventRecord");
  }
  void wait_for(void* event) const override {
    check_cuda(cudaEventSynchronize(static_cast<cudaEvent_t>(event)), "work on the GPU");
  }
  double milliseconds(void* begin, void* end) const override {
    wait_for(begin);
    wait_for(end);
    float time = 0;
    check_cuda(cudaEventElapsedTime(&time, static_cast<cudaEvent_t>(begin), static_cast<cudaEvent_t>(end)),
               "cudaEventElapsedTime");
    return static_cast<double>(time);
  }

 private:
  // Nodes of a graph that others are to come behind, and in which way.
  struct Ends {
    std::vector<cudaGraphNode_t> nodes;
    std::vector<cudaGraphEdgeData> edges;

    void add(const Ends& other) {
      for (std::size_t i = 0; i < other.nodes.size(); ++i) {
        if (std::ranges::find(nodes, other.nodes[i]) != nodes.end()) continue;
        nodes.push_back(other.nodes[i]);
        edges.push_back(other.edges[i]);
      }
    }
  };

  static Ends ends_of(cudaStream_t stream) {
    cudaStreamCaptureStatus status{};
    const cudaGraphNode_t* nodes = nullptr;
    const cudaGraphEdgeData* edges = nullptr;
    std::size_t count = 0;
    check_cuda(cudaStreamGetCaptureInfo(stream, &status, nullptr, nullptr, &nodes, &edges, &count), "recording");
    Ends ends;
    for (std::size_t i = 0; i < count; ++i) {
      ends.nodes.push_back(nodes[i]);
      ends.edges.push_back(edges != nullptr ? edges[i] : cudaGraphEdgeData{});
    }
    return ends;
  }

  // What is launched next comes behind these nodes alone, not behind what was launched last.
  static void come_behind(cudaStream_t stream, Ends& ends) {
    check_cuda(cudaStreamUpdateCaptureDependencies(stream, ends.nodes.data(), ends.edges.data(), ends.nodes.size(),
                                                   cudaStreamSetCaptureDependencies),
               "recording");
  }

  static void record_parts(cudaStream_t stream, const PartOrder& after,
                           const std::function<void(std::size_t part)>& work) {
    std::vector<Ends> ends(after.size());
    Ends all;
    for (std::size_t i = 0; i < after.size(); ++i) {
      Ends before;
      for (const std::size_t j : after[i]) before.add(ends[j]);
      come_behind(stream, before);
      work(i);
      ends[i] = ends_of(stream);
      all.add(ends[i]);
    }
    come_behind(stream, all);
  }

  static std::string version_text(int version) {
    return std::to_string(version / 1000) + '.' + std::to_string(version % 1000 / 10);
  }
};

}  // namespace

const DeviceDriver& cuda_driver() {
  static const CudaDriver driver;
  return driver;
}

}  // namespace d2deploy
