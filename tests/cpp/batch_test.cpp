// The example model on several images at once gives each what it gives alone.
#include <filesystem>

#include "d2deploy/detector.h"
#include "net_run.h"
#include "picture.h"

using namespace d2deploy;
using d2deploy::testing::Picture;

namespace {

Tensors run(Session& session, const std::vector<ImageView>& images, std::int64_t divisibility) {
  const NetInputs in = to_net_inputs(images, divisibility);
  return cloned(session.run({{"data", in.data}, {"im_info", in.im_info}}));
}

// Rows [first, first + count) of every output that has one row per detection.
Tensors rows_of(const Tensors& outputs, std::int64_t first, std::int64_t count) {
  Tensors rows;
  for (const auto& [name, t] : outputs) {
    if (name == "batch_splits") continue;
    TensorType type = t.type();
    const std::int64_t row = type.shape[0] == 0 ? 0 : t.bytes() / type.shape[0];
    type.shape[0] = count;
    rows[name] = Tensor::view(type, static_cast<std::byte*>(const_cast<void*>(t.raw())) + first * row).clone();
  }
  return rows;
}

TEST(Batch, GivesEachImageWhatItGivesAlone) {
  const std::filesystem::path folder = D2DEPLOY_EXAMPLES "/mask_rcnn";
  const auto model = Model::load(folder / "model.pb", folder / "model_init.pb");
  const auto divisibility = model->info().size_divisibility;
  const std::vector<Picture> pictures{{3, 1}, {0, 2}, {1, 3}, {5, 4}};
  std::vector<ImageView> views;
  for (const auto& p : pictures) views.push_back(p.view());
  Session session(model);
  const Tensors together = run(session, views, divisibility);
  ASSERT_TRUE(together.contains("batch_splits"));
  const Tensor& splits = together.at("batch_splits");
  ASSERT_EQ(splits.shape(), Shape({static_cast<std::int64_t>(views.size())}));
  std::int64_t first = 0;
  for (std::size_t i = 0; i < views.size(); ++i) {
    const Tensors alone = run(session, {views[i]}, divisibility);
    EXPECT_FALSE(alone.contains("batch_splits"));
    const auto count = static_cast<std::int64_t>(splits.data<float>()[i]);
    const Tensors have = rows_of(together, first, count);
    EXPECT_EQ(difference(have, alone), "") << "image " << i;
    EXPECT_TRUE(same_bits(have, alone)) << "image " << i;
    first += count;
  }
  EXPECT_GT(first, 0) << "nothing was found in any picture, so nothing was compared";
}

TEST(Batch, OptimizedAndPlainGraphsAgree) {
  const std::filesystem::path folder = D2DEPLOY_EXAMPLES "/mask_rcnn";
  ModelOptions plain;
  plain.optimize = false;
  const auto fast = Model::load(folder / "model.pb", folder / "model_init.pb");
  const auto slow = Model::load(folder / "model.pb", folder / "model_init.pb", plain);
  Session a(fast), b(slow);
  const Picture picture(3, 1);
  const Tensors have = run(a, {picture.view()}, 32), want = run(b, {picture.view()}, 32);
  ASSERT_EQ(have.size(), want.size());
  for (const auto& [name, w] : want) {
    ASSERT_EQ(have.at(name).shape(), w.shape()) << name;
    // Fifty layers of sums in another order: some hundred roundings more than one layer has.
    for (std::int64_t i = 0; i < w.size(); ++i)
      ASSERT_NEAR(have.at(name).data<float>()[i], w.data<float>()[i],
                  1e-3F * std::max(1.0F, std::fabs(w.data<float>()[i])))
          << name << ' ' << i;
  }
}

}  // namespace
