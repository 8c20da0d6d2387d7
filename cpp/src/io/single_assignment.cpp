#include "io/single_assignment.h"

#include "io/faults.h"

namespace d2deploy {

namespace {

class Renamer {
 public:
  Renamer(const Graph& graph, const BlobSet& constants)
      : outputs_(graph.outputs.begin(), graph.outputs.end()), constants_(constants) {
    for (const auto& blob : graph.inputs) ++blobs_[blob].assignments;
    for (const auto& blob : constants) ++blobs_[blob].assignments;
    for (const Node& node : graph.nodes)
      for (const auto& blob : node.outputs) {
        Blob& b = blobs_[blob];
        ++b.assignments;
        if (b.first_maker == nullptr) b.first_maker = &node;
      }
  }

  /// The name of the blob's next value.
  const std::string& assign(const std::string& blob) {
    Blob& b = blobs_.at(blob);
    const bool first = b.made == 0, last = ++b.made == b.assignments;
    const bool keeps_name = outputs_.contains(blob) ? last : first;
    return b.value = keeps_name ? blob : unused(blob);
  }

  /// The name of its value at this point; null where it has none yet.
  const std::string* value(const std::string& blob) {
    const auto it = blobs_.find(blob);
    if (it == blobs_.end() || it->second.made == 0) return nullptr;
    if (it->second.made == 1 && constants_.contains(blob)) used_.try_emplace(blob, it->second.value);
    return &it->second.value;
  }

  /// Who assigns the blob first; null: nobody.
  const Node* maker(const std::string& blob) const {
    const auto it = blobs_.find(blob);
    return it == blobs_.end() ? nullptr : it->second.first_maker;
  }

  const std::map<std::string, std::string>& used_constants() const { return used_; }

 private:
  struct Blob {
    std::size_t assignments = 0, made = 0, suffix = 0;
    const Node* first_maker = nullptr;
    std::string value;
  };

  std::string unused(const std::string& blob) {
    std::size_t& suffix = blobs_.at(blob).suffix;
    std::string name;
    do name = blob + '.' + std::to_string(++suffix);
    while (blobs_.contains(name) || !fresh_.insert(name).second);
    return name;
  }

  std::map<std::string, Blob> blobs_;
  BlobSet outputs_, fresh_;
  const BlobSet& constants_;
  std::map<std::string, std::string> used_;
};

}  // namespace

std::map<std::string, std::string> assign_once(Graph& graph, const BlobSet& constants) {
  Renamer renamer(graph, constants);
  Faults faults;
  for (const auto& blob : constants) (void)renamer.assign(blob);
  for (const auto& blob : graph.inputs)
    if (renamer.assign(blob) != blob)
      faults.add("external input ", in_quotes(blob), " is overwritten by ", describe(*renamer.maker(blob)),
                 " and an external output as well; give the output a name of its own");
  BlobSet missing;  // each is told once
  for (Node& node : graph.nodes) {
    for (auto& blob : node.inputs) {
      if (const std::string* value = renamer.value(blob)) {
        blob = *value;
      } else if (missing.insert(blob).second) {
        const Node* maker = renamer.maker(blob);
        faults.add(describe(node), ": source for input ", in_quotes(blob), " is unknown: ",
                   maker ? "it is made only later, by " + describe(*maker)
                         : "no external input, init net or node before makes it");
      }
    }
    for (auto& blob : node.outputs) blob = renamer.assign(blob);
  }
  for (const auto& blob : graph.outputs)
    if (renamer.value(blob) == nullptr) faults.add("external output ", in_quotes(blob), " is never made");
  check<InvalidModel>(faults.empty(), faults.text());
  return renamer.used_constants();
}

}  // namespace d2deploy
