// SPDX-License-Identifier: Apache-2.0
#include "core/picker/candidate_builder.h"

#include <algorithm>
#include <cmath>

#include "base/mutant.h"

namespace fairlead::picker {
namespace {

// A prompt is new when no endpoint holds more than this share of it.
constexpr double kColdShare = 0.1;

float age_of(Time scraped_at, Time now) {
  if (scraped_at == Time{}) return scheduling::kMetricsAgeMax;
  const double age = to_seconds(std::max(Duration{}, now - scraped_at));
  return static_cast<float>(std::min<double>(age, scheduling::kMetricsAgeMax));
}

float column_of(fleet::AdapterFit::Where where) {
  switch (where) {
    case fleet::AdapterFit::Where::kNowhere:
      return scheduling::kAdapterNowhere;
    case fleet::AdapterFit::Where::kWaiting:
      return scheduling::kAdapterWaiting;
    case fleet::AdapterFit::Where::kActive:
      return scheduling::kAdapterActive;
  }
  return scheduling::kAdapterNowhere;
}

float trust_of(prefix::Trust trust) {
  switch (trust) {
    case prefix::Trust::kAbsent:
      return 0;
    case prefix::Trust::kSuspect:
      return 0.5F;
    case prefix::Trust::kTrusted:
      return 1;
  }
  return 0;
}

// The mean, in which none counts more than kUnevenMost and as many times the middle one, so that an
// engine that tells nonsense, or that somebody parks requests at, distorts no decision for others.
// Changes the order.
float tempered_mean(std::vector<float>& values) {
  constexpr float kUnevenMost = 8;
  const auto middle = values.begin() + static_cast<std::ptrdiff_t>((values.size() - 1) / 2);
  std::ranges::nth_element(values, middle);
  const float most = kUnevenMost * (1 + *middle);
  float sum = 0;
  for (const float value : values) sum += std::min(value, most);
  return sum / static_cast<float>(values.size());
}

bool is_allowed(const model::InferenceRequest& request, std::uint32_t slot) {
  return !request.only_slots || std::ranges::binary_search(*request.only_slots, slot);
}

}  // namespace

std::string_view to_string(Exclusion why) {
  switch (why) {
    case Exclusion::kTakesNoTraffic:
      return "takes no traffic";
    case Exclusion::kOtherModel:
      return "serves other models";
    case Exclusion::kOutsideSubset:
      return "is not among those that the proxy allows";
    case Exclusion::kTried:
      return "was tried already";
    case Exclusion::kMasked:
      return "failed a request a moment ago";
    case Exclusion::kReturning:
      return "is returning and takes a share only";
  }
  return "unknown";
}

scheduling::Columns filled_columns() {
  using scheduling::Column;
  return scheduling::kAllColumns.missing_from({Column::kHeaders, Column::kPriority});
}

CandidateBuilder::CandidateBuilder(SharedState shared) : shared_(shared) {}

void CandidateBuilder::select(const model::InferenceRequest& request,
                              const model::PoolSnapshot& pool, std::span<const Time> masked_until,
                              std::span<const std::uint32_t> tried, Time now, Random& random,
                              Masks masks) {
  chosen_.clear();
  excluded_.clear();
  // An endpoint that has not told its models yet serves none of them, unless nobody has.
  const bool any_model = request.model.empty() || !pool.any_model_known();
  for (const model::Endpoint& endpoint : pool.endpoints) {
    const std::uint32_t slot = endpoint.ref.slot;
    const bool honoured = masks == Masks::kHonoured;
    // One that was never asked is better than none: after a start, or when the whole pool changed.
    const bool unasked = !honoured && endpoint.health == model::Health::kUnknown && !endpoint.asked;
    if (!endpoint.takes_traffic() && !unasked) {
      excluded_.push_back({endpoint.ref, Exclusion::kTakesNoTraffic});
    } else if (!any_model && !endpoint.serves(request.model)) {
      excluded_.push_back({endpoint.ref, Exclusion::kOtherModel});
    } else if (!is_allowed(request, slot)) {
      excluded_.push_back({endpoint.ref, Exclusion::kOutsideSubset});
    } else if (std::ranges::find(tried, slot) != tried.end()) {
      excluded_.push_back({endpoint.ref, Exclusion::kTried});
    } else if (honoured && slot < masked_until.size() && masked_until[slot] > now) {
      excluded_.push_back({endpoint.ref, Exclusion::kMasked});
    } else if (honoured && endpoint.admit_share < 1 && random.uniform() >= endpoint.admit_share) {
      // A returning endpoint is a candidate for its share of the decisions only.
      excluded_.push_back({endpoint.ref, Exclusion::kReturning});
    } else {
      chosen_.push_back(&endpoint);
    }
  }
}

bool CandidateBuilder::select_holder(const model::InferenceRequest& request,
                                     const model::PoolSnapshot& pool,
                                     std::span<const std::uint32_t> tried) {
  if (!request.holder) return false;
  const std::uint32_t slot = request.holder->slot;
  const model::Endpoint* const holder = pool.find(slot);
  const bool same =
      holder != nullptr && (holder->ref == *request.holder || planted(Mutant::kStaleGeneration));
  if (!same || !holder->takes_traffic() || !holder->serves(request.model) ||
      !is_allowed(request, slot) || std::ranges::find(tried, slot) != tried.end()) {
    return false;
  }
  chosen_.assign(1, holder);
  excluded_.clear();
  return true;
}

const scheduling::Candidates& CandidateBuilder::build(const model::InferenceRequest& request,
                                                      const model::PoolSnapshot& pool,
                                                      std::span<const Time> masked_until,
                                                      std::span<const std::uint32_t> tried,
                                                      Time now, Random& random,
                                                      scheduling::Columns wanted) {
  if (!select_holder(request, pool, tried)) {
    select(request, pool, masked_until, tried, now, random, Masks::kHonoured);
    if (chosen_.empty()) {
      select(request, pool, masked_until, tried, now, random, Masks::kIgnored);
    }
  }
  table_.resize(chosen_.size());
  std::ranges::copy(chosen_, table_.endpoint.begin());
  if (!chosen_.empty()) {
    fill(request);
    fill_wanted(request, now, wanted);
  }
  return table_;
}

// Fills cached_tokens by what an engine told, and where it told nothing by what was sent there.
void CandidateBuilder::match(const model::InferenceRequest& request) {
  const std::size_t slots = chosen_.back()->ref.slot + 1;
  matched_.assign(slots, 0);
  told_.assign(slots, {});
  if (!request.keys.empty()) shared_.knowledge.match(request.keys, matched_);
  if (!request.token_keys.empty() && shared_.told != nullptr) {
    shared_.told->told(request.token_keys, told_, told_scratch_);
  }
  // The last token of a prompt is always computed, and with it the block that it is in.
  const std::uint64_t usable = request.token_block == 0 || request.prompt_tokens == 0
                                   ? 0
                                   : (request.prompt_tokens - 1) / request.token_block;
  for (std::size_t row = 0; row < chosen_.size(); ++row) {
    const std::uint32_t slot = chosen_[row]->ref.slot;
    const prefix::ToldBlocks& told = told_[slot];
    const double guessed = static_cast<double>(matched_[slot]) * request.block_tokens;
    const std::uint64_t blocks = std::min<std::uint64_t>(told.blocks, usable);
    double cached = static_cast<double>(blocks) * request.token_block;
    if (told.trust == prefix::Trust::kAbsent) cached = guessed;
    // Some of what it told was missed: it may hold more.
    if (told.trust == prefix::Trust::kSuspect) cached = std::max(cached, guessed);
    table_.cached_tokens[row] = static_cast<float>(cached);
    table_.cache_trust[row] = trust_of(told.trust);
  }
}

void CandidateBuilder::fill(const model::InferenceRequest& request) {
  match(request);
  const auto prompt = static_cast<double>(request.prompt_tokens);
  // The last token of a prompt is always computed.
  const double cacheable = std::max(0.0, prompt - 1);
  double best_cached = 0;
  bool any_stale = false;
  bool any_others = false;
  others_unstarted_.resize(chosen_.size());
  for (std::size_t row = 0; row < chosen_.size(); ++row) {
    const std::uint32_t slot = chosen_[row]->ref.slot;
    const fleet::LoadRow load = shared_.load.read(slot);
    const fleet::InFlight inflight = shared_.inflight.read(slot);
    const double cached = std::min(cacheable, static_cast<double>(table_.cached_tokens[row]));
    best_cached = std::max(best_cached, cached);
    any_stale |= load.stale;
    table_.waiting[row] = load.waiting;
    table_.running[row] = load.running;
    table_.kv_usage[row] = load.kv_usage;
    table_.kv_tokens[row] = load.kv_tokens;
    table_.inflight_requests[row] = static_cast<float>(inflight.requests);
    table_.inflight_tokens[row] = static_cast<float>(inflight.uncached_tokens);
    table_.unstarted[row] = static_cast<float>(inflight.unstarted);
    table_.others_tokens[row] = load.others.tokens;
    table_.others_decoding[row] = load.others.decoding;
    others_unstarted_[row] = load.stale ? 0 : load.others.unstarted;
    any_others |= others_unstarted_[row] > 0;
    table_.cached_tokens[row] = static_cast<float>(cached);
    table_.own_uncached_tokens[row] = static_cast<float>(prompt - cached);
  }
  if (any_stale) raise_stale_load();
  std::ranges::fill(table_.others_unstarted, any_others ? tempered_mean(others_unstarted_) : 0.0F);
  best_cached_ = best_cached;
  cold_ = best_cached <= kColdShare * prompt;
  if (cold_) {
    rank_cold_placements();
  } else {
    std::ranges::fill(table_.cold_order, 0.0F);
  }
}

void CandidateBuilder::fill_wanted(const model::InferenceRequest& request, Time now,
                                   scheduling::Columns wanted) {
  using scheduling::Column;
  for (auto* column :
       {&table_.metrics_age, &table_.adapter, &table_.adapter_room, &table_.media_cached,
        &table_.media_items, &table_.inflight_context, &table_.placed_tokens, &table_.reuse,
        &table_.shortage, &table_.cold_tokens}) {
    std::ranges::fill(*column, 0.0F);
  }
  if (wanted.has(Column::kMetricsAge)) {
    for (std::size_t row = 0; row < chosen_.size(); ++row) {
      table_.metrics_age[row] = age_of(shared_.load.read(chosen_[row]->ref.slot).scraped_at, now);
    }
  }
  if (wanted.has(Column::kAdapter) || wanted.has(Column::kAdapterRoom)) {
    fill_adapters(request.model);
  }
  if (wanted.has(Column::kMediaCached) && !request.media.empty() && shared_.media != nullptr) {
    fill_media(request.media);
  }
  if (wanted.has(Column::kInFlightContext)) {
    for (std::size_t row = 0; row < chosen_.size(); ++row) {
      const fleet::InFlight inflight = shared_.inflight.read(chosen_[row]->ref.slot);
      table_.inflight_context[row] = static_cast<float>(inflight.context_tokens);
    }
  }
  if (wanted.has(Column::kPlacedTokens)) fill_placed();
  if (wanted.has(Column::kReuse)) std::ranges::fill(table_.reuse, reuse_.share());
  if (wanted.has(Column::kColdTokens)) {
    std::ranges::fill(table_.cold_tokens, reuse_.cold_tokens());
  }
  if (wanted.has(Column::kShortage)) std::ranges::fill(table_.shortage, shortage_.share());
  std::ranges::fill(table_.slowness, 1.0F);
  if (wanted.has(Column::kSlowness) && shared_.speeds != nullptr) fill_slowness(now);
}

void CandidateBuilder::fill_slowness(Time now) {
  for (std::size_t row = 0; row < chosen_.size(); ++row) {
    table_.slowness[row] = shared_.speeds->slowness(chosen_[row]->ref.slot, now);
  }
}

void CandidateBuilder::learn(const model::InferenceRequest& request, std::size_t row,
                             scheduling::Columns wanted) {
  const double computed = table_.own_uncached_tokens[row];
  reuse_.placed(table_.cached_tokens[row], computed);
  // What has no keys, as an embedding, nobody can find again.
  if (cold_ && computed > 0 && !request.keys.empty()) reuse_.placed_cold(computed);
  if (!wanted.has(scheduling::Column::kShortage) || shared_.seen == nullptr) return;
  shortage_.placed(lost_tokens(request), computed);
  shared_.seen->pass(static_cast<std::uint64_t>(computed));
}

// Tokens of the prompt that no row holds any more but would if each had twice its memory, which is
// told from a sample of the blocks.
double CandidateBuilder::lost_tokens(const model::InferenceRequest& request) {
  double memory = 0;
  for (const float tokens : table_.kv_tokens) memory += static_cast<double>(tokens);
  const double block = request.block_tokens;
  const std::uint32_t shift = fleet::SeenBlocks::shift_for(2 * memory / block);
  double lost = 0;
  for (std::size_t i = 0; i < request.keys.size(); ++i) {
    const std::uint64_t key = request.keys[i];
    if (!fleet::SeenBlocks::sampled(key, shift)) continue;
    // The block of the last token is computed though it is held.
    const bool held = static_cast<double>(i) * block <= best_cached_;
    if (!held && shared_.seen->age(key).value_or(2 * memory) < 2 * memory) lost += block;
    shared_.seen->note(key);
  }
  return std::ldexp(lost, static_cast<int>(shift));
}

// Told from the least, because sums without an end outgrow what a float tells apart.
void CandidateBuilder::fill_placed() {
  placed_.resize(chosen_.size());
  for (std::size_t row = 0; row < chosen_.size(); ++row) {
    placed_[row] = shared_.ledger.placed(chosen_[row]->ref.slot);
  }
  const std::uint64_t least = std::ranges::min(placed_);
  for (std::size_t row = 0; row < chosen_.size(); ++row) {
    table_.placed_tokens[row] = static_cast<float>(placed_[row] - least);
  }
}

void CandidateBuilder::fill_adapters(std::string_view model) {
  const std::uint32_t hash = fleet::adapter_hash(model);
  for (std::size_t row = 0; row < chosen_.size(); ++row) {
    const fleet::AdapterFit fit = shared_.load.fit(chosen_[row]->ref.slot, hash);
    table_.adapter[row] = column_of(fit.where);
    table_.adapter_room[row] = fit.room;
  }
}

// An engine that stopped telling its load may be the one that is overloaded: it counts as at least
// as full as the fullest that still tells, and among others that do not, as it last said.
void CandidateBuilder::raise_stale_load() {
  fleet::LoadRow worst;
  for (const model::Endpoint* endpoint : chosen_) {
    const fleet::LoadRow load = shared_.load.read(endpoint->ref.slot);
    if (load.stale) continue;
    worst.waiting = std::max(worst.waiting, load.waiting);
    worst.running = std::max(worst.running, load.running);
    worst.kv_usage = std::max(worst.kv_usage, load.kv_usage);
    worst.others.tokens = std::max(worst.others.tokens, load.others.tokens);
    worst.others.decoding = std::max(worst.others.decoding, load.others.decoding);
  }
  for (std::size_t row = 0; row < chosen_.size(); ++row) {
    if (!shared_.load.read(chosen_[row]->ref.slot).stale) continue;
    table_.waiting[row] = std::max(table_.waiting[row], worst.waiting);
    table_.running[row] = std::max(table_.running[row], worst.running);
    table_.kv_usage[row] = std::max(table_.kv_usage[row], worst.kv_usage);
    table_.others_tokens[row] = std::max(table_.others_tokens[row], worst.others.tokens);
    table_.others_decoding[row] = std::max(table_.others_decoding[row], worst.others.decoding);
  }
}

void CandidateBuilder::fill_media(std::span<const model::MediaItem> media) {
  double total = 0;
  for (const model::MediaItem& item : media) total += static_cast<double>(item.bytes);
  if (total == 0) return;
  for (const model::MediaItem& item : media) {
    std::ranges::fill(matched_, 0);
    shared_.media->match(std::span(&item.hash, 1), matched_);
    const auto share = static_cast<float>(static_cast<double>(item.bytes) / total);
    for (std::size_t row = 0; row < chosen_.size(); ++row) {
      if (matched_[chosen_[row]->ref.slot] == 0) continue;
      table_.media_cached[row] += share;
      table_.media_items[row] += 1;
    }
  }
  // The shares of all items may add up to a hair more than the whole.
  for (float& cached : table_.media_cached) cached = std::min(cached, 1.0F);
}

void CandidateBuilder::rank_cold_placements() {
  // Other workers raise the stamps meanwhile, so they are read once.
  by_stamp_.resize(chosen_.size());
  for (std::uint32_t row = 0; row < by_stamp_.size(); ++row) {
    by_stamp_[row] = {shared_.ledger.last_cold(chosen_[row]->ref.slot), row};
  }
  std::ranges::sort(by_stamp_);
  // Endpoints that never got one share rank 0, so that the first are told apart by load alone.
  float rank = 0;
  for (std::size_t i = 0; i < by_stamp_.size(); ++i) {
    if (i > 0 && by_stamp_[i].first != by_stamp_[i - 1].first) rank = static_cast<float>(i);
    table_.cold_order[by_stamp_[i].second] = rank;
  }
}

}  // namespace fairlead::picker
