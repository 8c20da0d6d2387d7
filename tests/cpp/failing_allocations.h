// Calls in which an allocation fails: a program that has failing_allocations.cpp gets all its memory through it.
#pragma once
#include <cstdint>
#include <functional>
#include <random>
#include <string>

namespace d2deploy::testing {

/// From here on no allocation fails.
void end_failures();

/// What is given back as text, to compare. Allocations of the test itself come behind `done`.
using Answer = std::function<std::string()>;

template <class T>
T done(T value) {
  end_failures();
  return value;
}

struct Outcome {
  bool failed = false;  ///< the allocation was reached
  std::string error;    ///< empty: there was an answer
  std::string answer;
};

/// A call in which allocation `at` fails, the first being 1, alone or with all that follow.
Outcome attempt(const Answer& call, std::int64_t at, bool all_that_follow);

/// Expects the answer `want`, or a DeviceError.
void expect_right(const std::string& what, std::int64_t at, const Outcome& outcome, const std::string& want);

/// Which allocations of a call fail: each, one after the other, or only so many, at random, where there are more.
class Places {
 public:
  Places(std::int64_t all, std::int64_t most);
  std::int64_t next() { return at_ += stride_ == 1 ? 1 : 1 + random_() % (2 * stride_ - 1); }

 private:
  std::int64_t at_ = 0, stride_;
  std::minstd_rand random_;
};

/// How many allocations a call has.
std::int64_t allocations_of(const Answer& call);

/// Makes `most` allocations of `call` fail, one after the other. Returns how many it has.
std::int64_t fail_one_after_the_other(const std::string& what, const Answer& call, bool all_that_follow,
                                      std::int64_t most);

}  // namespace d2deploy::testing
