// SPDX-License-Identifier: Apache-2.0
// The captured messages of testdata/kv_events/, as testdata/README.md describes them.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "core/codec/testing/test_data.h"

namespace fairlead::codec {

using KvMessage = std::vector<std::string>;  // Frames.

inline std::vector<KvMessage> read_kv_messages(const std::string& name) {
  const std::string bytes = read_testdata("kv_events/" + name + ".frames");
  std::size_t at = 0;
  const auto number = [&bytes, &at] {
    std::uint32_t value = 0;
    for (std::size_t i = 0; i < 4; ++i) value = value << 8 | static_cast<std::uint8_t>(bytes[at++]);
    return value;
  };
  std::vector<KvMessage> messages;
  while (at < bytes.size()) {
    KvMessage& frames = messages.emplace_back();
    for (std::uint32_t left = number(); left > 0; --left) {
      const std::uint32_t size = number();
      frames.push_back(bytes.substr(at, size));
      at += size;
    }
  }
  return messages;
}

// Bytes from hexadecimal digits; blanks are passed over.
inline std::string from_hex(std::string_view digits) {
  std::string bytes;
  int high = -1;
  for (const char c : digits) {
    if (c == ' ') continue;
    const int digit = c <= '9' ? c - '0' : (c | 0x20) - 'a' + 10;
    if (high < 0) {
      high = digit;
    } else {
      bytes.push_back(static_cast<char>(high * 16 + digit));
      high = -1;
    }
  }
  return bytes;
}

}  // namespace fairlead::codec
