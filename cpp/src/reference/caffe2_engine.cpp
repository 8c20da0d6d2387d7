// libd2deploy_caffe2.so: the C interface over Caffe2. Compiled by itself, as C++14 with libtorch's ABI; includes
// nothing of this project but the interface. Repeated fields of protobuf messages are not touched here: libtorch
// exports no code for them, so names come in from outside.
#include "caffe2_engine.h"

#include <caffe2/core/init.h>
#include <caffe2/core/net.h>
#include <caffe2/core/tensor.h>
#include <caffe2/core/workspace.h>
#include <caffe2/proto/caffe2_pb.h>
#include <caffe2/utils/proto_utils.h>
#include <omp.h>

#include <ext/stdio_sync_filebuf.h>

#include <cstdio>
#include <cstring>
#include <iostream>
#include <memory>
#include <mutex>
#include <stdexcept>
#include <string>

struct d2deploy_caffe2_engine {
  caffe2::Workspace workspace;
  caffe2::NetBase* net = nullptr;
};

namespace {

std::string& last_error() {
  static thread_local std::string text;
  return text;
}

// Caffe2's messages end in a stack of addresses; the first paragraph is what happened.
std::string first_part(const std::string& message) {
  const auto end = message.find("\nframe #");
  return message.substr(0, end);
}

template <class F>
auto guarded(F&& f, decltype(f()) failure) -> decltype(f()) {
  try {
    last_error().clear();
    return f();
  } catch (const std::exception& e) {
    last_error() = first_part(e.what());
  } catch (...) {
    last_error() = "an error of unknown type";
  }
  return failure;
}

void require(bool condition, const std::string& message) {
  if (!condition) throw std::runtime_error(message);
}

void read(const char* path, caffe2::NetDef* net) {
  require(caffe2::ReadProtoFromBinaryFile(path, net), std::string("cannot read ") + path + " as a NetDef");
}

caffe2::TypeMeta type_of(std::int32_t dtype) {
  switch (dtype) {
    case d2deploy_caffe2_float32: return caffe2::TypeMeta::Make<float>();
    case d2deploy_caffe2_int32: return caffe2::TypeMeta::Make<std::int32_t>();
    case d2deploy_caffe2_int64: return caffe2::TypeMeta::Make<std::int64_t>();
    case d2deploy_caffe2_uint8: return caffe2::TypeMeta::Make<std::uint8_t>();
    default: throw std::runtime_error("an input has an unknown element type");
  }
}

std::int32_t dtype_of(const caffe2::TypeMeta& type, const char* name) {
  for (std::int32_t d = d2deploy_caffe2_float32; d <= d2deploy_caffe2_uint8; ++d)
    if (type == type_of(d)) return d;
  throw std::runtime_error(std::string("blob ") + name + " holds elements that cannot be returned");
}

void feed(caffe2::Workspace& workspace, const d2deploy_caffe2_tensor& input) {
  const std::vector<std::int64_t> dims(input.dims, input.dims + input.rank);
  caffe2::Tensor* tensor = caffe2::BlobGetMutableTensor(workspace.CreateBlob(input.name), caffe2::CPU);
  tensor->Resize(dims);
  void* data = tensor->raw_mutable_data(type_of(input.dtype));
  std::memcpy(data, input.data, tensor->nbytes());
}

// An executable may hold the program's std::cout, cerr and clog (copy relocation). This library, bound to its own
// dependencies first (RTLD_DEEPBIND), then sees objects in libstdc++ that nobody has made. Caffe2 warns through them.
void make_stream(std::ostream& stream, std::FILE* file) {
  void* vtable = nullptr;
  std::memcpy(&vtable, static_cast<void*>(&stream), sizeof vtable);
  if (vtable != nullptr) return;
  // Never destroyed: Caffe2's threads may still write when the process ends.
  auto* buffer = new __gnu_cxx::stdio_sync_filebuf<char>(file);
  new (&stream) std::ostream(buffer);
}

void make_streams() {
  make_stream(std::cout, stdout);
  make_stream(std::cerr, stderr);
  make_stream(std::clog, stderr);
}

void initialise_once() {
  static std::once_flag once;
  std::call_once(once, [] { require(caffe2::GlobalInit(), "Caffe2's GlobalInit failed"); });
}

}  // namespace

extern "C" {

#define D2DEPLOY_EXPORT __attribute__((visibility("default")))

// Asked by the MKL inside libtorch, which else runs its SSE2 code on processors of other makers, at less than half the
// speed. It looks at what the processor can do all the same. This library's symbols come first (RTLD_DEEPBIND).
D2DEPLOY_EXPORT int mkl_serv_intel_cpu_true() { return 1; }

D2DEPLOY_EXPORT std::int32_t d2deploy_caffe2_abi() { return D2DEPLOY_CAFFE2_ABI; }

D2DEPLOY_EXPORT const char* d2deploy_caffe2_error() { return last_error().c_str(); }

D2DEPLOY_EXPORT d2deploy_caffe2_engine* d2deploy_caffe2_load(const char* predict_net, const char* init_net,
                                                             const char* const* inputs, std::int32_t count,
                                                             std::int32_t threads, std::int32_t global_init) {
  return guarded(
      [&]() -> d2deploy_caffe2_engine* {
        make_streams();
        if (global_init != 0) initialise_once();
        if (threads > 0) omp_set_num_threads(threads);
        auto engine = std::make_unique<d2deploy_caffe2_engine>();
        {
          caffe2::NetDef init;  // freed before the net is made: it is as large as the weights
          read(init_net, &init);
          require(engine->workspace.RunNetOnce(init), "the init net failed");
        }
        for (std::int32_t i = 0; i < count; ++i) engine->workspace.CreateBlob(inputs[i]);
        const auto predict = std::make_shared<caffe2::NetDef>();
        read(predict_net, predict.get());
        engine->net = engine->workspace.CreateNet(std::shared_ptr<const caffe2::NetDef>(predict), true);
        require(engine->net != nullptr, "the predict net cannot be made");
        return engine.release();
      },
      nullptr);
}

D2DEPLOY_EXPORT std::int32_t d2deploy_caffe2_run(d2deploy_caffe2_engine* engine, const d2deploy_caffe2_tensor* inputs,
                                                 std::int32_t count) {
  return guarded(
      [&] {
        for (std::int32_t i = 0; i < count; ++i) feed(engine->workspace, inputs[i]);
        require(engine->net->Run(), "the run failed");
        return 0;
      },
      1);
}

D2DEPLOY_EXPORT std::int32_t d2deploy_caffe2_output(d2deploy_caffe2_engine* engine, const char* name,
                                                    d2deploy_caffe2_tensor* output) {
  return guarded(
      [&] {
        const caffe2::Blob* blob = engine->workspace.GetBlob(name);
        require(blob != nullptr && blob->IsType<caffe2::Tensor>(), std::string("there is no tensor ") + name);
        const caffe2::Tensor& tensor = blob->Get<caffe2::Tensor>();
        require(tensor.dim() <= d2deploy_caffe2_max_rank, std::string("blob ") + name + " has too many dimensions");
        output->name = name;
        output->dtype = dtype_of(tensor.dtype(), name);
        output->rank = tensor.dim();
        for (int i = 0; i < tensor.dim(); ++i) output->dims[i] = tensor.size(i);
        output->data = tensor.raw_data();
        return 0;
      },
      1);
}

D2DEPLOY_EXPORT void d2deploy_caffe2_free(d2deploy_caffe2_engine* engine) { delete engine; }

}  // extern "C"
