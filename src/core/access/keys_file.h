// SPDX-License-Identifier: Apache-2.0
// The keys file: who may use the gateway, and how much. `fairlead key new NAME` prints an entry.
//
//   keys:
//     - name: team-a                 # In metrics and the access log.
//       sha256: 5e88...              # Of the key, 64 hexadecimal digits.
//       previousSha256: 6b3a...      # Also accepted, while a key is being replaced. Optional.
//       models: [llama-70b]          # Default: every model.
//       limits: {requestsPerMinute: 600, tokensPerMinute: 200000, concurrency: 32}
//
// Errors: every problem at once, with its line; none of them quotes a value, which may be a key
// that stands in the wrong place. Pure function over text.
#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "core/access/key_digest.h"
#include "core/access/key_usage.h"
#include "core/config/section.h"

namespace fairlead::access {

inline constexpr std::size_t kKeysMax = 10'000;
inline constexpr std::size_t kKeyNameBytesMax = 64;

struct KeySetting {
  std::string name;  // Unique: letters, digits and . _ - @ only.
  KeyDigest digest{};
  std::optional<KeyDigest> previous;
  std::vector<std::string> models;  // Empty: all.
  KeyLimits limits;
};

bool is_key_name(std::string_view name);

// An empty list is allowed, and then nobody is let in; a missing `keys` is not, so that a
// half-written file locks nobody out. nullopt when the file has any error: keep the old keys.
std::optional<std::vector<KeySetting>> parse_keys_file(std::string_view text, std::string_view file,
                                                       config::Problems& problems);

}  // namespace fairlead::access
