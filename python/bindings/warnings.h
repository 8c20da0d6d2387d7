// What the library warns of, as warnings of Python.
#pragma once
#include <memory>
#include <string>

#include "d2deploy/model.h"

namespace d2deploy::bindings {

/// That a model runs in another precision than it was asked to.
class PrecisionWarning {
 public:
  /// For `ModelOptions::log`, which may outlive this.
  Log log() const;
  /// Warns, if there was one. Needs the GIL; raises where Python is told to.
  void raise() const;

 private:
  std::shared_ptr<std::string> text_ = std::make_shared<std::string>();
};

}  // namespace d2deploy::bindings
