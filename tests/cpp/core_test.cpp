// What the system lets the process use, read from folders like those of the system; numbers in texts; messages when
// there is no memory for them.
#include <gtest/gtest.h>

#include <sched.h>

#include <filesystem>
#include <fstream>
#include <limits>
#include <map>
#include <thread>

#include "core/cgroup.h"
#include "core/check.h"
#include "core/log.h"
#include "core/memory.h"
#include "core/text.h"
#include "core/threads.h"
#include "d2deploy/tensor.h"
#include "message_of.h"

namespace d2deploy {
namespace {

/// A folder with these files in it, as text.
class Root {
 public:
  explicit Root(const std::map<std::string, std::string>& files) {
    std::string name = ::testing::TempDir() + "core-XXXXXX";
    if (mkdtemp(name.data()) != nullptr) path_ = name;
    for (const auto& [file, text] : files) {
      std::filesystem::create_directories((path_ / file).parent_path());
      std::ofstream(path_ / file) << text;
    }
  }
  ~Root() { std::filesystem::remove_all(path_); }
  Root(const Root&) = delete;
  Root& operator=(const Root&) = delete;

  std::string path() const { return path_.string(); }

 private:
  std::filesystem::path path_;
};

const std::string kGroup = "proc/self/cgroup", kMount = "sys/fs/cgroup/";

TEST(Cgroup, WithoutGroupsThereIsNoLimit) {
  const Root root({});
  EXPECT_EQ(cpu_quota(root.path()), std::nullopt);
  EXPECT_EQ(memory_limit(root.path()), std::nullopt);
  EXPECT_EQ(available_memory(root.path()), std::numeric_limits<std::size_t>::max());
}

TEST(Cgroup, Version2) {
  const Root root({{kGroup, "0::/user.slice/run.scope\n"},
                   {kMount + "user.slice/run.scope/cpu.max", "150000 100000\n"},
                   {kMount + "user.slice/run.scope/memory.max", "1073741824\n"}});
  EXPECT_EQ(cpu_quota(root.path()), 1.5);
  EXPECT_EQ(memory_limit(root.path()), 1073741824U);
}

TEST(Cgroup, MaxIsNoLimit) {
  const Root root({{kGroup, "0::/a\n"}, {kMount + "a/cpu.max", "max 100000\n"}, {kMount + "a/memory.max", "max\n"}});
  EXPECT_EQ(cpu_quota(root.path()), std::nullopt);
  EXPECT_EQ(memory_limit(root.path()), std::nullopt);
}

TEST(Cgroup, TheGroupsAboveCountToo) {
  const Root root({{kGroup, "0::/pods/pod/container\n"},
                   {kMount + "pods/pod/container/cpu.max", "max 100000\n"},
                   {kMount + "pods/pod/cpu.max", "200000 100000\n"},
                   {kMount + "pods/cpu.max", "6400000 100000\n"},
                   {kMount + "pods/other/cpu.max", "10000 100000\n"},
                   {kMount + "pods/pod/container/memory.max", "3000\n"},
                   {kMount + "pods/memory.max", "2000\n"}});
  EXPECT_EQ(cpu_quota(root.path()), 2);
  EXPECT_EQ(memory_limit(root.path()), 2000U);
}

// A container sees the name that its group has outside, and its own folder as the mounted one.
TEST(Cgroup, ContainerWithoutNamespace) {
  const Root root({{kGroup, "0::/system.slice/docker-1f.scope\n"},
                   {kMount + "cpu.max", "50000 100000\n"},
                   {kMount + "memory.max", "4096\n"}});
  EXPECT_EQ(cpu_quota(root.path()), 0.5);
  EXPECT_EQ(memory_limit(root.path()), 4096U);
}

TEST(Cgroup, AGroupOutsideOfWhatIsSeen) {
  const Root root({{kGroup, "0::/../../elsewhere\n"},
                   {"sys/elsewhere/cpu.max", "1 100000\n"},
                   {kMount + "cpu.max", "300000 100000\n"}});
  EXPECT_EQ(cpu_quota(root.path()), 3);
}

TEST(Cgroup, Version1) {
  const Root root(
      {{kGroup, "9:memory:/docker/1f\n4:cpu,cpuacct:/docker/1f\n3:cpuset:/docker/1f\n1:name=systemd:/docker/1f\n"},
       {kMount + "cpu,cpuacct/docker/1f/cpu.cfs_quota_us", "250000\n"},
       {kMount + "cpu,cpuacct/docker/1f/cpu.cfs_period_us", "100000\n"},
       {kMount + "cpu,cpuacct/cpu.cfs_quota_us", "-1\n"},
       {kMount + "cpu,cpuacct/cpu.cfs_period_us", "100000\n"},
       {kMount + "memory/docker/1f/memory.limit_in_bytes", "536870912\n"},
       {kMount + "memory/memory.limit_in_bytes", "9223372036854771712\n"}});
  EXPECT_EQ(cpu_quota(root.path()), 2.5);
  EXPECT_EQ(memory_limit(root.path()), 536870912U);
}

TEST(Cgroup, Version1InAContainerAndUnderOneName) {
  const Root root({{kGroup, "4:cpu,cpuacct:/docker/1f\n0::/docker/1f\n"},
                   {kMount + "cpu/cpu.cfs_quota_us", "100000\n"},
                   {kMount + "cpu/cpu.cfs_period_us", "100000\n"}});
  EXPECT_EQ(cpu_quota(root.path()), 1);
}

TEST(Cgroup, BothVersionsSideBySide) {
  const Root root({{kGroup, "4:cpu:/a\n0::/b\n"},
                   {kMount + "cpu/a/cpu.cfs_quota_us", "-1\n"},
                   {kMount + "cpu/a/cpu.cfs_period_us", "100000\n"},
                   {kMount + "unified/b/cpu.max", "700000 100000\n"},
                   {kMount + "unified/b/memory.max", "77\n"}});
  EXPECT_EQ(cpu_quota(root.path()), 7);
  EXPECT_EQ(memory_limit(root.path()), 77U);
}

TEST(Cgroup, FilesThatMakeNoSenseAreNoLimit) {
  const Root root({{kGroup, "nonsense\n0:/a\n4:cpu:/a\n0::/a\n"},
                   {kMount + "a/cpu.max", "100000 0\n"},
                   {kMount + "cpu.max", "\n"},
                   {kMount + "a/memory.max", "12 monkeys\n"},
                   {kMount + "memory.max", "99999999999999999999999\n"},
                   {kMount + "cpu/a/cpu.cfs_quota_us", "much\n"}});
  EXPECT_EQ(cpu_quota(root.path()), std::nullopt);
  EXPECT_EQ(memory_limit(root.path()), std::nullopt);
}

TEST(Memory, IsWhatSystemAndGroupLeave) {
  const std::string system = "MemTotal:       16384 kB\nMemFree:         1024 kB\nMemAvailable:    8192 kB\n";
  const Root free({{"proc/meminfo", system}});
  EXPECT_EQ(available_memory(free.path()), 8192U * 1024);
  const Root limited({{"proc/meminfo", system}, {kGroup, "0::/a\n"}, {kMount + "a/memory.max", "4096\n"}});
  EXPECT_EQ(available_memory(limited.path()), 4096U);
}

// How many CPUs the test may use decides what can be seen: with one there is no more than one.
TEST(Threads, AreThoseThatTheQuotaAllows) {
  const auto with_quota = [](const char* text) {
    const Root root({{kGroup, "0::/\n"}, {kMount + "cpu.max", text}});
    return available_threads(root.path());
  };
  const int all = with_quota("max 100000");
  EXPECT_EQ(all, std::min(all, static_cast<int>(std::thread::hardware_concurrency())));
  EXPECT_EQ(with_quota("100000 100000"), 1);
  EXPECT_EQ(with_quota("1000 100000"), 1);
  EXPECT_EQ(with_quota("110000 100000"), std::min(2, all));
  EXPECT_EQ(with_quota("200000 100000"), std::min(2, all));
  EXPECT_EQ(with_quota("100000000 100000"), all);
}

TEST(Threads, AreThoseThatTheAffinityAllows) {
  const Root root({});
  cpu_set_t before;
  ASSERT_EQ(sched_getaffinity(0, sizeof before, &before), 0);
  EXPECT_EQ(available_threads(root.path()), CPU_COUNT(&before));
  cpu_set_t one;
  CPU_ZERO(&one);
  for (int cpu = 0; cpu < CPU_SETSIZE && CPU_COUNT(&one) == 0; ++cpu)
    if (CPU_ISSET(cpu, &before)) CPU_SET(cpu, &one);
  ASSERT_EQ(sched_setaffinity(0, sizeof one, &one), 0);
  EXPECT_EQ(available_threads(root.path()), 1);
  ASSERT_EQ(sched_setaffinity(0, sizeof before, &before), 0);
}

TEST(Join, WritesNumbersAsC) {
  EXPECT_EQ(join(0.6, ' ', 1.0F, ' ', 1e9, ' ', 1.0F / 3, ' ', 1234567.0), "0.6 1 1e+09 0.333333 1.23457e+06");
  EXPECT_EQ(join(std::numeric_limits<std::int64_t>::min(), ' ', std::numeric_limits<std::uint64_t>::max()),
            "-9223372036854775808 18446744073709551615");
  EXPECT_EQ(join(true, std::uint8_t{7}, 'x', "y", std::string("z"), std::string_view("!")), "17xyz!");
  EXPECT_EQ(join(DType::uint8, Layout::channels_last, Shape{1, kUnknown}), "uint8channels_last(1, ?)");
  EXPECT_EQ(join(-std::numeric_limits<double>::infinity(), std::numeric_limits<float>::quiet_NaN()), "-infnan");
}

TEST(Fixed, HasItsDigits) {
  EXPECT_EQ(fixed(1234.5678, 2), "1234.57");
  EXPECT_EQ(fixed(-0.5, 0), "-0");
  EXPECT_EQ(fixed(1, 3), "1.000");
  EXPECT_EQ(fixed(std::numeric_limits<double>::max(), 1).size(), 311U);
}

// ---- Only errors leave ------------------------------------------------------------------------------

TEST(Guarded, TurnsAnyExceptionIntoAnError) {
  EXPECT_EQ(message_of<InvalidModel>([] { guarded([] { fail<InvalidModel>("x"); }); }), "x");
  EXPECT_EQ(message_of<OutOfMemory>([] { guarded([] { throw std::bad_alloc(); }); }), "out of memory");
  EXPECT_EQ(message_of<InternalError>([] { guarded([] { throw std::length_error("too long"); }); }), "too long");
  EXPECT_EQ(message_of<InternalError>([] { guarded([] { throw 7; }); }), "an exception of unknown type");
  EXPECT_EQ(guarded([] { return 7; }), 7);
}

template <class E, class Thrown>
void expect_in_context(const Thrown& thrown, const char* message) {
  EXPECT_EQ(message_of<E>([&] { with_context([] { return std::string("here"); }, [&] { throw thrown; }); }), message);
}

TEST(Memory, ThatIsNotThereIsOutOfMemory) {
  const std::string message = message_of<OutOfMemory>([] { (void)Tensor::allocate({DType::int8, {1LL << 62}}); });
  EXPECT_TRUE(message.starts_with("out of memory: 4611686018427387904 bytes of host memory wanted")) << message;
}

TEST(WithContext, KeepsTheTypeOfAnError) {
  expect_in_context<InvalidModel>(InvalidModel("x"), "here: x");
  expect_in_context<InvalidArgument>(InvalidArgument("x"), "here: x");
  expect_in_context<Unsupported>(Unsupported("x"), "here: x");
  expect_in_context<DeviceError>(DeviceError("x"), "here: x");
  expect_in_context<InternalError>(InternalError("x"), "here: x");
  expect_in_context<OutOfMemory>(std::bad_alloc(), "here: out of memory");
  expect_in_context<OutOfMemory>(OutOfMemory(), "here: out of memory");
  expect_in_context<OutOfMemory>(OutOfMemory("out of memory: 3 bytes"), "here: out of memory: 3 bytes");
  expect_in_context<InternalError>(std::out_of_range("x"), "here: x");
  const auto plain = [] { with_context([] { return std::string("here"); }, [] { throw Error("x"); }); };
  EXPECT_EQ(message_of<Error>(plain), "here: x");
  EXPECT_EQ(message_of<OutOfMemory>(
                [] { with_context([]() -> std::string { throw std::bad_alloc(); }, [] { fail<InvalidModel>("x"); }); }),
            "out of memory");
}

TEST(Log, FunctionsThatThrowAreTheCallersFault) {
  const auto with = [](const Log& sink) { log(sink, LogLevel::debug, "text"); };
  EXPECT_EQ(
      message_of<InvalidArgument>([&] { with([](LogLevel, std::string_view) { throw std::runtime_error("no"); }); }),
      "the log function threw an exception: no");
  EXPECT_EQ(message_of<Unsupported>([&] { with([](LogLevel, std::string_view) { throw Unsupported("no"); }); }), "no");
}

}  // namespace
}  // namespace d2deploy
