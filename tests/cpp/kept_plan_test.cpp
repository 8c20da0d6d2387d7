// Plans of convolutions in the folder of the cache: what was kept comes back, and nothing else does.
#include "kernels/cudnn/kept_plan.h"

#include <gtest/gtest.h>
#include <unistd.h>

#include <filesystem>
#include <fstream>
#include <thread>
#include <vector>

#include "environment.h"

namespace d2deploy::cudnn {
namespace {

using std::filesystem::path;

class KeptPlans : public ::testing::Test {
 protected:
  const path folder_ = path(::testing::TempDir()) / ("kept_plans_" + std::to_string(getpid()));
  const Environment cache_{"D2DEPLOY_CACHE", folder_.c_str()};
  const std::string key_ = "1.0 cuDNN 91301 on a GPU float32 (1, 64, 200, 304) 64 filters 3x3 to float32";
  const KeptPlan plan_{28, std::string("{\"engine\": 28}\0", 15)};

  void TearDown() override { std::filesystem::remove_all(folder_); }

  path file() const {
    const std::filesystem::directory_iterator all(folder_ / "cudnn");
    return all->path();
  }
};

TEST_F(KeptPlans, ComeBack) {
  EXPECT_EQ(read_plan(key_), std::nullopt);
  keep_plan(key_, plan_);
  EXPECT_EQ(read_plan(key_), plan_);
  EXPECT_EQ(read_plan(key_ + " tuned"), std::nullopt);
  const KeptPlan other{3, "{}"};
  keep_plan(key_ + " tuned", other);
  EXPECT_EQ(read_plan(key_ + " tuned"), other);
  EXPECT_EQ(read_plan(key_), plan_);
}

TEST_F(KeptPlans, AreReplaced) {
  keep_plan(key_, plan_);
  const KeptPlan other{3, "{}"};
  keep_plan(key_, other);
  EXPECT_EQ(read_plan(key_), other);
}

// Whichever byte it is, the file is cut, or another key's is in its place.
TEST_F(KeptPlans, ThatAreDamagedAreNotThere) {
  keep_plan(key_, plan_);
  std::string whole;
  {
    std::ifstream in(file(), std::ios::binary);
    whole.assign(std::istreambuf_iterator<char>(in), {});
  }
  const auto put = [&](const std::string& bytes) { std::ofstream(file(), std::ios::binary) << bytes; };
  std::size_t unseen = 0;  // bytes between parts count for nothing
  for (std::size_t i = 0; i < whole.size(); ++i) {
    std::string bytes = whole;
    bytes[i] = static_cast<char>(bytes[i] ^ 1);
    put(bytes);
    const auto found = read_plan(key_);
    unseen += found ? 1 : 0;
    EXPECT_TRUE(!found || *found == plan_) << "byte " << i;
  }
  EXPECT_LT(unseen, whole.size() - key_.size() - plan_.json.size());
  for (std::size_t size = 0; size < whole.size(); ++size) {
    put(whole.substr(0, size));
    EXPECT_EQ(read_plan(key_), std::nullopt) << size << " bytes";
  }
  put(whole + '\0');
  EXPECT_EQ(read_plan(key_), std::nullopt);
  const path of_key = file();
  std::filesystem::remove_all(folder_);
  keep_plan("another key", plan_);
  std::filesystem::rename(file(), of_key);
  EXPECT_EQ(read_plan(key_), std::nullopt);
  keep_plan(key_, plan_);
  EXPECT_EQ(read_plan(key_), plan_) << "one that is not there is written over";
}

TEST_F(KeptPlans, NeedAFolder) {
  {
    const Environment none("D2DEPLOY_CACHE", "");
    keep_plan(key_, plan_);
    EXPECT_EQ(read_plan(key_), std::nullopt);
  }
  EXPECT_FALSE(std::filesystem::exists(folder_));
  std::ofstream(folder_) << "a file in its place";
  keep_plan(key_, plan_);
  EXPECT_EQ(read_plan(key_), std::nullopt);
}

TEST_F(KeptPlans, AreWrittenByManyAtOnce) {
  {
    std::vector<std::jthread> threads;
    for (int i = 0; i < 8; ++i)
      threads.emplace_back([this] {
        for (int run = 0; run < 20; ++run) {
          keep_plan(key_, plan_);
          const auto found = read_plan(key_);
          EXPECT_TRUE(!found || *found == plan_);
        }
      });
  }
  EXPECT_EQ(read_plan(key_), plan_);
}

}  // namespace
}  // namespace d2deploy::cudnn
