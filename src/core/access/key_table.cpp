// SPDX-License-Identifier: Apache-2.0
#include "core/access/key_table.h"

#include <algorithm>

namespace fairlead::access {
namespace {

constexpr std::size_t kEngineKeyBytesMax = 4096;

}  // namespace

bool Key::allows(std::string_view model) const {
  return models.empty() || std::ranges::binary_search(models, model, std::less<>());
}

Grant Key::admit(std::string_view model, std::uint64_t prompt_tokens, Time now) const {
  if (!allows(model)) return usage->refuse(Refusal::kModel);
  return usage->admit(limits, prompt_tokens, now);
}

KeyTable::KeyTable(std::vector<KeySetting> keys, const KeyTable& before) : asks_(true) {
  std::ranges::sort(keys, {}, &KeySetting::name);
  keys_.reserve(keys.size());
  for (KeySetting& setting : keys) {
    const auto number = static_cast<std::uint32_t>(keys_.size());
    by_digest_.emplace_back(setting.digest, number);
    if (setting.previous) by_digest_.emplace_back(*setting.previous, number);
    const Key* const known = before.find_name(setting.name);
    std::ranges::sort(setting.models);
    keys_.push_back({std::move(setting.name), std::move(setting.models), setting.limits,
                     known != nullptr ? known->usage : std::make_shared<KeyUsage>()});
  }
  std::ranges::sort(by_digest_);
}

const Key* KeyTable::find(const KeyDigest& digest) const {
  const auto found =
      std::ranges::lower_bound(by_digest_, digest, {}, &std::pair<KeyDigest, std::uint32_t>::first);
  if (found == by_digest_.end() || !same_digest(found->first, digest)) return nullptr;
  return &keys_[found->second];
}

const Key* KeyTable::find_name(std::string_view name) const {
  const auto found = std::ranges::lower_bound(keys_, name, std::less<>(), &Key::name);
  return found == keys_.end() || found->name != name ? nullptr : &*found;
}

Result<std::string> engine_authorization(std::string_view file_text) {
  constexpr std::string_view kSpace = " \t\r\n";
  const std::size_t begin = file_text.find_first_not_of(kSpace);
  if (begin == std::string_view::npos) {
    return fail(ErrorCode::kInvalidArgument, "the file holds no key");
  }
  const std::string_view key =
      file_text.substr(begin, file_text.find_last_not_of(kSpace) + 1 - begin);
  const bool visible = std::ranges::all_of(key, [](char c) { return c > ' ' && c <= '~'; });
  if (!visible || key.size() > kEngineKeyBytesMax) {
    return fail(ErrorCode::kInvalidArgument,
                "the file must hold one key and nothing else: one line of at most {} visible "
                "ASCII characters",
                kEngineKeyBytesMax);
  }
  return "Bearer " + std::string(key);
}

}  // namespace fairlead::access
