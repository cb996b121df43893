// SPDX-License-Identifier: Apache-2.0
#include "core/prefix/testing/kv_storm.h"

#include <fmt/format.h>

#include <algorithm>
#include <span>

#include "core/prefix/kv_walk.h"

namespace fairlead::prefix {

namespace {

constexpr std::uint32_t kCopiesMax = 1000;
constexpr std::uint64_t kRoots[] = {0x1111, 0x2222};

KvLaneOptions options_of(const KvStormShape& shape, std::uint64_t seed) {
  return {.seed = seed,
          .budget_bytes = shape.budget_bytes,
          .slots_max = 2 * shape.slots,
          .copies_max = kCopiesMax,
          .orphan_blocks_max = 1U << 20};
}

}  // namespace

KvStorm::KvStorm(const KvStormShape& shape, std::uint64_t seed)
    : shape_(shape),
      seed_(seed),
      random_(seed),
      keys_(seed),
      trie_(options_of(shape, seed)),
      twin_(2 * shape.slots, kCopiesMax),
      recent_(64) {
  domains_.push_back(0);
  while (domains_.size() < shape.domains) domains_.push_back(trie_.new_domain());
  for (std::uint32_t i = 0; i < shape.slots; ++i) {
    const std::uint32_t domain = i % shape.domains;
    engines_.push_back({.slot = *trie_.open(domains_[domain]), .domain = domain, .stored = {}});
  }
}

KvStorm::Prompt KvStorm::grow(const Prompt& from) {
  Prompt prompt;
  prompt.root = from.keys.empty() ? static_cast<std::uint32_t>(random_.below(2)) : from.root;
  const std::size_t kept = random_.below(from.keys.size() + 1);
  prompt.contents.assign(from.contents.begin(),
                         from.contents.begin() + static_cast<std::ptrdiff_t>(kept));
  prompt.keys.assign(from.keys.begin(), from.keys.begin() + static_cast<std::ptrdiff_t>(kept));
  std::uint64_t key = prompt.keys.empty() ? kRoots[prompt.root] : prompt.keys.back();
  for (std::uint64_t more = 1 + random_.below(shape_.longest / 3);
       more > 0 && prompt.keys.size() < shape_.longest; --more) {
    prompt.contents.push_back(random_.below(shape_.alphabet));
    key = keys_.chain(key, prompt.contents.back());
    prompt.keys.push_back(key);
  }
  return prompt;
}

const KvStorm::Prompt& KvStorm::query() {
  query_ = recent_[random_.below(recent_.size())];
  if (random_.below(3) == 0) query_ = grow(query_);
  return query_;
}

std::vector<std::uint64_t> KvStorm::hashes(std::uint32_t domain, const Prompt& prompt,
                                           std::size_t from, std::size_t to) const {
  std::vector<std::uint64_t> out;
  for (std::size_t i = from; i < to; ++i) {
    out.push_back(mix64(prompt.keys[i] ^ (std::uint64_t{domain} << 56)));
  }
  return out;
}

void KvStorm::store(const Engine& engine, const Prompt& prompt, std::size_t from, std::size_t to) {
  const auto names = hashes(engine.domain, prompt, from, to);
  std::optional<std::uint64_t> parent;
  if (from > 0) parent = hashes(engine.domain, prompt, from - 1, from)[0];
  trie_.store(engine.slot, kRoots[prompt.root], parent, names,
              std::span(prompt.contents).subspan(from, to - from));
  // The twin knows no waiting; what waits is taken in by and by.
  while (trie_.adopt()) {
  }
  twin_.store(engine.slot, names, std::span(prompt.keys).subspan(from, to - from));
}

void KvStorm::store_some(std::size_t which) {
  Engine& engine = engines_[which];
  Prompt& prompt = recent_[random_.below(recent_.size())];
  if (prompt.keys.empty() || random_.below(2) == 0) prompt = grow(prompt);
  if (prompt.keys.empty()) return;
  std::size_t from = twin_.depth(engine.slot, prompt.keys);
  // Sometimes again what is held already.
  if (random_.below(40) == 0) from -= random_.below(std::min<std::size_t>(from, 3) + 1);
  if (from == prompt.keys.size()) return;
  if (engine.stored.size() < 12) engine.stored.emplace_back();
  engine.stored[random_.below(engine.stored.size())] = prompt;
  const std::size_t middle = from + random_.below(prompt.keys.size() - from + 1);
  const bool late = middle > from && middle < prompt.keys.size() && random_.below(6) == 0;
  if (late) {
    late_.push_back({which, engine.slot, prompt, from, middle});
  } else if (middle > from) {
    store(engine, prompt, from, middle);
  }
  if (middle < prompt.keys.size()) store(engine, prompt, middle, prompt.keys.size());
}

void KvStorm::deliver() {
  const Late late = late_.front();
  late_.pop_front();
  if (engines_[late.engine].slot == late.slot) {
    store(engines_[late.engine], late.prompt, late.from, late.to);
  }
}

void KvStorm::remove_some(std::size_t which) {
  const Engine& engine = engines_[which];
  if (engine.stored.empty()) return;
  const Prompt& prompt = engine.stored[random_.below(engine.stored.size())];
  const std::size_t size = prompt.keys.size();
  if (size == 0) return;
  std::size_t from = random_.below(size);
  std::size_t to = from + 1 + random_.below(std::min<std::size_t>(size - from, 12));
  if (random_.below(3) != 0) {  // From the tail of what is held.
    to = twin_.depth(engine.slot, prompt.keys);
    from = to - random_.below(to + 1);
  }
  auto names = hashes(engine.domain, prompt, from, to);
  const std::uint64_t order = random_.below(4);
  if (order < 2) std::reverse(names.begin(), names.end());
  if (order == 3) {
    for (std::size_t i = names.size(); i > 1; --i) std::swap(names[i - 1], names[random_.below(i)]);
  }
  trie_.remove(engine.slot, names);
  twin_.remove(engine.slot, names);
}

// A copy of what another engine of the domain holds.
void KvStorm::hold_some(std::size_t which) {
  const Engine& engine = engines_[which];
  const Engine& other = engines_[random_.below(engines_.size())];
  if (!late_.empty() || other.domain != engine.domain || other.stored.empty()) return;
  const Prompt& prompt = other.stored[random_.below(other.stored.size())];
  const std::size_t to = twin_.depth(other.slot, prompt.keys);
  const auto names = hashes(engine.domain, prompt, 0, to);
  trie_.hold(engine.slot, names);
  twin_.store(engine.slot, names, std::span(prompt.keys).first(to));
}

void KvStorm::retire(std::size_t which) {
  Engine& engine = engines_[which];
  trie_.retire(engine.slot);
  twin_.retire(engine.slot);
  retired_.push_back(engine.slot);
  std::optional<KvSlot> fresh = trie_.open(domains_[engine.domain]);
  while (!fresh) {
    sweep();
    fresh = trie_.open(domains_[engine.domain]);
  }
  engine.slot = *fresh;
  engine.stored.clear();
}

void KvStorm::sweep() {
  trie_.sweep(1 + random_.below(50));
  std::erase_if(retired_, [this](KvSlot slot) {
    if (!trie_.swept(slot)) return false;
    trie_.recycle(slot);
    return true;
  });
}

void KvStorm::step() {
  ++events_;
  if (!late_.empty() && (late_.size() > 8 || random_.below(4) == 0)) {
    deliver();
    return;
  }
  const std::size_t which = random_.below(engines_.size());
  const std::uint64_t dice = random_.below(10'000);
  if (dice < shape_.retire_per_10k) {
    retire(which);
  } else if (dice < 400) {
    sweep();
  } else if (dice < 700) {
    hold_some(which);
  } else if (dice < 6'000) {
    store_some(which);
  } else {
    remove_some(which);
  }
}

std::optional<std::string> KvStorm::difference(const Prompt& prompt) const {
  std::vector<KvDepth> depths(rows(), 7);
  KvLookup lookup;
  const KvView view = trie_.view();
  KvWalk<KvChecked>(view, prompt.keys, depths).run(lookup);
  for (std::uint32_t row = 0; row < rows(); ++row) {
    const std::uint32_t expected = twin_.depth(static_cast<KvSlot>(row), prompt.keys);
    if (depths[row] == expected) continue;
    return fmt::format("seed {} event {}: slot {} holds {} of {} blocks, not {}", seed_, events_,
                       row, expected, prompt.keys.size(), depths[row]);
  }
  return std::nullopt;
}

std::optional<std::string> KvStorm::difference_in_totals() const {
  for (const Engine& engine : engines_) {
    const std::uint64_t expected = twin_.held_blocks(engine.slot);
    // What waits for its parent is not held yet.
    if (trie_.held_blocks(engine.slot) > expected ||
        trie_.held_blocks(engine.slot) + trie_.figures().orphan_blocks < expected) {
      return fmt::format("seed {} event {}: slot {} holds {} blocks in all, not {}", seed_, events_,
                         engine.slot, expected, trie_.held_blocks(engine.slot));
    }
  }
  return std::nullopt;
}

}  // namespace fairlead::prefix
