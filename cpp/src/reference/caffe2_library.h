// libd2deploy_caffe2.so, loaded.
#pragma once
#include <filesystem>
#include <memory>

#include "reference/caffe2_engine.h"

namespace d2deploy {

/// The functions of the library. It stays loaded for good: Caffe2 does not survive being unloaded.
struct Caffe2Library {
  decltype(&d2deploy_caffe2_error) error = nullptr;
  decltype(&d2deploy_caffe2_load) load = nullptr;
  decltype(&d2deploy_caffe2_run) run = nullptr;
  decltype(&d2deploy_caffe2_output) output = nullptr;
  decltype(&d2deploy_caffe2_free) free = nullptr;

  /// `path` empty: the environment variable D2DEPLOY_CAFFE2_LIBRARY, else the place where scripts/build_caffe2_engine
  /// puts it. Throws Unsupported where there is none, or one that is not ours or of another version.
  static Caffe2Library open(const std::filesystem::path& path);
  /// Throws DeviceError in a process that was forked after the library was loaded, where a call would never return.
  static void check_process();
};

}  // namespace d2deploy
