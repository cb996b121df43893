// SPDX-License-Identifier: Apache-2.0
#include "core/access/keys_file.h"

#include <fmt/format.h>

#include <algorithm>
#include <map>

namespace fairlead::access {
namespace {

using config::Section;

std::optional<KeyDigest> read_digest(Section& entry, std::string_view key) {
  const auto digest = parse_digest(entry.text(key, ""));
  if (!digest) {
    entry.error(key,
                "must be the SHA-256 of the key, 64 hexadecimal digits; `fairlead key new` "
                "prints it");
  }
  return digest;
}

std::optional<std::uint64_t> read_limit(Section& limits, std::string_view key, std::uint64_t max) {
  if (!limits.has(key)) {
    limits.skip(key);
    return std::nullopt;
  }
  return static_cast<std::uint64_t>(limits.integer(key, 1, 1, static_cast<std::int64_t>(max)));
}

KeyLimits read_limits(Section limits) {
  KeyLimits read;
  read.requests_per_minute = read_limit(limits, "requestsPerMinute", kRequestsPerMinuteMax);
  read.tokens_per_minute = read_limit(limits, "tokensPerMinute", kTokensPerMinuteMax);
  read.concurrency = read_limit(limits, "concurrency", 1'000'000);
  limits.finish();
  return read;
}

KeySetting read_key(Section& entry) {
  KeySetting key;
  key.name = entry.required_text("name");
  if (!key.name.empty() && !is_key_name(key.name)) {
    entry.error("name",
                fmt::format("must be at most {} letters, digits and . _ - @", kKeyNameBytesMax));
  }
  if (const auto digest = read_digest(entry, "sha256")) key.digest = *digest;
  if (entry.has("previousSha256")) key.previous = read_digest(entry, "previousSha256");
  entry.skip("previousSha256");
  if (entry.has("models")) {
    key.models = entry.texts("models");
    if (key.models.empty()) entry.error("models", "is empty; leave it out to allow every model");
  }
  entry.skip("models");
  key.limits = read_limits(entry.child("limits"));
  entry.finish();
  return key;
}

// Names and digests are looked up alone, so each may occur once.
class Uniqueness {
 public:
  void check(const Section& entry, const KeySetting& key) {
    if (const auto [other, is_new] = names_.emplace(key.name, entry.path()); !is_new) {
      entry.error("name", fmt::format("is already used by {}", other->second));
    }
    check_digest(entry, "sha256", key.digest);
    if (key.previous) check_digest(entry, "previousSha256", *key.previous);
  }

 private:
  void check_digest(const Section& entry, std::string_view field, const KeyDigest& digest) {
    const auto [other, is_new] = digests_.emplace(digest, entry.path());
    if (!is_new) entry.error(field, fmt::format("is already used by {}", other->second));
  }

  std::map<std::string, std::string> names_;
  std::map<KeyDigest, std::string> digests_;
};

}  // namespace

bool is_key_name(std::string_view name) {
  return !name.empty() && name.size() <= kKeyNameBytesMax && std::ranges::all_of(name, [](char c) {
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '.' ||
           c == '_' || c == '-' || c == '@';
  });
}

std::optional<std::vector<KeySetting>> parse_keys_file(std::string_view text, std::string_view file,
                                                       config::Problems& problems) {
  config::Problems own;
  Section root = Section::parse(text, file, own);
  if (!own.has_errors() && !root.has("keys")) {
    root.error("", "\"keys\" is missing; write `keys: []` to let nobody in");
  }
  std::vector<KeySetting> keys;
  auto entries = root.children("keys");
  if (entries.size() > kKeysMax) {
    root.error("keys", fmt::format("has more than {} entries", kKeysMax));
    entries.clear();
  }
  for (Section& entry : entries) keys.push_back(read_key(entry));
  root.finish();
  if (!own.has_errors()) {
    Uniqueness unique;
    for (std::size_t i = 0; i < keys.size(); ++i) unique.check(entries[i], keys[i]);
  }
  for (config::Problem problem : own.list()) {
    // What was found in the wrong place may be a key.
    problem.message.resize(std::min(problem.message.find(", found "), problem.message.size()));
    problems.add(std::move(problem));
  }
  if (own.has_errors()) return std::nullopt;
  return keys;
}

}  // namespace fairlead::access
