// C's d2d_model and d2d_session: the net alone.
#include <filesystem>

#include "capi/convert.h"
#include "capi/handle.h"

namespace capi = d2deploy::capi;
using d2deploy::Model, d2deploy::Session, d2deploy::Tensor, d2deploy::Tensors;

// NOLINTBEGIN(readability-identifier-naming): these are C's
struct d2d_model : capi::Handle {
  static constexpr auto kKind = capi::Kind::model;
  explicit d2d_model(std::shared_ptr<const Model> loaded)
      : Handle(kKind),
        model(std::move(loaded)),
        inputs(capi::names_of(model->inputs())),
        outputs(capi::names_of(model->outputs())) {}

  std::shared_ptr<const Model> model;
  capi::Names inputs, outputs;
};

struct d2d_session : capi::Handle {
  static constexpr auto kKind = capi::Kind::session;
  explicit d2d_session(const std::shared_ptr<const Model>& of) : Handle(kKind), model(of), session(of) {}

  void forget() {
    ordered.clear();
    outputs.clear();
  }

  void run(const Tensors& inputs) {
    outputs = session.run(inputs);
    std::vector<const Tensors::value_type*> all;
    for (const std::string& name : model->outputs())
      if (const auto it = outputs.find(name); it != outputs.end()) all.push_back(&*it);
    for (const auto& output : outputs)
      if (output.first == "batch_splits" && all.size() < outputs.size()) all.push_back(&output);
    ordered = std::move(all);
  }

  std::shared_ptr<const Model> model;
  Session session;
  Tensors outputs;
  std::vector<const Tensors::value_type*> ordered;  // those of `outputs`
};
// NOLINTEND(readability-identifier-naming)

namespace {

Tensors tensors_of(const d2d_tensor* inputs, std::int64_t count) {
  d2deploy::check(count >= 0, "count is ", count, ", wanted the number of inputs");
  if (count > 0) capi::required(inputs, "inputs");
  Tensors tensors;
  for (std::int64_t i = 0; i < count; ++i) {
    const std::string name = &capi::required(inputs[i].name, "the name of an input");
    d2deploy::with_context([&] { return "input '" + name + "'"; },
                           [&] {
                             const bool is_new = tensors.emplace(name, capi::tensor_of(inputs + i)).second;
                             d2deploy::check(is_new, "it is given twice");
                           });
  }
  return tensors;
}

}  // namespace

d2d_status d2d_model_load(const char* folder, const d2d_options* options, d2d_model** model) {
  return capi::create(__func__, model, [&] {
    const std::filesystem::path in = &capi::required(folder, "folder");
    return std::make_unique<d2d_model>(
        Model::load(in / "model.pb", in / "model_init.pb", capi::model_options(options)));
  });
}

d2d_status d2d_model_load_files(const char* predict_net, const char* init_net, const d2d_options* options,
                                d2d_model** model) {
  return capi::create(__func__, model, [&] {
    return std::make_unique<d2d_model>(Model::load(&capi::required(predict_net, "predict_net"),
                                                   &capi::required(init_net, "init_net"),
                                                   capi::model_options(options)));
  });
}

d2d_status d2d_model_free(d2d_model* model) { return capi::destroy(__func__, model); }

d2d_status d2d_model_facts(const d2d_model* model, d2d_facts* facts) {
  return capi::call(__func__, [&] { capi::give(*capi::object(model).model, 1, facts); });
}

d2d_status d2d_model_inputs(const d2d_model* model, const char* const** names, int64_t* count) {
  return capi::call(__func__, [&] { capi::give(capi::object(model).inputs, names, count); });
}

d2d_status d2d_model_outputs(const d2d_model* model, const char* const** names, int64_t* count) {
  return capi::call(__func__, [&] { capi::give(capi::object(model).outputs, names, count); });
}

d2d_status d2d_session_create(const d2d_model* model, d2d_session** session) {
  return capi::create(__func__, session, [&] { return std::make_unique<d2d_session>(capi::object(model).model); });
}

d2d_status d2d_session_free(d2d_session* session) { return capi::destroy(__func__, session); }

d2d_status d2d_session_run(d2d_session* session, const d2d_tensor* inputs, int64_t count) {
  return capi::call(__func__, [&] {
    d2d_session& of = capi::object(session);
    of.forget();  // the run will write over them
    of.run(tensors_of(inputs, count));
  });
}

d2d_status d2d_session_output_count(const d2d_session* session, int64_t* count) {
  return capi::call(__func__, [&] {
    capi::required(count, "count") = static_cast<std::int64_t>(capi::object(session).ordered.size());
  });
}

d2d_status d2d_session_output(const d2d_session* session, int64_t i, d2d_tensor* output) {
  return capi::call(__func__, [&] {
    const auto& all = capi::object(session).ordered;
    const auto count = static_cast<std::int64_t>(all.size());
    d2deploy::check(i >= 0 && i < count, "there is no output ", i, ", there are ", count);
    const auto& [name, tensor] = *all[static_cast<std::size_t>(i)];
    capi::give(name.c_str(), tensor, output);
  });
}
