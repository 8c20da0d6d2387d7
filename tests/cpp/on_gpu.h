// Options of models that run on a GPU.
#pragma once
#include <string>

#include "d2deploy/model.h"

namespace d2deploy::testing {

inline ModelOptions on_gpu(const std::string& precision = "float32", const std::string& device = "cuda") {
  ModelOptions options;
  options.device = device;
  options.precision = precision;
  return options;
}

}  // namespace d2deploy::testing
