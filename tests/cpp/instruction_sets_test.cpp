// D2DEPLOY_INSTRUCTION_SET: this CPU stands for an older one.
#include "kernels/instruction_sets.h"

#include <gtest/gtest.h>

#include <cstdlib>
#include <string>

#include "d2deploy/error.h"
#include "kernels/packed.h"
#include "message_of.h"

namespace d2deploy {
namespace {

class InstructionSets : public testing::Test {
 protected:
  InstructionSets() { allow(""); }
  ~InstructionSets() override {
    if (before_.empty())
      unsetenv(kName);
    else
      setenv(kName, before_.c_str(), 1);
  }
  static void allow(const char* set) { setenv(kName, set, 1); }

 private:
  static constexpr const char* kName = "D2DEPLOY_INSTRUCTION_SET";
  std::string before_ = std::getenv(kName) == nullptr ? "" : std::getenv(kName);
};

TEST_F(InstructionSets, AreNoMoreThanTheEnvironmentAllows) {
  const bool avx2 = has_avx2(), avx512 = has_avx512();
  EXPECT_STREQ(packed_loops().name, avx512 ? "avx512" : avx2 ? "avx2" : "baseline");
  allow("avx512");
  EXPECT_EQ(has_avx512(), avx512);
  EXPECT_EQ(has_avx2(), avx2);
  allow("avx2");
  EXPECT_FALSE(has_avx512());
  EXPECT_EQ(has_avx2(), avx2);
  EXPECT_STREQ(packed_loops().name, avx2 ? "avx2" : "baseline");
  EXPECT_EQ(refuse_without_avx512(), "D2DEPLOY_INSTRUCTION_SET leaves no AVX-512");
  allow("baseline");
  EXPECT_FALSE(has_avx512());
  EXPECT_FALSE(has_avx2());
  EXPECT_STREQ(packed_loops().name, "baseline");
}

#if defined(__x86_64__)
TEST_F(InstructionSets, OfAnotherNameAreRefused) {
  allow("sse9");
  EXPECT_EQ(message_of<InvalidArgument>([] { (void)has_avx2(); }),
            "D2DEPLOY_INSTRUCTION_SET is 'sse9', must be avx512, avx2 or baseline");
}
#endif

}  // namespace
}  // namespace d2deploy
