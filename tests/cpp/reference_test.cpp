// The real Caffe2 as an engine. What needs its library is skipped where scripts/build_caffe2_engine has not run.
#include <gtest/gtest.h>

#include <sys/wait.h>
#include <unistd.h>

#include <cstdlib>
#include <fstream>
#include <functional>

#include "core/check.h"
#include "d2deploy/model.h"
#include "io/cpu_net.h"
#include "net_builder.h"

namespace d2deploy::testing {
namespace {

class Folder {
 public:
  Folder() {
    std::string name = ::testing::TempDir() + "reference-XXXXXX";
    if (mkdtemp(name.data()) != nullptr) path = name;
  }
  ~Folder() { std::filesystem::remove_all(path); }
  Folder(const Folder&) = delete;
  Folder& operator=(const Folder&) = delete;

  std::filesystem::path write(const char* name, const Net& net) const {
    std::ofstream(path / name, std::ios::binary) << net.bytes();
    return path / name;
  }
  std::filesystem::path path;
};

// y = Copy(Relu(data + w)), through the GPU.
Net gpu_predict_net() {
  Net net;
  net.op("CopyCPUToGPU", {"data"}, {"d"});
  net.op("Add", {"d", "w"}, {"sum"}, {{"broadcast", std::int64_t{0}}});
  net.op("Relu", {"sum"}, {"r"});
  net.op("CopyGPUToCPU", {"r"}, {"y"});
  net.inputs({"data", "w"}).outputs({"y"});
  net.def.set_name("net");  // Caffe2 takes no net without one
  for (auto& op : *net.def.mutable_op()) op.mutable_device_option()->set_device_type(1);
  return net;
}

Net gpu_init_net() {
  Net net;
  net.weight("w", {1, 2, 1, 1}, {1, -2}).outputs({"w"});
  net.def.mutable_op(0)->mutable_device_option()->set_device_type(1);
  return net;
}

Net cpu_predict_net() {
  Net net;
  net.op("Relu", {"data"}, {"y"}).inputs({"data", "w"}).outputs({"y"});
  net.def.set_name("net");
  net.def.mutable_device_option()->set_device_type(0);
  return net;
}

TEST(CpuNet, TakesDevicesAndCopiesOut) {
  const Folder folder;
  ASSERT_TRUE(write_cpu_net(folder.write("gpu.pb", gpu_predict_net()), folder.path / "cpu.pb"));
  proto::NetDef net;
  std::ifstream in(folder.path / "cpu.pb", std::ios::binary);
  ASSERT_TRUE(net.ParseFromIstream(&in));
  std::vector<std::string> types;
  for (const auto& op : net.op()) {
    EXPECT_FALSE(op.has_device_option()) << op.type();
    types.push_back(op.type());
  }
  EXPECT_EQ(types, (std::vector<std::string>{"Copy", "Add", "Relu", "Copy"}));
  EXPECT_EQ(net.op(1).arg(0).name(), "broadcast");
}

TEST(CpuNet, LeavesNetsForTheCpuAlone) {
  const Folder folder;
  EXPECT_FALSE(write_cpu_net(folder.write("model.pb", cpu_predict_net()), folder.path / "cpu.pb"));
  EXPECT_FALSE(std::filesystem::exists(folder.path / "cpu.pb"));
}

TEST(CpuNet, InitNetsToo) {
  const Folder folder;
  ASSERT_TRUE(write_cpu_net(folder.write("gpu.pb", gpu_init_net()), folder.path / "cpu.pb"));
  proto::NetDef net;
  std::ifstream in(folder.path / "cpu.pb", std::ios::binary);
  ASSERT_TRUE(net.ParseFromIstream(&in));
  EXPECT_FALSE(net.op(0).has_device_option());
  EXPECT_EQ(net.op(0).arg_size(), 2);
}

TEST(CpuNet, NetWideDevice) {
  const Folder folder;
  Net net = cpu_predict_net();
  net.def.mutable_device_option()->set_device_type(1);
  EXPECT_TRUE(write_cpu_net(folder.write("gpu.pb", net), folder.path / "cpu.pb"));
}

ModelOptions in_caffe2(const std::filesystem::path& library = {}) {
  ModelOptions options;
  options.engine = "caffe2";
  options.caffe2_library = library;
  options.threads = 1;
  return options;
}

template <class E>
std::string message_of(const std::function<void()>& f) {
  try {
    f();
  } catch (const E& e) {
    return e.what();
  } catch (const std::exception& e) {
    return std::string("another type: ") + e.what();
  }
  return "nothing was thrown";
}

#define EXPECT_HAS(text, part) EXPECT_NE((text).find(part), std::string::npos) << (text)

class Caffe2Errors : public ::testing::Test {
 protected:
  Folder folder;
  std::filesystem::path predict = folder.write("model.pb", gpu_predict_net());
  std::filesystem::path init = folder.write("model_init.pb", gpu_init_net());
};

TEST_F(Caffe2Errors, NoLibrary) {
  const auto text = message_of<Unsupported>([&] { Model::load(predict, init, in_caffe2("/nowhere/lib.so")); });
  EXPECT_HAS(text, "there is no library /nowhere/lib.so; scripts/build_caffe2_engine builds the library");
}

// Sanitizers end a process that opens a library with RTLD_DEEPBIND.
#ifdef D2DEPLOY_SANITIZED
constexpr bool kMayOpenLibraries = false;
#else
constexpr bool kMayOpenLibraries = true;
#endif

TEST_F(Caffe2Errors, NoLibraryAtAll) {
  if (!kMayOpenLibraries) GTEST_SKIP();
  const auto text = message_of<Unsupported>([&] { Model::load(predict, init, in_caffe2(predict)); });
  EXPECT_HAS(text, "cannot load " + predict.string());
}

TEST_F(Caffe2Errors, WrongLibrary) {
  if (!kMayOpenLibraries) GTEST_SKIP();
  const auto text = message_of<Unsupported>([&] { Model::load(predict, init, in_caffe2(D2DEPLOY_SOME_LIBRARY)); });
  EXPECT_HAS(text, "is not the Caffe2 engine: it has no d2deploy_caffe2_abi");
}

TEST_F(Caffe2Errors, UnknownEngine) {
  ModelOptions options;
  options.engine = "tensorrt";
  EXPECT_HAS(message_of<Unsupported>([&] { Model::load(predict, init, options); }), "available: native, caffe2");
}

class InCaffe2 : public Caffe2Errors {
 protected:
  void SetUp() override {
    if (!kMayOpenLibraries) GTEST_SKIP();
    const auto text = message_of<Unsupported>([&] { Model::load(predict, init, in_caffe2()); });
    if (text.find("there is no library") != std::string::npos) GTEST_SKIP() << text;
  }
};

TEST_F(InCaffe2, NetsForGpusRunOnTheCpu) {
  Session session(Model::load(predict, init, in_caffe2()));
  const Tensor data = Tensor::of<float>({1, 2, 1, 2}, {0, 1, 1, 5});
  const Tensors outputs = session.run({{"data", data}});
  ASSERT_EQ(outputs.size(), 1U);
  const auto y = outputs.at("y").values<float>();
  EXPECT_EQ(std::vector<float>(y.begin(), y.end()), (std::vector<float>{1, 2, 0, 3}));
  EXPECT_EQ(outputs.at("y").shape(), (Shape{1, 2, 1, 2}));
}

TEST_F(InCaffe2, OnlyTheInitNetIsForGpus) {
  Net net;
  net.op("Add", {"data", "w"}, {"y"}).inputs({"data", "w"}).outputs({"y"});
  net.def.set_name("net");
  Session session(Model::load(folder.write("cpu.pb", net), init, in_caffe2()));
  const Tensors outputs = session.run({{"data", Tensor::of<float>({1, 2, 1, 1}, {1, 5})}});
  const auto y = outputs.at("y").values<float>();
  EXPECT_EQ(std::vector<float>(y.begin(), y.end()), (std::vector<float>{2, 3}));
}

TEST_F(InCaffe2, SameAnswersAsNative) {
  const Tensor data = Tensor::of<float>({1, 2, 2, 2}, {0.5F, -1, 2, 3, -4, 5, 6, -7});
  Session native(Model::load(predict, init, {})), caffe2(Model::load(predict, init, in_caffe2()));
  const Tensor a = native.run({{"data", data}}).at("y"), b = caffe2.run({{"data", data}}).at("y");
  EXPECT_EQ(std::vector<float>(a.values<float>().begin(), a.values<float>().end()),
            std::vector<float>(b.values<float>().begin(), b.values<float>().end()));
}

// Caffe2's threads are the parent's.
TEST_F(InCaffe2, AForkedChildIsRefused) {
  Session session(Model::load(predict, init, in_caffe2()));
  const Tensors inputs{{"data", Tensor::of<float>({1, 2, 1, 1}, {1, 5})}};
  (void)session.run(inputs);
  const pid_t child = fork();
  if (child == 0) {
    alarm(30);  // where it hangs
    const auto run = message_of<DeviceError>([&] { session.run(inputs); });
    const auto load = message_of<DeviceError>([&] { Model::load(predict, init, in_caffe2()); });
    _exit(run.starts_with("engine caffe2: this process was forked") && run == load ? 0 : 1);
  }
  int status = -1;
  ASSERT_EQ(waitpid(child, &status, 0), child);
  EXPECT_EQ(status, 0);
  EXPECT_EQ(session.run(inputs).size(), 1U);
}

TEST_F(InCaffe2, MissingOperator) {
  Net net;
  net.op("NoSuchOperator", {"data"}, {"y"}).inputs({"data", "w"}).outputs({"y"});
  net.def.set_name("net");
  Net weights;
  weights.weight("w", {1}, {1}).outputs({"w"});
  const auto path = folder.write("odd.pb", net), plain = folder.write("plain_init.pb", weights);
  const auto text = message_of<InvalidModel>([&] { Model::load(path, plain, in_caffe2()); });
  EXPECT_HAS(text, "Caffe2 does not load it");
  EXPECT_HAS(text, "NoSuchOperator");
}

TEST_F(InCaffe2, FailureInARun) {
  Session session(Model::load(predict, init, in_caffe2()));
  const Tensor data = Tensor::of<float>({1, 3, 1, 1}, {1, 2, 3});  // w has two channels
  const auto text = message_of<InternalError>([&] { session.run({{"data", data}}); });
  EXPECT_HAS(text, "Caffe2: ");
}

}  // namespace
}  // namespace d2deploy::testing
