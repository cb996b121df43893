// SPDX-License-Identifier: Apache-2.0
#include "core/prefix/kv_hash_audit.h"

#include <fmt/format.h>

#include <array>
#include <utility>

namespace fairlead::prefix {
namespace {

using codec::KvEvent;
using codec::KvEventKind;
using codec::KvExtraItem;

// Seeds that are worth trying without being told.
constexpr std::array<std::string_view, 3> kCommonSeeds{kVllmFixedSeed, "0", "42"};

// Whether an event tells all that its first block's hash was made of.
bool tells_all(const KvEvent& event) {
  if (event.lora_id || !event.lora_name.empty()) return false;
  codec::KvExtraKeys keys = event.extra_keys;
  if (!keys.next_block()) return true;
  for (KvExtraItem item; keys.next(item);) {
    if (item.kind == KvExtraItem::Kind::kOther) return false;
  }
  return true;
}

bool begins_a_chain(const KvEvent& event) {
  return event.kind == KvEventKind::kStored && !event.parent && !event.hashes.empty() &&
         event.block_size > 0 && event.tokens.size() >= event.block_size;
}

HashTerm tagged(std::string_view tag, const KvExtraItem& item, HashTerm value) {
  std::vector<HashTerm> parts{HashTerm::of(tag), std::move(value)};
  if (item.kind == KvExtraItem::Kind::kMedia) parts.push_back(HashTerm::of_number(item.number));
  return HashTerm::tuple(std::move(parts));
}

HashTerm term_of(const KvExtraItem& item, ExtrasForm form) {
  const bool plain = form == ExtrasForm::kPlain;
  switch (item.kind) {
    case KvExtraItem::Kind::kMedia:
      if (plain) {
        return HashTerm::tuple({HashTerm::of(item.text), HashTerm::of_number(item.number)});
      }
      return tagged("mm", item, HashTerm::of(item.text));
    case KvExtraItem::Kind::kBytes: {
      HashTerm bytes = HashTerm::of_bytes(item.text);
      return plain ? bytes : tagged("prompt_embeds", item, std::move(bytes));
    }
    case KvExtraItem::Kind::kNumber:
      return HashTerm::of_number(item.number);
    case KvExtraItem::Kind::kText:
    case KvExtraItem::Kind::kOther:
      break;
  }
  return plain ? HashTerm::of(item.text) : tagged("cache_salt", item, HashTerm::of(item.text));
}

}  // namespace

std::optional<std::uint64_t> vllm_first_hash(const VllmHasher& hasher, const KvEvent& event,
                                             ExtrasForm form) {
  if (!begins_a_chain(event)) return std::nullopt;
  const bool has_adapter = event.lora_id || !event.lora_name.empty();
  if (has_adapter && form == ExtrasForm::kTagged) return std::nullopt;
  std::vector<HashTerm> terms;
  codec::KvExtraKeys keys = event.extra_keys;
  if (keys.next_block()) {
    for (KvExtraItem item; keys.next(item);) {
      if (item.kind == KvExtraItem::Kind::kOther) return std::nullopt;
      terms.push_back(term_of(item, form));
    }
  }
  return hasher.block(hasher.none(), event.tokens.first(event.block_size), terms).tail();
}

KvHashAudit::KvHashAudit(std::optional<std::string> expected) : seed_(std::move(expected)) {
  std::vector<std::string> seeds;
  if (seed_) seeds.push_back(*seed_);
  for (const std::string_view seed : kCommonSeeds) {
    if (!seed_ || *seed_ != seed) seeds.emplace_back(seed);
  }
  for (const std::string& seed : seeds) {
    for (const VllmHashAlgorithm algorithm : kVllmHashAlgorithms) {
      candidates_.push_back({{algorithm, seed}, VllmHasher(algorithm, seed)});
    }
  }
}

const KvHashAudit::Candidate* KvHashAudit::find(const KvEvent& event) const {
  for (const Candidate& candidate : candidates_) {
    for (const ExtrasForm form : {ExtrasForm::kTagged, ExtrasForm::kPlain}) {
      const auto hash = vllm_first_hash(candidate.hasher, event, form);
      if (hash && *hash == event.hashes[0]) return &candidate;
    }
  }
  return nullptr;
}

KvHashVerdict KvHashAudit::judge() const {
  if (!domain_) return KvHashVerdict::kPrivate;
  return seed_ && *seed_ != domain_->seed ? KvHashVerdict::kOtherSeed : KvHashVerdict::kAgrees;
}

void KvHashAudit::check(const KvEvent& event) {
  if (!begins_a_chain(event) || !tells_all(event)) return;
  ++checked_;
  const Candidate* candidate = find(event);
  domain_.reset();
  if (candidate != nullptr) domain_ = candidate->domain;
  verdict_ = judge();
  if (verdict_ != KvHashVerdict::kAgrees) ++mismatched_;
}

void KvHashAudit::reset() {
  verdict_ = KvHashVerdict::kUnchecked;
  domain_.reset();
}

std::string KvHashAudit::describe() const {
  switch (verdict_) {
    case KvHashVerdict::kUnchecked:
    case KvHashVerdict::kAgrees:
      break;
    case KvHashVerdict::kOtherSeed:
      return fmt::format(
          "the engine hashes its blocks with the seed \"{}\", not \"{}\": set PYTHONHASHSEED "
          "there, or tokenProcessorConfig.hashSeed here",
          domain_->seed, *seed_);
    case KvHashVerdict::kPrivate:
      return "the engine's block hashes follow from no known algorithm and seed: its seed is "
             "random, so set PYTHONHASHSEED to the same value on all engines, or its hash "
             "algorithm is not known; routing works, but its hashes say nothing of other engines' "
             "blocks";
  }
  return {};
}

void TokenAudit::note_prompt(std::uint64_t router_tokens, std::uint64_t engine_tokens) {
  if (checked_ == kWindow) {
    checked_ /= 2;
    other_length_ /= 2;
  }
  ++checked_;
  if (router_tokens != engine_tokens) ++other_length_;
}

void TokenAudit::note_blocks(std::uint64_t prompt_blocks, std::uint64_t known_blocks) {
  if (prompt_blocks == 0) return;
  if (blocks_checked_ == kWindow) {
    blocks_checked_ /= 2;
    other_blocks_ /= 2;
  }
  ++blocks_checked_;
  if (known_blocks == 0) ++other_blocks_;
}

std::string TokenAudit::describe() const {
  if (checked_ >= kEnough && other_length_ * 10 > checked_) {
    return fmt::format(
        "{} of {} prompts have another number of tokens at the engine than here: its tokenizer or "
        "chat template is not the one that the router loaded",
        other_length_, checked_);
  }
  if (blocks_checked_ >= kEnough && other_blocks_ * 10 > blocks_checked_) {
    return fmt::format(
        "of {} of {} prompts that the engine has answered it announced no block that the router "
        "expected: its chat template, tokenizer or block size is not the one that the router uses",
        other_blocks_, blocks_checked_);
  }
  return {};
}

}  // namespace fairlead::prefix
