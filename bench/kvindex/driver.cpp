// SPDX-License-Identifier: Apache-2.0
// Our side of the KV index benchmark: applies a file of operations and prints what that cost, a
// JSON object on the last line. bench/peers/kvindex does the same to the peers.
//
//   kvindex_driver MODE FILE [--smoke | SECONDS]
//
// MODE pass     costs of a rebuild in warm memory, lookups, and every answer beside the twin's
//      memory   from nothing: bytes a held block at the worst point of growth, the dearest update
//      lanes    two writers at once, then lookups over both lanes
//      beside   lookups alone, then while a writer repeats the churn
//      soak     SECONDS of it all again and again with a third of the memory it wants, beside a
//               reader: never more than is held, memory within the budget
//      frames   from engines' raw payloads to the index; FILE is not used
#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <atomic>
#include <barrier>
#include <cstdio>
#include <cstdlib>
#include <map>
#include <string>
#include <string_view>
#include <thread>
#include <vector>

#include "clock.h"
#include "fleet.h"
#include "frames.h"
#include "ops.h"

namespace fairlead::bench {
namespace {

constexpr std::size_t kChunkBlocks = 16'384;  // Loaded between two measured stretches.
constexpr std::array<std::string_view, kSectionsEnd> kSectionNames = {"", "stream", "churn",
                                                                      "store1", "remove"};
constexpr std::size_t kSamples = 4096;
constexpr std::uint64_t kLookupNs = 300'000'000;

using Figures = std::map<std::string, double>;
using Keys = std::vector<std::uint64_t>;

// Operations copied side by side, as if just decoded: the processor's cache has them.
class Chunk {
 public:
  Chunk() { words_.reserve(4 * kChunkBlocks); }

  void add(const Op& op) {
    ops_.push_back({op, words_.size()});
    words_.insert(words_.end(), op.engines.begin(), op.engines.end());
    words_.insert(words_.end(), op.contents.begin(), op.contents.end());
    blocks_ += op.blocks();
  }
  std::size_t blocks() const { return blocks_; }

  // As a feed does with the events of a batch, each is announced some before its turn.
  void apply(Fleet& fleet) {
    for (auto& [op, at] : ops_) {
      op.engines = std::span(words_).subspan(at, op.engines.size());
      op.contents = std::span(words_).subspan(at + op.engines.size(), op.contents.size());
    }
    for (std::size_t i = 0; i < ops_.size(); ++i) {
      if (i + Fleet::kAhead < ops_.size()) fleet.expect(ops_[i + Fleet::kAhead].op);
      fleet.apply(ops_[i].op);
    }
  }
  void clear() {
    ops_.clear();
    words_.clear();
    blocks_ = 0;
  }

 private:
  struct Placed {
    Op op;
    std::size_t at;
  };
  std::vector<Placed> ops_;
  std::vector<std::uint64_t> words_;
  std::size_t blocks_ = 0;
};

// Applies operations chunk by chunk; processor time by section.
class Applier {
 public:
  explicit Applier(Fleet& fleet) : fleet_(fleet) {}

  void begin(std::uint32_t section) {
    settle();
    section_ = section;
  }
  void add(const Op& op) {
    chunk_.add(op);
    if (chunk_.blocks() >= kChunkBlocks) settle();
  }
  void settle() {
    const std::uint64_t began = cpu_ns();
    chunk_.apply(fleet_);
    ns_[section_] += static_cast<double>(cpu_ns() - began);
    blocks_[section_] += static_cast<double>(chunk_.blocks());
    chunk_.clear();
  }
  void report(Figures& out) const {
    for (std::size_t section = kStream; section < kSectionsEnd; ++section) {
      if (blocks_[section] == 0) continue;
      out[fmt::format("{}_ns", kSectionNames[section])] = ns_[section] / blocks_[section];
    }
  }

 private:
  Fleet& fleet_;
  Chunk chunk_;
  std::uint32_t section_ = kStream;
  std::array<double, kSectionsEnd> ns_{};
  std::array<double, kSectionsEnd> blocks_{};
};

template <typename Each>
void visit_stream(const OpsFile& file, Each&& each) {
  file.visit([&](const Op& op) {
    if (op.kind == OpKind::kSection) return op.section == kStream;
    if (op.kind != OpKind::kQuery) each(op);
    return true;
  });
}

void check(const Fleet& fleet, const Op& query, Figures& out) {
  const Keys keys = fleet.keys(query.contents);
  std::vector<prefix::KvDepth> depths(fleet.index().rows());
  fleet.index().match(keys, depths);
  bool wrong = false;
  for (std::uint32_t pod = 0; pod < fleet.pods(); ++pod) {
    wrong |= depths[fleet.row(pod)] != expected_depth(query.depths, pod);
  }
  out["checked"] += 1;
  out["wrong"] += wrong ? 1 : 0;
}

void time_lookups(const Fleet& fleet, const std::vector<Keys>& queries, std::string_view suffix,
                  std::uint64_t budget_ns, Figures& out) {
  std::vector<prefix::KvDepth> depths(fleet.index().rows());
  std::vector<std::uint64_t> samples;
  std::uint64_t cut = 0;
  for (int round = 0; round < 2; ++round) {  // The first warms.
    samples.clear();
    const std::uint64_t began = wall_ns();
    do {
      for (const Keys& keys : queries) {
        const std::uint64_t first = ticks();
        const prefix::KvLookup lookup = fleet.index().match(keys, depths);
        samples.push_back(ticks() - first);
        cut += lookup.cut;
      }
    } while (budget_ns > 0 && (samples.size() < kSamples || wall_ns() - began < budget_ns / 2));
  }
  std::ranges::sort(samples);
  const auto at = [&](double share) {
    const auto i = static_cast<std::size_t>(static_cast<double>(samples.size() - 1) * share);
    return static_cast<double>(samples[i]) * ns_a_tick();
  };
  const std::size_t blocks = queries.front().size();
  out[fmt::format("lookup_p50_ns_{}{}", blocks, suffix)] = at(0.5);
  out[fmt::format("lookup_p99_ns_{}{}", blocks, suffix)] = at(0.99);
  out[fmt::format("lookup_cut{}", suffix)] += static_cast<double>(cut);
}

// The timed queries by their length.
std::map<std::size_t, std::vector<Keys>> timed_queries(const Fleet& fleet, const OpsFile& file) {
  std::map<std::size_t, std::vector<Keys>> out;
  file.visit([&](const Op& op) {
    if (op.kind == OpKind::kQuery && op.pod == 1) {
      out[op.contents.size()].push_back(fleet.keys(op.contents));
    }
    return true;
  });
  return out;
}

// Retires all pods and brings their slots back: what it costs the caller, and the sweep.
void retire_all(Fleet& fleet, Figures& out) {
  std::vector<double> us;
  double swept_ns = 0;
  const prefix::KvFigures& figures = fleet.lane(0).figures();
  const auto blocks = static_cast<double>(figures.stored - figures.removed);
  for (std::uint32_t pod = 0; pod < fleet.pods(); ++pod) {
    const std::uint64_t began = cpu_ns();
    fleet.retire(pod);
    const std::uint64_t retired = cpu_ns();
    fleet.reopen(pod);
    us.push_back(static_cast<double>(retired - began) / 1e3);
    swept_ns += static_cast<double>(cpu_ns() - retired);
  }
  std::ranges::sort(us);
  out["retire_us"] = us[us.size() / 2];
  out["retire_us_worst"] = us.back();
  out["sweep_ns"] = swept_ns / std::max(1.0, blocks);
}

Figures pass(const OpsFile& file, std::uint64_t lookup_ns) {
  Figures out;
  Fleet fleet(file.pods(), 1);
  Applier warm(fleet);
  visit_stream(file, [&](const Op& op) { warm.add(op); });
  warm.settle();
  retire_all(fleet, out);

  const auto queries = timed_queries(fleet, file);
  bool timed = false;
  Applier applier(fleet);
  file.visit([&](const Op& op) {
    if (op.kind == OpKind::kSection) {
      applier.begin(op.section);
      if (op.section != kStream && !timed) {
        timed = true;
        for (const auto& [_, same] : queries) time_lookups(fleet, same, "", lookup_ns, out);
      }
    } else if (op.kind == OpKind::kQuery) {
      applier.settle();
      check(fleet, op, out);
    } else {
      applier.add(op);
    }
    return true;
  });
  applier.settle();
  applier.report(out);
  return out;
}

// Of the update that costs most each time that the index grows from nothing: an interrupt is
// charged to whom it meets, and meets another update the next time; growth meets the same.
double dearest_update_us(const OpsFile& file) {
  constexpr int kTimes = 8;
  std::vector<std::uint64_t> least;
  for (int time = 0; time < kTimes; ++time) {
    Fleet fleet(file.pods(), 1);
    std::size_t at = 0;
    visit_stream(file, [&](const Op& op) {
      const std::uint64_t began = cpu_ns();
      fleet.apply(op);
      const std::uint64_t took = cpu_ns() - began;
      if (time == 0) least.push_back(took);
      least[at] = std::min(least[at], took);
      ++at;
    });
  }
  return static_cast<double>(std::ranges::max(least)) / 1e3;
}

Figures memory(const OpsFile& file) {
  struct Sample {
    double held;
    double resident;
    double owned;
  };
  const std::uint64_t base = resident();
  Fleet fleet(file.pods(), 1);
  std::vector<Sample> samples;
  std::uint64_t held = 0;
  std::uint64_t waiting = 0;
  const auto sample = [&] {
    samples.push_back({static_cast<double>(held), static_cast<double>(resident() - base),
                       static_cast<double>(fleet.memory_bytes())});
    waiting = 0;
  };
  visit_stream(file, [&](const Op& op) {
    fleet.apply(op);
    held += op.kind == OpKind::kStore ? op.blocks() : -op.blocks();
    waiting += op.blocks();
    if (waiting >= kChunkBlocks) sample();
  });
  sample();
  Figures out;
  double most = 0;
  for (const Sample& one : samples) most = std::max(most, one.held);
  for (const Sample& one : samples) {
    if (one.held < most / 4) continue;
    out["bytes_per_held"] = std::max(out["bytes_per_held"], one.resident / one.held);
    out["bytes_per_held_owned"] = std::max(out["bytes_per_held_owned"], one.owned / one.held);
  }
  out["held"] = samples.back().held;
  out["bytes_per_held_end"] = samples.back().resident / std::max(1.0, samples.back().held);
  out["worst_update_us"] = dearest_update_us(file);
  return out;
}

Figures lanes(const OpsFile& file, std::uint64_t lookup_ns) {
  constexpr std::uint32_t kLanes = 2;
  Fleet fleet(file.pods(), kLanes);
  std::array<Chunk, kLanes> shares;
  visit_stream(file, [&](const Op& op) { shares[op.pod % kLanes].add(op); });
  std::uint64_t ns = 0;
  for (int round = 0; round < 2; ++round) {
    if (round > 0) {
      for (std::uint32_t pod = 0; pod < fleet.pods(); ++pod) {
        fleet.retire(pod);
        fleet.reopen(pod);
      }
    }
    std::barrier gate(kLanes + 1);
    std::vector<std::jthread> writers;
    for (std::uint32_t lane = 0; lane < kLanes; ++lane) {
      writers.emplace_back([&fleet, &gate, &share = shares[lane], lane] {
        pin(lane);
        gate.arrive_and_wait();
        share.apply(fleet);
      });
    }
    gate.arrive_and_wait();
    const std::uint64_t began = wall_ns();
    writers.clear();
    ns = wall_ns() - began;
  }
  Figures out;
  const auto blocks = static_cast<double>(shares[0].blocks() + shares[1].blocks());
  out["lanes2_mops"] = blocks * 1e3 / static_cast<double>(ns);
  for (const auto& [_, same] : timed_queries(fleet, file)) {
    time_lookups(fleet, same, "_lanes2", lookup_ns, out);
  }
  return out;
}

Figures beside(const OpsFile& file, std::uint64_t lookup_ns) {
  Figures out;
  Fleet fleet(file.pods(), 1);
  Applier applier(fleet);
  Chunk churn;
  std::uint32_t section = kStream;
  file.visit([&](const Op& op) {
    if (op.kind == OpKind::kSection) section = op.section;
    if (section > kChurn) return false;
    if (op.kind == OpKind::kSection || op.kind == OpKind::kQuery) return true;
    if (section == kStream) applier.add(op);
    if (section == kChurn) churn.add(op);
    return true;
  });
  applier.settle();
  const auto queries = timed_queries(fleet, file);
  for (const auto& [_, same] : queries) time_lookups(fleet, same, "", lookup_ns, out);

  std::atomic<bool> stop = false;
  double ns = 0;
  double blocks = 0;
  std::barrier gate(2);
  std::jthread writer([&] {
    pin(0);
    gate.arrive_and_wait();
    while (!stop.load(std::memory_order_relaxed)) {
      const std::uint64_t began = cpu_ns();
      churn.apply(fleet);
      ns += static_cast<double>(cpu_ns() - began);
      blocks += static_cast<double>(churn.blocks());
    }
  });
  pin(1);
  gate.arrive_and_wait();
  for (const auto& [_, same] : queries) time_lookups(fleet, same, "_under_writes", lookup_ns, out);
  stop.store(true, std::memory_order_relaxed);
  writer.join();
  out["beside_ns"] = ns / std::max(1.0, blocks);
  return out;
}

// What the index claims beyond what is held; less is right once it has forgotten some.
bool invents(const Fleet& fleet, const Op& query) {
  std::vector<prefix::KvDepth> depths(fleet.index().rows());
  fleet.index().match(fleet.keys(query.contents), depths);
  for (std::uint32_t pod = 0; pod < fleet.pods(); ++pod) {
    if (depths[fleet.row(pod)] > expected_depth(query.depths, pod)) return true;
  }
  return false;
}

Figures soak(const OpsFile& file, double seconds) {
  constexpr std::uint64_t kTight = std::uint64_t{16} << 20;
  const std::uint64_t base = resident();
  Fleet fleet(file.pods(), 1, kTight);
  std::vector<Keys> prompts;
  file.visit([&](const Op& op) {
    if (op.kind == OpKind::kQuery) prompts.push_back(fleet.keys(op.contents));
    return prompts.size() < kChunkBlocks;
  });
  std::atomic<bool> stop = false;
  std::jthread reader([&] {
    std::vector<prefix::KvDepth> depths(fleet.index().rows());
    while (!stop.load(std::memory_order_relaxed)) {
      for (const Keys& keys : prompts) fleet.index().match(keys, depths);
    }
  });
  Figures out;
  const std::uint64_t began = wall_ns();
  std::uint64_t most_bytes = 0;
  do {
    file.visit([&](const Op& op) {
      if (op.kind == OpKind::kQuery) {
        out["checked"] += 1;
        out["invented"] += invents(fleet, op) ? 1 : 0;
        most_bytes = std::max(most_bytes, fleet.memory_bytes());
      } else if (op.kind != OpKind::kSection) {
        fleet.apply(op);
      }
      return true;
    });
    for (std::uint32_t pod = 0; pod < fleet.pods(); ++pod) {
      fleet.retire(pod);
      fleet.reopen(pod);
    }
    out["rounds"] += 1;
    if (out["rounds"] == 1) out["resident_first"] = static_cast<double>(resident() - base);
  } while (static_cast<double>(wall_ns() - began) < seconds * 1e9);
  stop.store(true, std::memory_order_relaxed);
  out["resident_growth"] = static_cast<double>(resident() - base) / out["resident_first"];
  out["budget_used"] = static_cast<double>(most_bytes) / static_cast<double>(kTight);
  out["forgotten"] = static_cast<double>(fleet.lane(0).figures().forgotten);
  return out;
}

int run(std::string_view mode, const std::string& path, std::uint64_t lookup_ns, double seconds) {
  const std::optional<OpsFile> file = OpsFile::read(path);
  if (!file) {
    fmt::print(stderr, "kvindex_driver: {}: not a file of operations\n", path);
    return 1;
  }
  pin(1);
  ns_a_tick();
  Figures out;
  if (mode == "pass") out = pass(*file, lookup_ns);
  if (mode == "memory") out = memory(*file);
  if (mode == "lanes") out = lanes(*file, lookup_ns);
  if (mode == "beside") out = beside(*file, lookup_ns);
  if (mode == "soak") out = soak(*file, seconds);
  if (mode == "frames") out = frames();
  if (out.empty()) {
    fmt::print(stderr, "kvindex_driver: {}: nothing to show: the index did not take all\n", mode);
    return 1;
  }
  std::string text;
  for (const auto& [name, value] : out) {
    text += fmt::format("{}\"{}\": {}", text.empty() ? "" : ", ", name, value);
  }
  fmt::print("{{{}}}\n", text);
  return 0;
}

}  // namespace
}  // namespace fairlead::bench

int main(int argc, char** argv) {
  if (argc < 3) {
    std::fputs("usage: kvindex_driver MODE FILE [--smoke | SECONDS]\n", stderr);
    return 2;
  }
  const std::string_view last = argc > 3 ? argv[3] : "";
  const bool smoke = last == "--smoke";
  const double seconds = smoke || last.empty() ? 1 : std::strtod(argv[3], nullptr);
  return fairlead::bench::run(argv[1], argv[2], smoke ? 0 : fairlead::bench::kLookupNs, seconds);
}
