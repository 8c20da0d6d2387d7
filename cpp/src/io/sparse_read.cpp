#include "io/sparse_read.h"

#include <algorithm>
#include <cstdint>
#include <cstring>
#include <vector>

#include "core/check.h"
#include "core/threads.h"
#include "io/file.h"
#include "io/float_run.h"
#include "io/wire.h"

namespace d2deploy {

namespace {

constexpr std::size_t kLarge = std::size_t{64} << 10;     // what is smaller is read on the way
constexpr std::size_t kAhead = std::size_t{8} << 10;      // more than what stands before a run
constexpr std::size_t kPart = std::size_t{5} << 20;       // of a thread; whole floats with their tags
constexpr std::size_t kInCache = std::size_t{160} << 10;  // the same

struct Region {
  std::size_t begin, end;
  bool tagged;  // a run of tagged floats, if all its tags are right
};

// Walks the fields and reads them, but for the large ones, which it lists.
class Walk {
 public:
  Walk(std::byte* memory, std::size_t size, const ReadBytes& read) : memory_(memory), all_{memory, size}, read_(read) {}

  std::vector<Region> run() {
    try {
      for (WireReader file(all_, all_, "file"); !file.done();) {
        const WireField field = next(file);
        if (field.number == 2 && field.payload.size() >= kLarge)
          look_into_operator(field.payload);
        else
          take(field);
      }
    } catch (const InvalidModel&) {  // whoever parses it says the same again
      skip({ready_, all_.size(), false});
    }
    return std::move(regions_);
  }

 private:
  std::size_t offset(const std::byte* place) const { return static_cast<std::size_t>(place - all_.data()); }
  std::size_t end_of(Bytes bytes) const { return offset(bytes.data()) + bytes.size(); }

  // Reads what is not there yet of the bytes before `end`.
  void load(std::size_t end) {
    if (end <= ready_) return;
    const std::size_t until = std::min(std::max(end, ready_ + kAhead), all_.size());
    read_(ready_, {memory_ + ready_, until - ready_});
    ready_ = until;
  }
  WireField next(WireReader& reader) {
    constexpr std::size_t kTagAndLength = 20;
    load(std::min(offset(reader.rest().data()) + kTagAndLength, all_.size()));
    return reader.next();
  }

  void take(const WireField& field) {
    if (field.payload.size() < kLarge) return load(end_of(field.whole));
    skip({offset(field.payload.data()), end_of(field.payload), false});
  }
  void skip(const Region& region) {
    regions_.push_back(region);
    ready_ = std::max(ready_, region.end);
  }

  void look_into_operator(Bytes payload) {
    bool first = true;  // of the arguments in which split_floats looks for a run
    for (WireReader reader(all_, payload, "operator"); !reader.done();) {
      const WireField field = next(reader);
      const bool argument = field.number == 5 && field.payload.size() >= kLeastRun;
      if (argument && first && field.payload.size() >= kLarge) {
        load(offset(field.payload.data()) + kAhead / 2);
        const Bytes run = tagged_run(all_, field.payload);
        skip(run.empty() ? Region{offset(field.payload.data()), end_of(field.payload), false}
                         : Region{offset(run.data()), end_of(run), true});
      } else {
        take(field);
      }
      first = first && !argument;
    }
  }

  std::byte* memory_;
  Bytes all_;
  const ReadBytes& read_;
  std::size_t ready_ = 0;
  std::vector<Region> regions_;
};

struct Part {
  std::size_t region, begin, end;
  bool right = true;  // all tags that it met
};

// The floats of a part to their places; returns whether their tags are right.
bool read_tagged(std::byte* memory, const Region& region, const Part& part, const ReadBytes& read) {
  const FloatRun run{{memory + region.begin, region.end - region.begin}, kTaggedBytes};
  std::byte* place = memory + (run.aligned_place() - memory);
  std::vector<std::byte> tagged(std::min(kInCache, part.end - part.begin));
  for (std::size_t at = part.begin; at < part.end; at += tagged.size()) {
    tagged.resize(std::min(tagged.size(), part.end - at));
    read(at, tagged);
    if (!every_value_is_tagged(tagged)) return false;
    auto* values = reinterpret_cast<float*>(place + (at - region.begin) / kTaggedBytes * sizeof(float));
    FloatRun{tagged, kTaggedBytes}.copy_to(values);
  }
  // Pages may have come by many at once.
  if (part.end == region.end) release_pages({place + run.size() * sizeof(float), memory + region.end});
  return true;
}

void read_parts(std::byte* memory, std::vector<Region>& regions, const ReadBytes& read) {
  std::vector<Part> parts;
  for (std::size_t r = 0; r < regions.size(); ++r)
    for (std::size_t at = regions[r].begin; at < regions[r].end; at += kPart)
      parts.push_back({r, at, std::min(at + kPart, regions[r].end)});
  parallel_for(std::ssize(parts), 1, [&](std::int64_t begin, std::int64_t end) {
    for (auto i = static_cast<std::size_t>(begin); i < static_cast<std::size_t>(end); ++i) {
      Part& part = parts[i];
      if (regions[part.region].tagged)
        part.right = read_tagged(memory, regions[part.region], part, read);
      else
        read(part.begin, {memory + part.begin, part.end - part.begin});
    }
  });
  for (const Part& part : parts) regions[part.region].tagged = regions[part.region].tagged && part.right;
}

}  // namespace

std::set<const std::byte*> read_sparsely(std::byte* memory, std::size_t size, const ReadBytes& read) {
  std::vector<Region> regions = Walk(memory, size, read).run();
  std::vector<Region> wrong = regions;
  read_parts(memory, regions, read);
  std::set<const std::byte*> runs;
  std::size_t again = 0;
  for (std::size_t r = 0; r < regions.size(); ++r) {
    if (regions[r].tagged) runs.insert(memory + regions[r].begin);
    if (!regions[r].tagged && wrong[r].tagged) wrong[again++] = regions[r];
  }
  wrong.resize(again);
  read_parts(memory, wrong, read);
  return runs;
}

}  // namespace d2deploy
