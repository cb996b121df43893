// SPDX-License-Identifier: Apache-2.0
#include "core/prefix/kv_feed.h"

#include <fmt/format.h>

#include <algorithm>
#include <utility>

#include "base/mutant.h"
#include "core/codec/http1_text.h"

namespace fairlead::prefix {
namespace {

using codec::KvEvent;
using codec::KvExtraItem;
using codec::same_ignoring_case;

// Of the chains that begin, every so many is audited once the first has been.
constexpr std::uint64_t kAuditEvery = 256;
constexpr std::size_t kBegunMax = 256;
constexpr std::size_t kGroupsMax = 64;
// How many events before its turn an event is announced to the lane (KvLane::expect).
constexpr std::size_t kAhead = 3;

bool is_remote(const KvEvent& event) { return same_ignoring_case(event.locality, "REMOTE"); }

bool is_main_kind(std::string_view kind) {
  return kind.empty() || kind == "full_attention" || kind == "mla_attention" ||
         kind == "sink_full_attention";
}

// Old versions name an adapter by number alone.
std::string adapter_of(const KvEvent& event) {
  if (!event.lora_name.empty()) return std::string(event.lora_name);
  return event.lora_id ? fmt::format("#{}", *event.lora_id) : std::string();
}

}  // namespace

std::optional<KvTier> kv_tier_of(std::string_view medium) {
  if (medium.empty() || same_ignoring_case(medium, "GPU")) return KvTier::kDevice;
  for (const std::string_view host : {"CPU", "CPU_PINNED", "CPU_TIER1", "CPU_TIER2"}) {
    if (same_ignoring_case(medium, host)) return KvTier::kHost;
  }
  for (const std::string_view storage : {"STORAGE", "FS", "OBJ", "DISK", "EXTERNAL"}) {
    if (same_ignoring_case(medium, storage)) return KvTier::kStorage;
  }
  return std::nullopt;
}

KvFeedFigures& KvFeedFigures::operator+=(const KvFeedFigures& more) {
  stored_blocks += more.stored_blocks;
  removed_blocks += more.removed_blocks;
  placeholder_blocks += more.placeholder_blocks;
  announced_again += more.announced_again;
  cleared += more.cleared;
  unknown_events += more.unknown_events;
  remote += more.remote;
  other_group += more.other_group;
  unknown_group += more.unknown_group;
  unknown_medium += more.unknown_medium;
  not_dense += more.not_dense;
  salted += more.salted;
  no_slot += more.no_slot;
  return *this;
}

KvDomain KvFeedContext::domain_of(const KvHashDomain& domain) {
  const auto known = std::ranges::find(domains_, domain);
  if (known != domains_.end()) {
    return lane_domains_[static_cast<std::size_t>(known - domains_.begin())];
  }
  domains_.push_back(domain);
  lane_domains_.push_back(domains_.size() == 1 ? KvDomain{0} : lane_.new_domain());
  return lane_domains_.back();
}

std::vector<std::pair<KvHashDomain, KvDomain>> KvFeedContext::domains() const {
  std::vector<std::pair<KvHashDomain, KvDomain>> all;
  for (std::size_t i = 0; i < domains_.size(); ++i) all.emplace_back(domains_[i], lane_domains_[i]);
  return all;
}

void KvFeedContext::restore_domain(KvHashDomain hashes, KvDomain domain) {
  domains_.push_back(std::move(hashes));
  lane_domains_.push_back(domain);
}

void KvFeedContext::add_retired(KvSlot slot, std::uint32_t feed) {
  retired_.push_back({slot, feed});
  ++waiting_[feed];
}

std::uint32_t KvFeedContext::waiting(std::uint32_t feed) const {
  const auto found = waiting_.find(feed);
  return found == waiting_.end() ? 0 : found->second;
}

void KvFeedContext::recycle_swept() {
  std::erase_if(retired_, [this](const Retired& one) {
    if (!lane_.swept(one.slot)) return false;
    lane_.recycle(one.slot);
    const auto waiting = waiting_.find(one.feed);
    if (waiting != waiting_.end() && --waiting->second == 0) waiting_.erase(waiting);
    return true;
  });
}

KvFeed::KvFeed(KvFeedContext& context, KvFeedOptions options)
    : context_(context),
      id_(++context.feeds_),
      options_(std::move(options)),
      audit_(options_.hash_seed) {}

KvFeed::~KvFeed() { retire_slots(); }

void KvFeed::resume(Saved saved) {
  slots_ = saved.slots;
  groups_ = std::move(saved.groups);
  block_tokens_ = saved.block_tokens;
  domain_ = saved.domain;
  settled_ = saved.settled;
  const bool shared = domain_ && std::ranges::find(context_.lane_domains_, *domain_) !=
                                     context_.lane_domains_.end();
  if (domain_ && !shared) private_domain_ = domain_;
  ++slots_version_;
}

void KvFeed::retire_slot(std::optional<KvSlot>& slot) {
  context_.lane_.retire(*slot);
  context_.add_retired(*slot, id_);
  slot.reset();
  ++slots_version_;
}

void KvFeed::retire_slots() {
  for (std::optional<KvSlot>& slot : slots_) {
    if (slot) retire_slot(slot);
  }
}

void KvFeed::forget() {
  retire_slots();
  forget_expected();
  settled_ = 0;  // It would be told anew, to empty slots.
  domain_.reset();
  groups_.clear();
  audit_.reset();
}

BatchEffect KvFeed::apply(std::uint64_t sequence, std::string_view payload) {
  codec::KvBatch batch;
  if (const auto fault = context_.decoder_.decode(payload, batch)) {
    last_fault_ = fault;
    return BatchEffect::kMalformed;
  }
  if (sequence >= settled_ || planted(Mutant::kCountedAgain)) return apply(batch);
  context_.lane_.set_repeats(KvRepeats::kIgnored);
  const BatchEffect effect = apply(batch);
  context_.lane_.set_repeats(KvRepeats::kCopies);
  return effect;
}

BatchEffect KvFeed::apply(const codec::KvBatch& batch) {
  timestamp_ = batch.timestamp;
  figures_.unknown_events += batch.unknown_events;
  begun_.clear();
  BatchEffect effect = BatchEffect::kApplied;
  for (std::size_t i = 0; i < batch.events.size(); ++i) {
    for (std::size_t ahead = i == 0 ? 1 : kAhead; ahead <= kAhead; ++ahead) {
      if (i + ahead < batch.events.size()) expect(batch.events[i + ahead]);
    }
    const bool swapped = planted(Mutant::kSwappedEvents);
    const KvEvent& event = batch.events[swapped ? batch.events.size() - 1 - i : i];
    switch (event.kind) {
      case codec::KvEventKind::kStored: {
        const std::uint64_t not_kept = figures_.no_slot;
        on_stored(event);
        if (figures_.no_slot != not_kept) effect = BatchEffect::kPartial;
        break;
      }
      case codec::KvEventKind::kRemoved:
        on_removed(event);
        break;
      case codec::KvEventKind::kCleared:
        on_cleared();
        effect = BatchEffect::kEmptied;
        break;
    }
  }
  return effect;
}

// Its places in the index come into the cache while the events before it are applied.
void KvFeed::expect(const KvEvent& event) {
  // The slots of all tiers share a domain.
  const auto slot = std::ranges::find_if(slots_, [](const auto& one) { return one.has_value(); });
  if (slot == slots_.end() || event.hashes.empty()) return;
  const std::uint64_t next = event.hashes[0];
  context_.lane_.expect(**slot, event.parent.value_or(next), next);
}

void KvFeed::on_cleared() {
  ++figures_.cleared;
  begun_.clear();
  forget_expected();
  for (std::optional<KvSlot>& slot : slots_) {
    if (!slot) continue;
    if (context_.lane_.held_blocks(*slot) > 0) {
      retire_slot(slot);
    } else {
      slot = context_.lane_.clear(*slot);  // Stays as it is.
    }
  }
}

const KvFeed::Group* KvFeed::find_group(std::uint32_t number) const {
  const auto found = std::ranges::find(groups_, number, &Group::number);
  return found == groups_.end() ? nullptr : &*found;
}

// Removals tell only the number of their group: its kind is learnt from stores.
bool KvFeed::is_main(const KvEvent& event) {
  const bool main = is_main_kind(event.spec_kind);
  if (!event.group) return main;
  const Group* known = find_group(*event.group);
  // What is not told stands for what was told before.
  if (known != nullptr) return known->kind == Group::Kind::kMain;
  if (groups_.size() >= kGroupsMax) return false;
  groups_.push_back({*event.group, main ? Group::Kind::kMain : Group::Kind::kOther});
  return main;
}

// Where on the engine's host the copy is; nothing, counted, when it is not there.
std::optional<KvTier> KvFeed::local_tier(const KvEvent& event) {
  if (is_remote(event)) {
    ++figures_.remote;
    return std::nullopt;
  }
  const std::optional<KvTier> tier = kv_tier_of(event.medium);
  if (!tier) ++figures_.unknown_medium;
  return tier;
}

void KvFeed::on_stored(const KvEvent& event) {
  if (event.hashes.empty()) return;
  const std::optional<KvTier> tier = local_tier(event);
  if (!tier) return;
  if (!is_main(event)) {
    ++figures_.other_group;
    return;
  }
  if (!event.cache_salt.empty()) {
    ++figures_.salted;
    return;
  }
  const bool placeholder = event.tokens.empty() && event.tokens_readable;
  const std::size_t wanted = event.hashes.size() * event.block_size;
  if (!placeholder && (wanted == 0 || event.tokens.size() != wanted)) {
    ++figures_.not_dense;
    return;
  }
  audit(event);
  const std::optional<KvSlot> slot = slot_for(*tier);
  if (!slot) {
    ++figures_.no_slot;
    return;
  }
  if (placeholder) {
    figures_.placeholder_blocks += event.hashes.size();
    context_.lane_.hold(*slot, event.hashes);
    return;
  }
  const std::optional<std::uint64_t> last_key = store_blocks(*slot, event);
  if (*tier != KvTier::kDevice) return;
  block_tokens_ = event.block_size;
  if (last_key && options_.expected != nullptr) {
    options_.expected->told(options_.endpoint, *last_key);
  }
}

// What was sent before the engine lost its cache is not there any more.
void KvFeed::forget_expected() {
  if (options_.expected != nullptr) options_.expected->forget(options_.endpoint);
}

// Returns the last block's key, if it is in the index.
std::optional<std::uint64_t> KvFeed::store_blocks(KvSlot slot, const KvEvent& event) {
  KvLane& lane = context_.lane_;
  make_contents(event, salt_);
  figures_.stored_blocks += event.hashes.size();
  if (event.parent) {
    return lane.store(slot, 0, event.parent, event.hashes, context_.contents_);
  }
  const KvFigures before = lane.figures();
  const std::optional<std::uint64_t> last_key =
      lane.store(slot, root_for(event, salt_), std::nullopt, event.hashes, context_.contents_);
  const bool begun_here = std::ranges::find(begun_, event.hashes[0]) != begun_.end();
  if (begun_.size() < kBegunMax) begun_.push_back(event.hashes[0]);
  const KvFigures& after = lane.figures();
  const std::uint64_t copies = after.copies - before.copies;
  if (begun_here || copies == 0 || after.copies_capped != before.copies_capped) return last_key;
  // The beginning of the chain was held already, from an earlier batch: announced again.
  figures_.announced_again += copies;
  lane.remove(slot, event.hashes.first(std::min<std::size_t>(copies, event.hashes.size())));
  return last_key;
}

void KvFeed::on_removed(const KvEvent& event) {
  const std::optional<KvTier> tier = local_tier(event);
  if (!tier) return;
  if (event.group) {
    const Group* group = find_group(*event.group);
    if (group == nullptr) {
      ++figures_.unknown_group;
      return;
    }
    if (group->kind != Group::Kind::kMain) {
      ++figures_.other_group;
      return;
    }
  }
  const std::optional<KvSlot> slot = slots_[static_cast<std::size_t>(*tier)];
  if (!slot) return;
  figures_.removed_blocks += event.hashes.size();
  context_.lane_.remove(*slot, event.hashes);
}

void KvFeed::audit(const KvEvent& event) {
  if (event.parent || event.tokens.empty()) return;
  const bool due = audit_.verdict() == KvHashVerdict::kUnchecked || rooted_ % kAuditEvery == 0;
  ++rooted_;
  if (due) audit_.check(event);
}

std::optional<KvSlot> KvFeed::slot_for(KvTier tier) {
  std::optional<KvSlot>& slot = slots_[static_cast<std::size_t>(tier)];
  if (slot || context_.waiting(id_) >= kWaitingMax) return slot;
  if (!domain_) choose_domain();
  slot = context_.lane_.open(*domain_);
  if (slot) ++slots_version_;
  return slot;
}

// Engines that are known to hash alike share what their hashes mean; any other is by itself.
void KvFeed::choose_domain() {
  if (audit_.domain()) {
    domain_ = context_.domain_of(*audit_.domain());
    return;
  }
  if (!private_domain_) private_domain_ = context_.lane_.new_domain();
  domain_ = private_domain_;
}

// The salt is the last text of a request's first block that is not its adapter's name.
void KvFeed::make_contents(const KvEvent& event, std::string& salt) {
  const TokenKeys& keys = context_.keys_;
  std::vector<std::uint64_t>& contents = context_.contents_;
  contents.resize(event.hashes.size());
  salt.clear();
  codec::KvExtraKeys extras = event.extra_keys;
  const bool has_extras = !extras.empty();
  for (std::size_t i = 0; i < contents.size(); ++i) {
    std::uint64_t extra = 0;
    if (has_extras && extras.next_block()) {
      std::string_view text;
      for (KvExtraItem item; extras.next(item);) {
        switch (item.kind) {
          case KvExtraItem::Kind::kText:
            if (item.text == event.lora_name) break;
            // A text before the last one names a media item, as versions before offsets have it.
            if (!text.empty()) extra = keys.extra_of(text, 0, extra);
            text = item.text;
            break;
          case KvExtraItem::Kind::kNumber:
            break;  // The adapter's, which is in the namespace.
          case KvExtraItem::Kind::kMedia:
          case KvExtraItem::Kind::kBytes:
          case KvExtraItem::Kind::kOther:
            extra = keys.extra_of(item.text, static_cast<std::uint64_t>(item.number), extra);
            break;
        }
      }
      if (i == 0 && !event.parent) {
        salt = text;
      } else if (!text.empty()) {
        extra = keys.extra_of(text, 0, extra);
      }
    }
    contents[i] = keys.content(event.tokens.subspan(i * event.block_size, event.block_size), extra);
  }
}

std::uint64_t KvFeed::root_for(const KvEvent& event, std::string_view salt) {
  const bool plain = event.lora_name.empty() && !event.lora_id;
  const bool known = root_block_ == event.block_size && root_salt_ == salt &&
                     (plain ? root_adapter_.empty() : root_adapter_ == adapter_of(event));
  if (known) return root_;
  root_adapter_ = adapter_of(event);
  root_salt_ = salt;
  root_block_ = event.block_size;
  root_ = context_.keys_.root({.model = options_.model,
                               .adapter = root_adapter_,
                               .cache_salt = root_salt_,
                               .block_tokens = root_block_});
  return root_;
}

}  // namespace fairlead::prefix
