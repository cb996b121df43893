// SPDX-License-Identifier: Apache-2.0
// Writes a workload of the KV index benchmark (ops.h says how).
//
//   kvindex_workload KIND TRACE.jsonl.gz OUT [ROWS [BLOCKS_A_POD [QUERIES]]]
//
// KIND w8, w100, w1000: the Mooncake trace in as many pods. A hash id, 512 tokens, is 32 blocks of
// 16; a prompt is stored in events of at most 128 blocks, then output_length / 16 blocks of its own
// one by one. The pod follows from the second id (id 0 begins nearly every request), one request in
// five goes to any pod; a pod is an exact LRU of 100,000 blocks, tails first, and evicts before the
// store that needs room.
// KIND adv: 1,000 pods share 2,000 blocks and then diverge.
// KIND faults: what indexes get wrong: holes and their healing, orphans, many holders of one chain.
// Deterministic. Prints what it wrote.
#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <cstdio>
#include <cstdlib>
#include <deque>
#include <iterator>
#include <map>
#include <optional>
#include <string>
#include <string_view>

#include "lab/load/model/gzip.h"
#include "lab/load/model/trace.h"
#include "script.h"

namespace fairlead::bench {
namespace {

constexpr std::size_t kBlocksOfId = 32;
constexpr Block kFirstPrivate = 1u << 23;  // Above the blocks of all ids.
constexpr std::array<std::size_t, 4> kDepths = {64, 512, 2000, 6250};
constexpr std::size_t kKept = 4;  // Latest sequences of a pod, for churn and decoding.
constexpr std::size_t kChurnSteps = 8192;
constexpr std::size_t kChurnOut = 32;   // Tails that are out at a time.
constexpr std::size_t kDecoding = 512;  // Sequences that grow at a time.
constexpr std::size_t kDecodedBlocks = 64;
constexpr std::size_t kDecodeRounds = 8;
constexpr std::size_t kChecks = 24;  // Queries of a checkpoint.

struct Limits {
  std::size_t rows = ~std::size_t{0};
  std::size_t blocks_a_pod = 100'000;
  std::size_t queries = 128;  // Timed, of each length.
};

struct Served {
  std::uint32_t pod = 0;
  Sequence sequence;
  std::size_t shared = 0;  // Leading blocks that other requests have too.
};

// What all workloads end with: sections that a measurement needs beside the stream.
class Tail {
 public:
  Tail(Script& script, Block next) : script_(script), next_(next) {}

  void checks(const std::vector<Served>& served, Random& random) {
    for (std::size_t i = 0; i < kChecks && !served.empty(); ++i) {
      script_.query(served[random.below(served.size())].sequence, 0);
    }
  }

  void churn(const std::vector<Served>& served, Random& random) {
    script_.section(kChurn);
    std::deque<std::pair<const Served*, std::size_t>> out;
    const auto back = [&] {
      const auto [one, from] = out.front();
      out.pop_front();
      script_.store(one->pod, one->sequence, from, one->sequence.size());
      script_.pods()[one->pod].release(one->sequence);
    };
    for (std::size_t step = 0; step < kChurnSteps && !served.empty(); ++step) {
      const Served& one = served[random.below(served.size())];
      const std::size_t size = one.sequence.size();
      const std::size_t from = std::max(one.shared, size - std::min(size, kEventBlocks));
      if (from == 0 || from == size || script_.pods()[one.pod].depth(one.sequence) < size) continue;
      Sequence tail(one.sequence.begin() + static_cast<std::ptrdiff_t>(from), one.sequence.end());
      std::ranges::reverse(tail);
      script_.remove(one.pod, tail);
      out.emplace_back(&one, from);
      if (out.size() == kChurnOut) back();
    }
    while (!out.empty()) back();
  }

  void decode(std::vector<Served>& served, Random& random) {
    script_.section(kStore1);
    for (std::size_t round = 0; round < kDecodeRounds && !served.empty(); ++round) {
      std::vector<Served*> growing;
      for (std::size_t i = 0; i < kDecoding; ++i) {
        growing.push_back(&served[random.below(served.size())]);
      }
      std::ranges::sort(growing);
      const auto same = std::ranges::unique(growing);
      growing.erase(same.begin(), same.end());
      random_order(growing, random);
      for (std::size_t block = 0; block < kDecodedBlocks; ++block) {
        for (Served* one : growing) {
          one->sequence.push_back(next_++);
          const std::size_t size = one->sequence.size();
          script_.store(one->pod, one->sequence, size - 1, size);
        }
      }
      for (Served* one : growing) script_.pods()[one->pod].release(one->sequence);
    }
  }

  void remove_half() {
    script_.section(kRemove);
    std::vector<std::size_t> goals;
    for (const Pod& pod : script_.pods()) goals.push_back(pod.size() / 2);
    for (bool more = true; more;) {
      more = false;
      for (std::uint32_t pod = 0; pod < goals.size(); ++pod) {
        const std::size_t size = script_.pods()[pod].size();
        if (size <= goals[pod]) continue;
        const Sequence gone = script_.pods()[pod].evict(std::min(kEventBlocks, size - goals[pod]));
        script_.remove(pod, gone);
        more |= !gone.empty();
      }
    }
  }

 private:
  template <typename Items>
  static void random_order(Items& items, Random& random) {
    for (std::size_t i = items.size(); i > 1; --i) std::swap(items[i - 1], items[random.below(i)]);
  }

  Script& script_;
  Block next_;
};

// The trace's requests on pods with an LRU each.
class Replay {
 public:
  Replay(Script& script, const load::Trace& trace, const Limits& limits)
      : script_(script), trace_(trace), limits_(limits) {
    for (const std::uint64_t id : trace.blocks) ++uses_[id];
  }

  void run() {
    script_.section(kStream);
    const std::size_t rows = std::min(limits_.rows, trace_.rows.size());
    for (std::size_t row = 0; row < rows; ++row) {
      serve(trace_.rows[row]);
      if (row % (rows / 8 + 1) == rows / 8) check(row);
    }
  }

  void timed_queries() {
    for (const std::size_t depth : kDepths) {
      std::vector<const load::TraceRow*> long_enough;
      for (const load::TraceRow& row : trace_.rows) {
        if (row.block_count * kBlocksOfId >= depth) long_enough.push_back(&row);
      }
      for (std::size_t i = 0; i < std::min(limits_.queries, long_enough.size()); ++i) {
        Sequence prompt = prompt_of(*long_enough[random_.below(long_enough.size())]);
        prompt.resize(depth);
        script_.query(prompt, 1);
      }
    }
  }

  std::vector<Served> latest() {
    std::vector<Served> out;
    for (auto& of_pod : latest_) std::ranges::move(of_pod.second, std::back_inserter(out));
    return out;
  }
  Block next_private() const { return next_; }

 private:
  Sequence prompt_of(const load::TraceRow& row) const {
    Sequence out;
    for (const std::uint64_t id : trace_.row_blocks(row)) {
      for (std::size_t i = 0; i < kBlocksOfId; ++i) {
        out.push_back(static_cast<Block>(id * kBlocksOfId + i));
      }
    }
    return out;
  }

  std::uint32_t pod_of(const load::TraceRow& row) {
    const auto pods = script_.pods().size();
    if (random_.below(5) == 0) return static_cast<std::uint32_t>(random_.below(pods));
    const auto ids = trace_.row_blocks(row);
    return static_cast<std::uint32_t>(mix64(ids[std::min<std::size_t>(1, ids.size() - 1)]) % pods);
  }

  std::size_t shared_blocks(const load::TraceRow& row) const {
    const auto ids = trace_.row_blocks(row);
    const auto lone = std::ranges::find_if(ids, [&](auto id) { return uses_.at(id) == 1; });
    return static_cast<std::size_t>(lone - ids.begin()) * kBlocksOfId;
  }

  void make_room(std::uint32_t pod, std::size_t blocks) {
    const std::size_t wanted = script_.pods()[pod].size() + blocks;
    if (wanted <= limits_.blocks_a_pod) return;
    script_.remove(pod, script_.pods()[pod].evict(wanted - limits_.blocks_a_pod));
  }

  void serve(const load::TraceRow& row) {
    const std::uint32_t number = pod_of(row);
    Pod& pod = script_.pods()[number];
    Served served{.pod = number, .sequence = prompt_of(row), .shared = shared_blocks(row)};
    Sequence& sequence = served.sequence;
    const std::size_t prompt = sequence.size();
    const std::size_t hit = pod.depth(sequence);
    for (std::size_t i = 0; i < hit; ++i) pod.use(sequence[i]);
    for (std::size_t from = hit; from < prompt;) {
      const std::size_t to = std::min(prompt, from + kEventBlocks);
      make_room(number, to - from);
      script_.store(number, sequence, from, to);
      from = to;
    }
    for (std::size_t i = 0; i < row.output_tokens / 16; ++i) {
      sequence.push_back(next_++);
      make_room(number, 1);
      script_.store(number, sequence, sequence.size() - 1, sequence.size());
    }
    pod.release(sequence);
    auto& latest = latest_[number];
    latest.push_back(std::move(served));
    if (latest.size() > kKept) latest.erase(latest.begin());
  }

  void check(std::size_t row) {
    for (std::size_t i = 0; i < kChecks; ++i) {
      script_.query(prompt_of(trace_.rows[random_.below(row + 1)]), 0);
    }
  }

  Script& script_;
  const load::Trace& trace_;
  Limits limits_;
  Random random_{1};
  std::map<std::uint64_t, std::uint32_t> uses_;
  std::map<std::uint32_t, std::vector<Served>> latest_;
  Block next_ = kFirstPrivate;
};

std::vector<Served> shared_then_diverging(Script& script, const Limits& limits, Random& random) {
  constexpr std::size_t kShared = 2000;
  std::vector<Served> served(script.pods().size());
  Block next = kFirstPrivate;
  for (std::uint32_t pod = 0; pod < served.size(); ++pod) {
    served[pod] = {.pod = pod, .sequence = {}, .shared = kShared};
    Sequence& sequence = served[pod].sequence;
    for (Block block = 0; block < kShared; ++block) sequence.push_back(block);
    const std::size_t own = 40 + (pod * 997 % 1000) * 4464 / 1000;  // 2,270 on average.
    for (std::size_t i = 0; i < std::min(own, limits.blocks_a_pod); ++i) sequence.push_back(next++);
  }
  script.section(kStream);
  std::vector<std::size_t> done(served.size());
  std::vector<std::uint32_t> open(served.size());
  for (std::uint32_t pod = 0; pod < open.size(); ++pod) open[pod] = pod;
  while (!open.empty()) {
    const std::size_t pick = random.below(open.size());
    const std::uint32_t pod = open[pick];
    const std::size_t to = std::min(served[pod].sequence.size(), done[pod] + kEventBlocks);
    script.store(pod, served[pod].sequence, done[pod], to);
    done[pod] = to;
    if (to < served[pod].sequence.size()) continue;
    script.pods()[pod].release(served[pod].sequence);
    open[pick] = open.back();
    open.pop_back();
  }
  for (const std::size_t depth : kDepths) {
    std::vector<const Sequence*> long_enough;
    for (const Served& one : served) {
      if (one.sequence.size() >= depth) long_enough.push_back(&one.sequence);
    }
    for (std::size_t i = 0; i < std::min(limits.queries, long_enough.size()); ++i) {
      script.query(std::span(*long_enough[random.below(long_enough.size())]).first(depth), 1);
    }
  }
  return served;
}

// The faults that were seen in peers, each on chains of its own, and then at random.
class Faults {
 public:
  explicit Faults(Script& script) : script_(script) {}

  void known() {
    script_.section(kStream);
    Sequence chain = fresh(100);
    all(0, chain);
    lose(0, chain, 40);
    script_.query(chain, 0);  // 40.
    script_.store(0, chain, 40, 41);
    script_.query(chain, 0);  // 100: the hole is healed.

    chain = fresh(100);
    script_.store(0, chain, 0, 50);
    all(1, chain);
    lose(1, chain, 0);
    script_.query(chain, 0);  // 50 and 0: the head's loss credits nobody else.

    chain = fresh(100);
    script_.store(2, chain, 50, 100);
    script_.query(chain, 0);
    script_.store(2, chain, 0, 50);
    script_.query(chain, 0);  // 100: the orphans were adopted.

    chain = fresh(64);
    for (std::uint32_t pod = 0; pod < script_.pods().size(); ++pod) all(pod, chain);
    script_.query(chain, 0);  // All of them.

    chain = fresh(64);
    for (std::uint32_t pod = 0; pod < 11; ++pod) all(pod, chain);
    for (std::uint32_t pod = 1; pod < 11; ++pod) script_.remove(pod, chain);
    script_.query(chain, 0);  // Pod 0 alone.
  }

  // Thousands of holes in chains that branch, all healed; and stores that come before their
  // parents.
  void bulk() {
    std::vector<Sequence> chains;
    for (int i = 0; i < 256; ++i) {
      Sequence chain;
      if (i % 4 != 0) {
        const Sequence& before = chains[random_.below(chains.size())];
        chain.assign(before.begin(), before.begin() + 1 + pick(before.size() - 1));
      }
      const Sequence more = fresh(50 + random_.below(200));
      chain.insert(chain.end(), more.begin(), more.end());
      chains.push_back(chain);
    }
    for (int i = 0; i < 6000; ++i) {
      const Sequence& chain = chains[random_.below(chains.size())];
      const auto pod = static_cast<std::uint32_t>(random_.below(script_.pods().size()));
      step(pod, chain);
      if (i % 10 == 0) script_.query(chain, 0);
    }
    for (const Sequence& chain : chains) {
      for (std::uint32_t pod = 0; pod < script_.pods().size(); pod += 3) heal(pod, chain);
      script_.query(chain, 0);
    }
  }

 private:
  std::ptrdiff_t pick(std::size_t bound) {
    return static_cast<std::ptrdiff_t>(random_.below(bound));
  }
  Sequence fresh(std::size_t blocks) {
    Sequence out(blocks);
    for (Block& block : out) block = next_++;
    return out;
  }
  void all(std::uint32_t pod, const Sequence& chain) { script_.store(pod, chain, 0, chain.size()); }
  void lose(std::uint32_t pod, const Sequence& chain, std::size_t at) {
    script_.remove(pod, std::span(chain).subspan(at, 1));
  }

  // Blocks that are not held, in events as an engine would: one for each missing stretch.
  void heal(std::uint32_t pod, const Sequence& chain) {
    const auto held = [&](std::size_t at) { return script_.pods()[pod].holds(chain[at]); };
    for (std::size_t from = 0; from < chain.size();) {
      if (held(from)) {
        ++from;
        continue;
      }
      std::size_t to = from + 1;
      while (to < chain.size() && !held(to)) ++to;
      script_.store(pod, chain, from, to);
      from = to;
    }
  }

  void step(std::uint32_t pod, const Sequence& chain) {
    const auto held = [&](std::size_t at) { return script_.pods()[pod].holds(chain[at]); };
    const std::size_t at = random_.below(chain.size());
    switch (random_.below(4)) {
      case 0:
        heal(pod, chain);
        break;
      case 1:  // A stretch from the middle, parent or not.
        if (!held(at)) {
          std::size_t to = at + 1;
          while (to < chain.size() && !held(to)) ++to;
          script_.store(pod, chain, at, at + 1 + random_.below(to - at));
        }
        break;
      case 2:
        if (held(at)) lose(pod, chain, at);
        break;
      default:  // The tail, from its end.
        for (std::size_t end = chain.size(); end-- > at;) {
          if (held(end)) lose(pod, chain, end);
        }
    }
  }

  Script& script_;
  Random random_{2};
  Block next_ = 1;
};

std::optional<load::Trace> read_trace(const std::string& path) {
  std::ifstream file(path, std::ios::binary);
  const std::string packed((std::istreambuf_iterator<char>(file)), {});
  const auto text = load::inflate_gzip(packed, 64 << 20);
  if (!text) return std::nullopt;
  auto trace = load::parse_mooncake(*text);
  if (!trace) return std::nullopt;
  return std::move(*trace);
}

bool write(std::string_view kind, const std::string& trace_path, const std::string& path,
           const Limits& limits) {
  static const std::map<std::string_view, std::uint32_t> kPods = {
      {"w8", 8}, {"w100", 100}, {"w1000", 1000}, {"adv", 1000}, {"faults", 25}};
  const auto pods = kPods.find(kind);
  if (pods == kPods.end()) return false;
  Script script(path, pods->second);
  Random random(3);
  if (kind == "faults") {
    Faults faults(script);
    faults.known();
    faults.bulk();
  } else {
    std::vector<Served> served;
    Block next = 0;
    if (kind == "adv") {
      served = shared_then_diverging(script, limits, random);
      next = kFirstPrivate + (1u << 23);
    } else {
      const std::optional<load::Trace> trace = read_trace(trace_path);
      if (!trace) return false;
      Replay replay(script, *trace, limits);
      replay.run();
      replay.timed_queries();
      served = replay.latest();
      next = replay.next_private();
    }
    fmt::print("{}: {} blocks stored, {} removed, {} held\n", kind, script.stored(),
               script.removed(), script.held());
    Tail tail(script, next);
    tail.churn(served, random);
    tail.checks(served, random);
    tail.decode(served, random);
    tail.checks(served, random);
    tail.remove_half();
    tail.checks(served, random);
  }
  return script.finish();
}

}  // namespace
}  // namespace fairlead::bench

int main(int argc, char** argv) {
  using fairlead::bench::Limits;
  if (argc < 4) {
    std::fputs("usage: kvindex_workload KIND TRACE OUT [ROWS [BLOCKS_A_POD [QUERIES]]]\n", stderr);
    return 2;
  }
  Limits limits;
  if (argc > 4) limits.rows = std::strtoull(argv[4], nullptr, 10);
  if (argc > 5) limits.blocks_a_pod = std::strtoull(argv[5], nullptr, 10);
  if (argc > 6) limits.queries = std::strtoull(argv[6], nullptr, 10);
  if (!fairlead::bench::write(argv[1], argv[2], argv[3], limits)) {
    std::fprintf(stderr, "kvindex_workload: cannot make %s of %s as %s\n", argv[1], argv[2],
                 argv[3]);
    return 1;
  }
  return 0;
}
