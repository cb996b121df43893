// SPDX-License-Identifier: Apache-2.0
// KvWalk: one lookup in one lane, beside its writer. Goes from run to run along the query's keys,
// keeps the slots that held everything so far ("live") and writes a slot's row when it falls behind
// the others. What a run says is used only after its version was found unchanged; whatever is read
// before that may be of another time, so it is never an address or an index until then.
//
// Check is the seqlock's check, apart so that a test can plant its absence. Threads: any; a walk
// belongs to one call. Never allocates. Live slots are bits while runs have many holders, a list of
// at most kListMax once a run has few.
#pragma once

#include <algorithm>
#include <array>
#include <bit>
#include <cstdint>
#include <cstring>
#include <span>
#include <utility>

#include "core/prefix/kv_index.h"
#include "core/prefix/kv_rows.h"
#include "core/prefix/kv_trie.h"

namespace fairlead::prefix {

struct KvChecked {
  // Before something read is used as an address or an index.
  static bool address(const std::atomic<std::uint32_t>& now, std::uint32_t version) {
    return still(now, version);
  }
  // Before what a run said is believed.
  static bool whole(const std::atomic<std::uint32_t>& now, std::uint32_t version) {
    return still(now, version);
  }
};

template <class Check>
class KvWalk {
 public:
  KvWalk(const KvView& view, std::span<const std::uint64_t> keys, std::span<KvDepth> rows,
         Check check = {})
      : check_(check), view_(view), keys_(keys), rows_(rows), words_((view.slots_max + 63) / 64) {}

  void run(KvLookup& lookup) {
    std::uint32_t retries = 0;
    while (at_ < keys_.size() && (live_is_ != Live::kList || listed_ > 0)) {
      const Found found = find_head();
      if (found == Found::kNone) break;
      if (found == Found::kRun && step()) {
        ++lookup.runs;
        continue;
      }
      if (++retries == kRetriesMax) {
        ++lookup.cut;
        break;
      }
    }
    lookup.retries += retries;
    finish();
  }

 private:
  enum class Live : std::uint8_t { kAll, kBits, kList };
  enum class Found : std::uint8_t { kRun, kNone, kBusy };
  static constexpr std::uint32_t kRetriesMax = 256;
  static constexpr std::uint32_t kListMax = 64 + kPartialMax;
  static constexpr std::uint32_t kWordsMax = 1024;
  static constexpr auto kRelaxed = std::memory_order_relaxed;

  // What a run says, read under its version.
  struct Run {
    const KvRun* run = nullptr;
    std::uint32_t version = 0;
    std::uint32_t length = 0;
    std::uint32_t full_count = 0;
    std::uint32_t partial_count = 0;
    std::uint16_t shape = 0;
    const KvWords::Word* full = nullptr;
    const KvWords::Word* partial = nullptr;
    std::uint32_t matched = 0;
  };
  using List = std::array<std::uint16_t, kListMax>;
  using Bits = std::array<std::uint64_t, kWordsMax>;

  Found find_head() {
    const std::uint64_t key = keys_[at_];
    const auto shared = view_.heads.find_shared(key, [&](std::uint32_t id) {
      here_ = &view_.runs[id];
      return here_->first_key.load(kRelaxed) == key;
    });
    if (shared == KvBucketMap::Shared::kBusy) return Found::kBusy;
    return shared == KvBucketMap::Shared::kFound ? Found::kRun : Found::kNone;
  }

  // One run on. False when it was changed meanwhile; then nothing has happened.
  bool step() {
    Run run;
    if (!read(run) || !match_keys(run)) return false;
    // The next table probe runs while this run is evaluated.
    if (at_ + run.matched < keys_.size()) view_.heads.prefetch(keys_[at_ + run.matched]);
    return run.shape == kShapeBits && live_is_ != Live::kList ? fold_bits(run) : fold_list(run);
  }

  bool read(Run& run) {
    const KvRun& from = *here_;
    run.run = &from;
    run.version = from.version.load(std::memory_order_acquire);
    run.length = from.length.load(kRelaxed);
    run.full_count = from.full_count.load(kRelaxed);
    run.shape = from.full_shape.load(kRelaxed);
    run.partial_count = from.partial_count.load(kRelaxed);
    const std::uint32_t partial_ref = from.partial_ref.load(kRelaxed);
    const auto full_ref = static_cast<std::uint32_t>(from.full[0].load(kRelaxed));
    const bool right = from.first_key.load(kRelaxed) == keys_[at_];
    if (run.version % 2 != 0 || run.length == 0 || !right || !same(run)) return false;
    run.full = run.shape == kShapeInline ? from.full.data() : view_.words.at(full_ref);
    run.partial = partial_ref == 0 ? from.partial.data() : view_.words.at(partial_ref);
    return true;
  }
  bool same(const Run& run) const { return check_.address(run.run->version, run.version); }
  bool whole(const Run& run) const { return check_.whole(run.run->version, run.version); }

  // How many of the run's blocks the query has; at least the first.
  bool match_keys(Run& run) const {
    const std::size_t left = keys_.size() - at_;
    if (left >= run.length && run.run->last_key.load(kRelaxed) == keys_[at_ + run.length - 1]) {
      run.matched = run.length;
      return true;
    }
    std::uint32_t low = 1;
    std::uint32_t high = static_cast<std::uint32_t>(std::min<std::size_t>(left, run.length));
    // A query that ends inside is the usual case, so its last key is tried first.
    for (std::uint32_t next = high; low < high; next = (low + high) / 2) {
      const int compared = compare(run, next);
      if (compared < 0) return false;
      if (compared > 0) {
        low = next;
        if (low + 1 >= high) break;
      } else {
        high = next;
        if (low + 1 >= high) break;
      }
    }
    run.matched = low;
    return true;
  }

  // 1: the first `blocks` blocks are the query's, 0: not, -1: the run was changed.
  int compare(const Run& run, std::uint32_t blocks) const {
    const std::uint32_t number = run.run->start.load(kRelaxed) + blocks - 1;
    if (number >= kRunBlocksMax) return -1;
    const std::uint32_t chunk = chunk_at(*run.run, view_.words, number / kChunkBlocks);
    if (!same(run)) return -1;
    const std::uint64_t key = view_.chunks[chunk].keys[number % kChunkBlocks].load(kRelaxed);
    return key == keys_[at_ + blocks - 1] ? 1 : 0;
  }

  bool is_live(std::uint16_t slot) const {
    if (live_is_ == Live::kList) {
      return std::find(list_.begin(), list_.begin() + listed_, slot) != list_.begin() + listed_;
    }
    const std::uint64_t word =
        live_is_ == Live::kAll ? view_.alive[slot / 64].load(kRelaxed) : bits_[turn_][slot / 64];
    return (word >> slot % 64 & 1) != 0;
  }

  // The partial holders of a run, and whether they are slots.
  bool read_partials(const Run& run, std::array<std::uint32_t, kPartialMax>& entries) const {
    const std::uint32_t count = std::min(run.partial_count, kPartialMax);
    for (std::uint32_t i = 0; i < count; ++i) entries[i] = half_of(run.partial, i);
    return same(run);
  }
  static std::uint16_t slot_in(std::uint32_t entry) {
    return static_cast<std::uint16_t>(entry >> 16);
  }

  bool fold_bits(const Run& run) {
    const bool all = live_is_ == Live::kAll;
    const Bits& live = bits_[turn_];
    Bits& next = bits_[1 - turn_];
    std::uint64_t any = 0;
    std::uint64_t left = 0;
    for (std::uint32_t i = 0; i < words_; ++i) {
      const std::uint64_t were = all ? view_.alive[i].load(kRelaxed) : live[i];
      next[i] = run.full[i].load(kRelaxed) & were;
      any |= next[i];
      left |= next[i] ^ were;
    }
    std::array<std::uint32_t, kPartialMax> partials;
    if (!read_partials(run, partials) || !whole(run)) return false;
    for (std::uint32_t i = 0; i < run.partial_count; ++i) {
      const std::uint16_t slot = slot_in(partials[i]);
      if ((partials[i] & 0xffff) >= run.matched && is_live(slot)) {
        next[slot / 64] |= std::uint64_t{1} << slot % 64;
        any = 1;
      }
    }
    write_leavers(run, partials, [&] {
      if (all || left == 0) return;
      zero_rows();
      for (std::uint32_t i = 0; i < words_; ++i) {
        set_rows(rows_, i, live[i] & ~next[i], depth(at_));
      }
    });
    turn_ = 1 - turn_;
    live_is_ = any == 0 ? Live::kList : Live::kBits;
    at_ += run.matched;
    return true;
  }

  bool fold_list(const Run& run) {
    List next;
    std::uint32_t count = 0;
    if (run.shape == kShapeBits) {
      for (std::uint32_t i = 0; i < listed_; ++i) {
        const std::uint64_t word = run.full[list_[i] / 64].load(kRelaxed);
        if ((word >> list_[i] % 64 & 1) != 0) next[count++] = list_[i];
      }
    } else {
      const std::uint32_t full = std::min(run.full_count, 64U);
      for (std::uint32_t i = 0; i < full; ++i) next[i] = quarter_of(run.full, i);
      if (!same(run)) return false;  // Only now are they slots.
      for (std::uint32_t i = 0; i < full; ++i) {
        if (is_live(next[i])) next[count++] = next[i];
      }
    }
    std::array<std::uint32_t, kPartialMax> partials;
    if (!read_partials(run, partials) || !whole(run)) return false;
    for (std::uint32_t i = 0; i < run.partial_count; ++i) {
      const std::uint16_t slot = slot_in(partials[i]);
      if ((partials[i] & 0xffff) >= run.matched && is_live(slot)) next[count++] = slot;
    }
    write_leavers(run, partials, [&] { write_live(); });
    std::copy_n(next.begin(), count, list_.begin());
    listed_ = count;
    live_is_ = Live::kList;
    at_ += run.matched;
    return true;
  }

  // Those who hold less than the query has of the run; after the others that leave here, because
  // `write_others` writes rows of all that were live.
  template <class WriteOthers>
  void write_leavers(const Run& run, const std::array<std::uint32_t, kPartialMax>& partials,
                     WriteOthers&& write_others) {
    write_others();
    for (std::uint32_t i = 0; i < run.partial_count; ++i) {
      const std::uint16_t slot = slot_in(partials[i]);
      const std::uint32_t held = partials[i] & 0xffff;
      if (held < run.matched && slot < rows_.size() && is_live(slot)) {
        zero_rows();
        rows_[slot] = depth(at_ + held);
      }
    }
  }

  void zero_rows() {
    if (std::exchange(zeroed_, true) || rows_.empty()) return;
    // Not std::fill, which writes row by row.
    std::memset(rows_.data(), 0, rows_.size_bytes());
  }

  void write_live() {
    zero_rows();
    if (live_is_ == Live::kList) {
      for (std::uint32_t i = 0; i < listed_; ++i) {
        if (list_[i] < rows_.size()) rows_[list_[i]] = depth(at_);
      }
    } else if (live_is_ == Live::kBits) {
      for (std::uint32_t i = 0; i < words_; ++i) set_rows(rows_, i, bits_[turn_][i], depth(at_));
    }
  }
  void finish() {
    if (zeroed_ || live_is_ != Live::kBits) return write_live();
    for (std::uint32_t i = 0; i < words_; ++i) fill_rows(rows_, i, bits_[turn_][i], depth(at_));
  }

  static KvDepth depth(std::size_t blocks) {
    return static_cast<KvDepth>(std::min<std::size_t>(blocks, 0xffff));
  }

  [[no_unique_address]] Check check_;
  const KvView& view_;
  std::span<const std::uint64_t> keys_;
  std::span<KvDepth> rows_;
  std::uint32_t words_;
  bool zeroed_ = false;  // The rows: they have values, and 0 where none was found yet.
  std::size_t at_ = 0;   // Blocks of the query done.
  const KvRun* here_ = nullptr;
  Live live_is_ = Live::kAll;
  std::uint32_t listed_ = 0;
  List list_;
  std::array<Bits, 2> bits_;  // The live ones, and room for the next.
  std::uint32_t turn_ = 0;
};

}  // namespace fairlead::prefix
