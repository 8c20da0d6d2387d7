// Finds out, from real pictures, what precision int8 needs to know of a net.
//
//   d2deploy::Calibrator calibrator("model.pb", "model_init.pb");
//   for (const auto& picture : pictures) calibrator.observe(picture);
//   for (const auto& picture : some_of(pictures)) calibrator.measure(picture);
//   calibrator.write("calibration.txt");
#pragma once
#include <filesystem>
#include <memory>
#include <string>
#include <vector>

#include "d2deploy/model.h"

#pragma GCC visibility push(default)
namespace d2deploy {

struct CalibratorOptions {
  int threads = 0;          ///< as ModelOptions has it
  float most_error = 0.1F;  ///< layers that int8 makes a larger error in, of the L2 norm of their output, stay float32
};

/// A layer that can run in int8.
struct CalibratedLayer {
  std::string output;
  double error = 0;  ///< L2 norm of what int8 changes in its output, all else being float32, by that of the output
  bool stays_float32 = false;
};

class Calibrator {
 public:
  /// Throws as Model::load.
  Calibrator(const std::filesystem::path& predict_net, const std::filesystem::path& init_net,
             const CalibratorOptions& options = {});
  ~Calibrator();
  Calibrator(Calibrator&&) noexcept;
  Calibrator& operator=(Calibrator&&) noexcept;

  const std::vector<std::string>& inputs() const;
  /// Runs the net and notes the ranges of its values. Throws as Session::run; InvalidModel where a value is not finite.
  void observe(const Tensors& inputs);
  /// Runs the net, and each of its layers in int8 on what the layer reads in float32. After all `observe`:
  /// InvalidArgument where there was none.
  void measure(const Tensors& inputs);
  /// In the order of the net.
  std::vector<CalibratedLayer> layers() const;
  /// Throws InvalidArgument where nothing was observed, or the file cannot be written.
  void write(const std::filesystem::path& file) const;

  struct Impl;

 private:
  std::unique_ptr<Impl> impl_;
};

}  // namespace d2deploy
#pragma GCC visibility pop
