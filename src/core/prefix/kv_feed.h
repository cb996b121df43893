// SPDX-License-Identifier: Apache-2.0
// KvFeed: what one publisher's batches mean for the KV index. It decodes a batch and turns its
// events into calls of the lane: tokens into content hashes, media into tiers (a slot each), names
// and salts into namespaces. Batches come in order, from an EventStream.
//
// What is not indexed, each counted: blocks of other groups than full attention's (a plain prefix
// says nothing of theirs), copies on other hosts, media that are not known, events whose tokens do
// not fill their blocks, blocks with SGLang's salt (its hashes do not tell salts apart). Blocks
// known by hash alone are resolved through the lane.
// An engine that announces blocks again which a request reuses (kv_cache_report_mode=full) sends
// what looks like new copies from a chain's beginning on. They are not counted as copies unless the
// chain began in the same batch: so a removal is believed rather than doubted.
//
// Slots: a cleared cache that held anything gets another one, and the old one is used again once it
// is swept. A feed has at most kWaitingMax that wait for it, so that a publisher that clears again
// and again uses up its own slots alone. What comes while there is none is not kept; it is counted,
// and the batch is kPartial.
//
// Errors: a batch that cannot be read changes nothing, and last_fault() says where it breaks.
// Threads: the lane's writer. Allocates only to grow.
// Source: vllm/distributed/kv_events.py; vllm/v1/core/kv_cache_utils.py for what is hashed.
#pragma once

#include <array>
#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "core/codec/kv_events.h"
#include "core/model/endpoint.h"
#include "core/prefix/event_stream.h"
#include "core/prefix/kv_expected.h"
#include "core/prefix/kv_hash_audit.h"
#include "core/prefix/kv_lane.h"
#include "core/prefix/token_keys.h"

namespace fairlead::prefix {

enum class KvTier : std::uint8_t { kDevice, kHost, kStorage };
inline constexpr std::size_t kKvTiers = 3;
// Of a medium as engines name it, in any case; an empty one is the device's.
std::optional<KvTier> kv_tier_of(std::string_view medium);

// What the feeds of one lane share.
class KvFeedContext {
 public:
  // Both outlive the context; `keys` has the lane's seed.
  KvFeedContext(KvLane& lane, const TokenKeys& keys) : lane_(lane), keys_(keys) {}

  KvLane& lane() { return lane_; }
  const TokenKeys& keys() const { return keys_; }
  // A slot of nobody's that was retired: to be recycled as those of feeds.
  void add_retired(KvSlot slot) { retired_.push_back({slot, kNobody}); }
  // Recycles the retired slots that are swept. No reader counts their rows any more.
  void recycle_swept();
  std::size_t retired() const { return retired_.size(); }
  // Engines that hash alike, and their domain of the lane: to be kept with it, and given back
  // before any feed asks. The lane has the domain.
  std::vector<std::pair<KvHashDomain, KvDomain>> domains() const;
  void restore_domain(KvHashDomain hashes, KvDomain domain);

 private:
  friend class KvFeed;
  static constexpr std::uint32_t kNobody = 0;
  struct Retired {
    KvSlot slot;
    std::uint32_t feed;
  };
  KvDomain domain_of(const KvHashDomain& domain);
  void add_retired(KvSlot slot, std::uint32_t feed);
  std::uint32_t waiting(std::uint32_t feed) const;

  KvLane& lane_;
  const TokenKeys& keys_;
  codec::KvEventDecoder decoder_;
  std::vector<std::uint64_t> contents_;
  std::uint32_t feeds_ = kNobody;  // So many there were.
  std::vector<Retired> retired_;
  std::map<std::uint32_t, std::uint32_t> waiting_;  // Retired slots by feed; no zeros.
  std::vector<KvHashDomain> domains_;               // Known ones; each has a domain of the lane.
  std::vector<KvDomain> lane_domains_;
};

struct KvFeedOptions {
  std::string model;                       // Of the namespace.
  std::optional<std::string> hash_seed{};  // That the engine is said to have; for the audit.
  // What was sent to the publisher's endpoint, which it tells of itself, or loses with its cache;
  // null: nothing is. Outlives the feed.
  KvExpected* expected = nullptr;
  model::EndpointRef endpoint{};
};

struct KvFeedFigures {
  std::uint64_t stored_blocks = 0;
  std::uint64_t removed_blocks = 0;
  std::uint64_t placeholder_blocks = 0;
  std::uint64_t announced_again = 0;  // Blocks.
  std::uint64_t cleared = 0;
  std::uint64_t unknown_events = 0;
  // Events that were passed over.
  std::uint64_t remote = 0;
  std::uint64_t other_group = 0;
  std::uint64_t unknown_group = 0;  // Removals for a group of which nothing was stored.
  std::uint64_t unknown_medium = 0;
  std::uint64_t not_dense = 0;
  std::uint64_t salted = 0;
  std::uint64_t no_slot =
      0;  // Stores: there is no slot, or too many of the feed's wait to be swept.

  KvFeedFigures& operator+=(const KvFeedFigures& more);
};

class KvFeed final : public EventStreamSink {
 public:
  // A group of KV-cache layers, and whether its blocks make a plain prefix.
  struct Group {
    std::uint32_t number;
    enum class Kind : std::uint8_t { kMain, kOther } kind;
  };
  using Slots = std::array<std::optional<KvSlot>, kKvTiers>;
  static constexpr std::uint32_t kWaitingMax = 8;

  // The context outlives the feed.
  KvFeed(KvFeedContext& context, KvFeedOptions options);
  // The slots are retired: whoever saves the lane saves it before.
  ~KvFeed();
  KvFeed(const KvFeed&) = delete;
  KvFeed& operator=(const KvFeed&) = delete;

  BatchEffect apply(std::uint64_t sequence, std::string_view payload) override;
  void forget() override;

  // By tier: the rows of the index that are this publisher's now. The version changes with them.
  const Slots& slots() const { return slots_; }
  std::optional<KvSlot> slot(KvTier tier) const { return slots_[static_cast<std::size_t>(tier)]; }
  std::uint64_t slots_version() const { return slots_version_; }
  // As announced for full attention; 0: nothing was stored yet.
  std::uint32_t block_tokens() const { return block_tokens_; }
  // By the engine's clock, seconds; of the last batch.
  double timestamp() const { return timestamp_; }

  const KvHashAudit& audit() const { return audit_; }
  const KvFeedFigures& figures() const { return figures_; }
  const std::optional<codec::KvFault>& last_fault() const { return last_fault_; }

  // To be kept with the lane over a restart of the router.
  struct Saved {
    Slots slots{};
    std::vector<Group> groups;
    std::uint32_t block_tokens = 0;
    std::optional<KvDomain> domain;
    // What batches below this number say may be in the lane already: told again, it is no copy.
    std::uint64_t settled = 0;
  };
  Saved save() const { return {slots_, groups_, block_tokens_, domain_, settled_}; }
  // Before anything is applied; the lane has these slots, open.
  void resume(Saved saved);

 private:
  std::optional<KvTier> local_tier(const codec::KvEvent& event);
  void expect(const codec::KvEvent& event);
  void on_stored(const codec::KvEvent& event);
  std::optional<std::uint64_t> store_blocks(KvSlot slot, const codec::KvEvent& event);
  void forget_expected();
  void on_removed(const codec::KvEvent& event);
  void on_cleared();
  bool is_main(const codec::KvEvent& event);
  const Group* find_group(std::uint32_t number) const;
  std::optional<KvSlot> slot_for(KvTier tier);
  void choose_domain();
  void audit(const codec::KvEvent& event);
  void make_contents(const codec::KvEvent& event, std::string& salt);
  std::uint64_t root_for(const codec::KvEvent& event, std::string_view salt);
  void retire_slot(std::optional<KvSlot>& slot);
  void retire_slots();
  BatchEffect apply(const codec::KvBatch& batch);

  KvFeedContext& context_;
  std::uint32_t id_;
  KvFeedOptions options_;
  KvHashAudit audit_;
  Slots slots_{};
  std::uint64_t slots_version_ = 0;
  std::optional<KvDomain> private_domain_;
  std::optional<KvDomain> domain_;
  std::vector<Group> groups_;
  std::uint32_t block_tokens_ = 0;
  std::uint64_t settled_ = 0;
  double timestamp_ = 0;
  std::uint64_t rooted_ = 0;          // Events that begin a chain, so far.
  std::vector<std::uint64_t> begun_;  // First hashes of the chains begun in this batch.
  std::optional<codec::KvFault> last_fault_;
  KvFeedFigures figures_;
  // The namespace of the last chain begun.
  std::string root_adapter_;
  std::string root_salt_;
  std::uint32_t root_block_ = 0;
  std::uint64_t root_ = 0;
  std::string salt_;
};

}  // namespace fairlead::prefix
