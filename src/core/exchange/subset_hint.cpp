// SPDX-License-Identifier: Apache-2.0
#include "core/exchange/subset_hint.h"

#include <algorithm>
#include <charconv>

#include "core/codec/ext_proc.h"
#include "core/exchange/kept_memory.h"

namespace fairlead::exchange {
namespace {

bool same_text(std::string_view a, std::string_view b) {
  const auto lower = [](char c) { return c >= 'A' && c <= 'Z' ? static_cast<char>(c + 32) : c; };
  return std::ranges::equal(a, b, {}, lower, lower);
}

}  // namespace

void SubsetHint::clear() {
  present_ = false;
  clear_kept(text_);
  clear_kept(entries_);
  clear_kept(items_);
}

bool SubsetHint::read(std::string_view metadata) {
  if (!codec::read_subset_hint(metadata, kEntriesMax, items_)) return true;
  present_ = true;
  text_.clear();
  entries_.clear();
  const bool fits = items_.size() <= kEntriesMax;
  if (fits) {
    for (const std::string_view item : items_) add(item);
  }
  items_.clear();
  return fits;
}

void SubsetHint::add(std::string_view item) {
  std::string_view host = item;
  std::string_view port;
  if (item.starts_with('[')) {
    const std::size_t end = std::min(item.find(']'), item.size());
    host = item.substr(1, end - 1);
    port = item.substr(std::min(end + 1, item.size()));
    if (port.starts_with(':')) port.remove_prefix(1);
  } else if (const std::size_t colon = item.rfind(':');
             colon != std::string_view::npos && item.find(':') == colon) {
    host = item.substr(0, colon);
    port = item.substr(colon + 1);
  }
  Entry entry{text_.size(), host.size(), kAnyPort};
  text_ += host;
  if (!port.empty()) {
    std::uint16_t number = 0;
    const auto read = std::from_chars(port.data(), port.data() + port.size(), number);
    // A port that is none names nobody.
    if (read.ec != std::errc{} || read.ptr != port.data() + port.size()) return;
    entry.port = number;
  }
  entries_.push_back(entry);
}

bool SubsetHint::allows(std::string_view host, std::uint16_t port) const {
  if (!present_) return true;
  return std::ranges::any_of(entries_, [&](const Entry& entry) {
    return (entry.port == kAnyPort || entry.port == port) &&
           same_text(std::string_view(text_).substr(entry.begin, entry.size), host);
  });
}

}  // namespace fairlead::exchange
