// SPDX-License-Identifier: Apache-2.0
#include "core/exchange/model_name_swap.h"

#include <algorithm>

#include "core/codec/json_text.h"
#include "core/exchange/kept_memory.h"

namespace fairlead::exchange {
namespace {

constexpr std::string_view kKey = "\"model\":";

// How many of the text's last bytes may be the beginning of a key.
std::size_t key_begun(std::string_view text) {
  for (std::size_t size = std::min(text.size(), kKey.size() - 1); size > 0; --size) {
    if (text.substr(text.size() - size) == kKey.substr(0, size)) return size;
  }
  return 0;
}

}  // namespace

void ModelNameSwap::clear() {
  for (std::string* const text : {&wanted_, &shown_, &held_, &joined_}) clear_kept(*text);
}

void ModelNameSwap::set(std::string_view served, std::string_view shown) {
  clear();
  codec::append_json_string(wanted_, served);
  shown_ = shown;
}

// Whether the name follows at the beginning of `text`, which stands behind the key; then `end` is
// where it ends.
ModelNameSwap::Match ModelNameSwap::match_name(std::string_view text, std::size_t& end) const {
  const std::size_t space = text.starts_with(' ') ? 1 : 0;
  const std::string_view name = text.substr(space, wanted_.size());
  if (name != std::string_view(wanted_).substr(0, name.size())) return Match::kNo;
  if (name.size() < wanted_.size()) return Match::kPart;
  end = space + name.size();
  return Match::kWhole;
}

void ModelNameSwap::feed(std::string_view piece, HoldBack hold, std::string& out) {
  if (held_.empty()) return swap_in(piece, hold, out);
  joined_.swap(held_);
  held_.clear();
  joined_ += piece;
  swap_in(joined_, hold, out);
  joined_.clear();
}

void ModelNameSwap::swap_in(std::string_view text, HoldBack hold, std::string& out) {
  std::size_t growth_left = kGrowthBytesMax;
  while (true) {
    const std::size_t at = text.find(kKey);
    if (at == std::string_view::npos) break;
    const std::string_view behind = text.substr(at + kKey.size());
    std::size_t end = 0;
    const Match match = match_name(behind, end);
    if (match == Match::kPart && hold == HoldBack::kAllowed) {
      out += text.substr(0, at);
      held_ = text.substr(at);
      return;
    }
    out += text.substr(0, at + kKey.size());
    text = behind;
    if (match != Match::kWhole) continue;
    const std::size_t growth = shown_.size() - std::min(shown_.size(), wanted_.size());
    if (growth > growth_left) {
      out += text;
      wanted_.clear();
      return;
    }
    growth_left -= growth;
    out += text.substr(0, end - wanted_.size());
    out += shown_;
    text.remove_prefix(end);
  }
  const std::size_t begun = hold == HoldBack::kAllowed ? key_begun(text) : 0;
  out += text.substr(0, text.size() - begun);
  held_ = text.substr(text.size() - begun);
}

void ModelNameSwap::finish(std::string& out) {
  out += held_;
  held_.clear();
}

}  // namespace fairlead::exchange
