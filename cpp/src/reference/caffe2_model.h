// A model in the real Caffe2, as a reference for answers and speed.
#pragma once
#include <filesystem>
#include <mutex>
#include <string>
#include <vector>

#include "d2deploy/model.h"
#include "reference/caffe2_library.h"

namespace d2deploy {

/// One Caffe2 workspace with both nets loaded; calls take turns.
class Caffe2Model {
 public:
  struct Options {
    std::filesystem::path library;  ///< empty: the usual place
    int threads = 1;
    /// Whether Caffe2's GlobalInit runs, as in its example programs. Unless OMP_NUM_THREADS and MKL_NUM_THREADS are set
    /// it puts both to one thread, and setting OpenMP's afterwards does not undo that: half the speed on two cores.
    bool global_init = false;
  };
  /// Nets for GPUs are loaded as nets for the CPU. Throws Unsupported (library), InvalidModel with Caffe2's own words.
  Caffe2Model(const std::filesystem::path& predict_net, const std::filesystem::path& init_net,
              std::vector<std::string> inputs, const Options& options);
  ~Caffe2Model();
  Caffe2Model(const Caffe2Model&) = delete;
  Caffe2Model& operator=(const Caffe2Model&) = delete;

  /// The outputs, in memory of their own. Throws InternalError with Caffe2's own words where the run fails.
  Tensors run(const Tensors& inputs, const std::vector<std::string>& outputs);

 private:
  Tensor output(const std::string& name) const;

  Caffe2Library library_;
  std::mutex mutex_;
  d2deploy_caffe2_engine* engine_ = nullptr;
};

}  // namespace d2deploy
