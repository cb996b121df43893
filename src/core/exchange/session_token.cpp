// SPDX-License-Identifier: Apache-2.0
#include "core/exchange/session_token.h"

#include <array>
#include <cstdint>

namespace fairlead::exchange {
namespace {

constexpr std::string_view kAlphabet =
    "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
constexpr std::size_t kTokenBytesMax = 1024;
constexpr std::uint8_t kInvalid = 0xff;

constexpr std::array<std::uint8_t, 256> kValues = [] {
  std::array<std::uint8_t, 256> values{};
  values.fill(kInvalid);
  for (std::size_t i = 0; i < kAlphabet.size(); ++i) {
    values[static_cast<unsigned char>(kAlphabet[i])] = static_cast<std::uint8_t>(i);
  }
  return values;
}();

}  // namespace

void encode_session_token(std::string_view endpoint_name, std::string& out) {
  out.clear();
  std::uint32_t held = 0;
  int bits = 0;
  for (const char c : endpoint_name) {
    held = held << 8 | static_cast<unsigned char>(c);
    for (bits += 8; bits >= 6; bits -= 6) out += kAlphabet[held >> (bits - 6) & 63];
  }
  if (bits > 0) out += kAlphabet[held << (6 - bits) & 63];
  while (out.size() % 4 != 0) out += '=';
}

void decode_session_token(std::string_view token, std::string& out) {
  out.clear();
  if (token.size() > kTokenBytesMax) return;
  while (token.ends_with('=')) token.remove_suffix(1);
  std::uint32_t held = 0;
  int bits = 0;
  for (const char c : token) {
    const std::uint8_t value = kValues[static_cast<unsigned char>(c)];
    if (value == kInvalid) return out.clear();
    held = held << 6 | value;
    bits += 6;
    if (bits >= 8) {
      bits -= 8;
      out += static_cast<char>(held >> bits & 255);
    }
  }
}

}  // namespace fairlead::exchange
