// SPDX-License-Identifier: Apache-2.0
// What of a KvListener looks at how engines are set up. What an engine may change with each message
// is told of once a second.
#include <fmt/format.h>

#include <algorithm>
#include <map>
#include <utility>

#include "router/kv_publisher.h"

namespace fairlead::router {
namespace {

constexpr Duration kLinkPatience = std::chrono::seconds(10);

// The endpoints whose blocks have one size.
struct SizeOfBlocks {
  std::size_t endpoints = 0;
  std::uint64_t told_at = 0;  // By the first of them.
  std::string first;
};

}  // namespace

// As most endpoints have it that told; among equals, as the one that told first.
bool KvListener::decide_block_size() {
  std::map<std::uint32_t, SizeOfBlocks> sizes;
  for (const auto& [slot, source] : sources_) {
    const Publisher* const teller = source->teller();
    if (teller == nullptr) continue;
    SizeOfBlocks& size = sizes[teller->block_tokens()];
    if (size.endpoints++ == 0 || teller->told_at() < size.told_at) {
      size.told_at = teller->told_at();
      size.first = source->name;
    }
  }
  const auto most = std::ranges::max_element(sizes, [](const auto& a, const auto& b) {
    return std::pair(a.second.endpoints, b.second.told_at) <
           std::pair(b.second.endpoints, a.second.told_at);
  });
  if (most == sizes.end()) return false;
  block_size_of_ = most->second.first;
  return block_tokens_.exchange(most->first) != most->first;
}

void KvListener::tell_block_size(const Source& source) {
  std::string says;
  for (const auto& publisher : source.publishers) {
    const std::uint32_t tokens = publisher->block_tokens();
    if (tokens == 0 || tokens == block_tokens_) continue;
    says = fmt::format(
        "its blocks have {} tokens, those of {} have {}: what it holds is guessed from what was "
        "sent there; give all engines the same --block-size",
        tokens, block_size_of_, block_tokens_.load());
  }
  audits_.set(source.ref, EngineCheck::kBlockSize, std::move(says));
}

void KvListener::log_block_size() {
  const std::uint32_t tokens = block_tokens_;
  if (std::exchange(logged_block_tokens_, tokens) == tokens) return;
  log_.info("prompts are cut into blocks of {} tokens, as endpoint {} has them", tokens,
            block_size_of_);
}

// What the hashes of its ranks show, the first that shows anything.
void KvListener::tell_hashes(Source& source) {
  std::string says;
  for (const auto& publisher : source.publishers) {
    const prefix::KvHashAudit& audit = publisher->feed().audit();
    // A seed of its own does no harm to routing, unless it was said to be another.
    const bool harmless =
        audit.verdict() == prefix::KvHashVerdict::kPrivate && !settings_.hash_seed;
    if (harmless && !std::exchange(source.has_own_seed, true)) {
      log_.info("endpoint {}: {}", source.name, audit.describe());
    }
    if (harmless || !says.empty()) continue;
    says = audit.describe();
    if (says.empty() || source.publishers.size() == 1) continue;
    says = fmt::format("rank {}: {}", publisher->address().rank, says);
  }
  if (says == source.hashes_say) return;
  source.hashes_say = says;
  audits_.set(source.ref, EngineCheck::kHashes, std::move(says));
}

// What it is about an engine that nobody can be heard of.
void KvListener::check_links(Time now) {
  for (const auto& [slot, source] : sources_) {
    std::string says;
    for (const auto& publisher : source->publishers) {
      const auto since = subscriber_->unlinked_since(publisher->id());
      if (!since || now - *since < kLinkPatience) continue;
      says = fmt::format(
          "nobody answers at {}: it is placed by what was sent there; start the engine with "
          "--kv-events-config and an \"endpoint\" such as tcp://*:5557, or say where it publishes "
          "with the label {}",
          publisher->address().events, kKvEventsLabel);
    }
    audits_.set(source->ref, EngineCheck::kEvents, std::move(says));
  }
}

}  // namespace fairlead::router
