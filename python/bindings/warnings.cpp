#include "warnings.h"

#include <nanobind/nanobind.h>

namespace d2deploy::bindings {

Log PrecisionWarning::log() const {
  return [text = text_](LogLevel level, std::string_view message) {
    if (level == LogLevel::warning && message.starts_with("precision ")) *text = message;
  };
}

void PrecisionWarning::raise() const {
  if (!text_->empty() && PyErr_WarnEx(PyExc_UserWarning, text_->c_str(), 1) != 0) throw nanobind::python_error();
}

}  // namespace d2deploy::bindings
