// What a machine lacks that has no GPU, or not all that one needs: each thing is told with the way out. Libraries that
// do nothing stand in for what is too old (stub_driver.cpp, stub_cudnn.cpp).
#include <cuda_runtime_api.h>
#include <dlfcn.h>
#include <gtest/gtest.h>
#include <sys/wait.h>
#include <unistd.h>

#include <array>
#include <cstdlib>
#include <functional>
#include <string>

#include "core/check.h"
#include "core/device.h"
#include "kernels/cudnn/library.h"
#include "message_of.h"

namespace d2deploy {

namespace {

// The message of the DeviceError that `work` throws, in a process of its own: what is loaded once stays.
std::string device_error(const std::function<void()>& work) {
  std::array<int, 2> ends{};
  if (pipe(ends.data()) != 0) return "pipe failed";
  const pid_t child = fork();
  if (child == 0) {
    const std::string text = message_of<DeviceError>(work);
    const bool written = write(ends[1], text.data(), text.size()) == static_cast<ssize_t>(text.size());
    _exit(written ? 0 : 1);
  }
  close(ends[1]);
  std::string text;
  std::array<char, 512> part{};
  for (ssize_t n = 0; (n = read(ends[0], part.data(), part.size())) > 0;)
    text.append(part.data(), static_cast<std::size_t>(n));
  close(ends[0]);
  int status = 0;
  waitpid(child, &status, 0);
  return status == 0 ? text : "the process ended with status " + std::to_string(status);
}

// From then on it is what the name in it means, in this process.
void load(const char* library) {
  d2deploy::check(dlopen(library, RTLD_NOW | RTLD_LOCAL) != nullptr, "cannot load ", library);
}

std::string wanted_cuda() {
  return std::to_string(CUDART_VERSION / 1000) + '.' + std::to_string(CUDART_VERSION % 1000 / 10);
}

void ask_for_gpu() {
  check<InternalError>(device_count(Device::cuda) == 0, "there is a GPU");
  (void)device_name({Device::cuda, 0});
}

TEST(CudaErrors, NoDriver) {
  if (device_error([] { load("libcuda.so.1"); }) == "nothing was thrown") GTEST_SKIP() << "this machine has a driver";
  EXPECT_EQ(device_error(ask_for_gpu),
            "there is no device cuda:0: no NVIDIA driver was found (libcuda.so.1); install one for CUDA " +
                wanted_cuda() + " or later");
}

TEST(CudaErrors, OldDriver) {
  EXPECT_EQ(device_error([] {
              load(D2DEPLOY_OLD_DRIVER);
              ask_for_gpu();
            }),
            "there is no device cuda:0: the NVIDIA driver serves CUDA 12.4, this build needs " + wanted_cuda() +
                "; install a newer driver");
}

TEST(CudaErrors, DriverWithoutGpu) {
  EXPECT_EQ(device_error([] {
              load(D2DEPLOY_IDLE_DRIVER);
              ask_for_gpu();
            }),
            "there is no device cuda:0: the NVIDIA driver shows none; nvidia-smi lists those of the machine, and "
            "CUDA_VISIBLE_DEVICES, where it is set, those that may be used");
}

std::string cudnn_error(const char* library) {
  return device_error([library] {
    setenv("D2DEPLOY_CUDNN_LIBRARY", library, 1);
    (void)cudnn::functions();
  });
}

TEST(CudaErrors, NoCudnn) {
  const std::string text = cudnn_error("/nowhere/libcudnn.so.9");
  EXPECT_NE(text.find("a GPU needs cuDNN 9, which was not found: /nowhere/libcudnn.so.9"), std::string::npos) << text;
  EXPECT_NE(text.find("pip install nvidia-cudnn-cu13"), std::string::npos) << text;
}

TEST(CudaErrors, OldCudnn) {
  EXPECT_EQ(cudnn_error(D2DEPLOY_OLD_CUDNN), "a GPU needs cuDNN 9.0 or later, " D2DEPLOY_OLD_CUDNN
                                             " is 8.9.7; install a newer one: pip install --upgrade nvidia-cudnn-cu13");
}

TEST(CudaErrors, NotCudnn) {
  const std::string text = cudnn_error("libm.so.6");
  EXPECT_NE(text.find("has no cudnnGetVersion; install another"), std::string::npos) << text;
}

// Two in one process would be two times its memory: PyTorch's, for one, which loads it by its file.
TEST(CudaErrors, TheCudnnThatIsThereIsTaken) {
  EXPECT_EQ(device_error([] {
              unsetenv("D2DEPLOY_CUDNN_LIBRARY");
              load(D2DEPLOY_OTHER_CUDNN);
              fail<DeviceError>("version ", cudnn::functions().GetVersion());
            }),
            "version 90999");
}

}  // namespace

}  // namespace d2deploy
