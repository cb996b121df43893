// SPDX-License-Identifier: Apache-2.0
// KeyTable: the keys in force, found by digest. Built whole from a keys file and published whole; a
// key that keeps its name keeps what it has used and its running requests.
//
// A key is found in time that depends on its digest, by binary search. That tells an attacker
// nothing of use: he can neither choose a digest nor turn one back into a key, and digests are no
// secret that opens anything. Only equality decides, and that comparison takes constant time.
// Threads: immutable but for KeyUsage, which is shared.
#pragma once

#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "base/result.h"
#include "core/access/keys_file.h"

namespace fairlead::access {

struct Key {
  std::string name;
  std::vector<std::string> models;  // Sorted; empty: all.
  KeyLimits limits;
  std::shared_ptr<KeyUsage> usage;

  // An empty model, of a body that is not read, is allowed only to a key that may use all.
  bool allows(std::string_view model) const;
  Grant admit(std::string_view model, std::uint64_t prompt_tokens, Time now) const;
};

class KeyTable {
 public:
  // Nobody is asked for a key.
  KeyTable() = default;
  // `before` is the table that this one replaces.
  KeyTable(std::vector<KeySetting> keys, const KeyTable& before);

  bool asks_for_key() const { return asks_; }
  const Key* find(const KeyDigest& digest) const;
  const Key* find_name(std::string_view name) const;
  std::span<const Key> keys() const { return keys_; }  // By name.

 private:
  bool asks_ = false;
  std::vector<Key> keys_;
  std::vector<std::pair<KeyDigest, std::uint32_t>> by_digest_;  // Sorted.
};

// What the gateway needs to know of keys, the clients' and its own, published as one.
struct AccessRules {
  KeyTable keys;
  // The value of the Authorization header towards engines; empty: none of our own.
  std::string engine_authorization;

  // Whether what a client sends as its key stops here.
  bool keeps_client_key() const { return keys.asks_for_key() || !engine_authorization.empty(); }
};

// The Authorization header's value for an engine key read from a file: one line of visible ASCII,
// white space around it ignored. Errors never quote it.
Result<std::string> engine_authorization(std::string_view file_text);

}  // namespace fairlead::access
