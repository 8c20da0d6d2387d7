// An environment variable for as long as this lives; then it is what it was.
#pragma once
#include <gtest/gtest.h>

#include <cstdlib>
#include <optional>
#include <string>

namespace d2deploy {

class Environment {
 public:
  Environment(const char* name, const char* value) : name_(name) {
    if (const char* was = std::getenv(name)) before_ = was;
    EXPECT_EQ(setenv(name, value, 1), 0);
  }
  ~Environment() { EXPECT_EQ(before_ ? setenv(name_, before_->c_str(), 1) : unsetenv(name_), 0); }
  Environment(const Environment&) = delete;
  Environment& operator=(const Environment&) = delete;

 private:
  const char* name_;
  std::optional<std::string> before_;
};

}  // namespace d2deploy
