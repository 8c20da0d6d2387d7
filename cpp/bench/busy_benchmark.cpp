// What a net takes while other processes want the same CPUs, against what it takes alone. The neighbours are made
// here: one per CPU, which only counts. They are stopped and let go in turn, so that a change of the machine's speed
// meets both.
#include <gflags/gflags.h>
#include <sched.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <cstdio>
#include <iostream>
#include <opencv2/imgcodecs.hpp>
#include <vector>

#include "core/check.h"
#include "core/threads.h"
#include "d2deploy/detector.h"

DEFINE_string(predict_net, "", "model.pb");
DEFINE_string(init_net, "", "model_init.pb");
DEFINE_string(input, "", "image to run");
DEFINE_int32(threads, 0, "threads; 0: as many as the process may use");
DEFINE_int32(rounds, 5, "rounds, each with runs alone and with neighbours");
DEFINE_int32(runs, 5, "timed runs of each kind in a round");

using namespace d2deploy;

namespace {

using Clock = std::chrono::steady_clock;

// Processes that keep one CPU each busy, from resume() until stop().
class Neighbours {
 public:
  Neighbours() {
    cpu_set_t allowed;
    check(sched_getaffinity(0, sizeof allowed, &allowed) == 0, "cannot find out which CPUs there are");
    const pid_t parent = getpid();
    for (int cpu = 0; cpu < CPU_SETSIZE; ++cpu)
      if (CPU_ISSET(cpu, &allowed)) processes_.push_back(start(cpu, parent));
  }
  ~Neighbours() {
    send(SIGKILL);
    for (const pid_t p : processes_) waitpid(p, nullptr, 0);
  }
  Neighbours(const Neighbours&) = delete;
  Neighbours& operator=(const Neighbours&) = delete;

  std::size_t count() const { return processes_.size(); }
  void stop() const { send(SIGSTOP); }
  void resume() const { send(SIGCONT); }

 private:
  static pid_t start(int cpu, pid_t parent) {
    const pid_t child = fork();
    check(child >= 0, "cannot start a process");
    if (child > 0) return child;
    prctl(PR_SET_PDEATHSIG, SIGKILL);  // never left behind, whatever becomes of the benchmark
    if (getppid() != parent) _exit(0);
    cpu_set_t own;
    CPU_ZERO(&own);
    CPU_SET(cpu, &own);
    sched_setaffinity(0, sizeof own, &own);
    for (volatile unsigned count = 0;;) count = count + 1;
  }
  void send(int signal) const {
    for (const pid_t p : processes_) kill(p, signal);
  }

  std::vector<pid_t> processes_;
};

double median(std::vector<double> values) {
  std::ranges::nth_element(values, values.begin() + static_cast<std::ptrdiff_t>(values.size() / 2));
  return values[values.size() / 2];
}

int run() {
  check(FLAGS_rounds >= 1 && FLAGS_runs >= 1, "--rounds and --runs must be at least 1");
  const Neighbours neighbours;  // before there are threads
  neighbours.stop();
  const cv::Mat image = cv::imread(FLAGS_input);
  check(!image.empty(), "cannot read the image '", FLAGS_input, "'");
  ModelOptions options;
  options.threads = FLAGS_threads;
  const auto model = Model::load(FLAGS_predict_net, FLAGS_init_net, options);
  const ImageView view{image.data, image.rows, image.cols, static_cast<std::int64_t>(image.step)};
  const auto [data, im_info] = to_net_inputs({&view, 1}, input_rule(*model));
  const Tensors inputs{{"data", data}, {"im_info", im_info}};
  Session session(model);
  const auto timed_runs = [&](std::vector<double>& times) {
    session.run(inputs);  // what changed has settled
    for (int i = 0; i < FLAGS_runs; ++i) {
      const auto start = Clock::now();
      session.run(inputs);
      times.push_back(std::chrono::duration<double, std::milli>(Clock::now() - start).count());
    }
  };
  session.run(inputs);
  std::vector<double> alone, busy;
  for (int r = 0; r < FLAGS_rounds; ++r) {
    timed_runs(alone);
    neighbours.resume();
    timed_runs(busy);
    neighbours.stop();
  }
  std::printf("alone       %8.1f ms, median of %zu runs with %d threads\n", median(alone), alone.size(),
              model->options().threads);
  std::printf("busy        %8.1f ms, with %zu other processes, one per CPU\n", median(busy), neighbours.count());
  std::printf("ratio       %8.2f\n", median(busy) / median(alone));
  return 0;
}

}  // namespace

int main(int argc, char** argv) try {
  gflags::SetUsageMessage("busy_benchmark --predict_net=model.pb --init_net=model_init.pb --input=photo.png");
  gflags::ParseCommandLineFlags(&argc, &argv, true);
  return run();
} catch (const std::exception& e) {
  std::cerr << "busy_benchmark: " << e.what() << '\n';
  return 1;
}
