// SPDX-License-Identifier: Apache-2.0
#include "core/tokens/token_cache.h"

#include <xxhash.h>

namespace fairlead::tokens {

TokenCache::TokenCache(std::size_t bytes_max, std::uint64_t seed)
    : bytes_max_(bytes_max), seed_(seed) {}

std::size_t TokenCache::cost(std::size_t text_bytes, std::size_t tokens) {
  return kEntryBytes + text_bytes + tokens * sizeof(std::uint32_t);
}

std::uint64_t TokenCache::key_of(std::uint32_t model, std::string_view chunk) const {
  return XXH3_64bits_withSeed(chunk.data(), chunk.size(), seed_ + model);
}

Cached TokenCache::append(std::uint32_t model, std::string_view chunk,
                          std::vector<std::uint32_t>& out) {
  const auto found = by_key_.find(key_of(model, chunk));
  if (found == by_key_.end()) return Cached::kMissing;
  const Entries::iterator entry = found->second;
  if (entry->model != model || entry->text != chunk) return Cached::kMissing;
  entries_.splice(entries_.begin(), entries_, entry);
  out.insert(out.end(), entry->tokens.begin(), entry->tokens.end());
  return Cached::kAppended;
}

void TokenCache::insert(std::uint32_t model, std::string_view chunk,
                        std::span<const std::uint32_t> tokens) {
  const std::size_t needed = cost(chunk.size(), tokens.size());
  if (needed > bytes_max_ / 8) return;
  const std::uint64_t key = key_of(model, chunk);
  const auto found = by_key_.find(key);
  if (found != by_key_.end()) drop(found->second);
  while (bytes_ + needed > bytes_max_) {
    drop(std::prev(entries_.end()));
    ++evicted_;
  }
  entries_.push_front({key, model, std::string(chunk), {tokens.begin(), tokens.end()}});
  by_key_.emplace(key, entries_.begin());
  bytes_ += needed;
}

void TokenCache::drop(Entries::iterator entry) {
  bytes_ -= cost(entry->text.size(), entry->tokens.size());
  by_key_.erase(entry->key);
  entries_.erase(entry);
}

tl::expected<TextCost, TextFailure> append_tokens(const Tokenizer& tokenizer, const TextCuts& cuts,
                                                  std::uint32_t model, std::string_view text,
                                                  ChunkCache& cache, Patience& patience,
                                                  std::vector<std::uint32_t>& out) {
  TextCost total{.bytes = text.size()};
  for (std::size_t from = 0; from < text.size();) {
    const std::size_t end = cuts.end(text, from);
    const std::string_view chunk = text.substr(from, end - from);
    from = end;
    if (chunk.size() > TextCuts::kChunkBytesMax) return tl::unexpected(TextFailure::kLimit);
    if (patience.ask() == Patience::Answer::kStop) return tl::unexpected(TextFailure::kStopped);
    if (cache.append(model, chunk, out) == Cached::kAppended) {
      total.cached_bytes += chunk.size();
      continue;
    }
    const std::size_t known = out.size();
    if (const auto done = tokenizer.append(chunk, out); !done) return tl::unexpected(done.error());
    cache.insert(model, chunk, std::span(out).subspan(known));
  }
  return total;
}

}  // namespace fairlead::tokens
