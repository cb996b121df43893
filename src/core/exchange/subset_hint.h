// SPDX-License-Identifier: Apache-2.0
// SubsetHint: the endpoints among which a proxy wants one to be chosen (metadata
// envoy.lb.subset_hint of the endpoint picker protocol).
//
// An entry is an address, with or without a port: without one it stands for every port. Addresses
// are compared as text, IPv6 with or without brackets. An empty list allows nobody, and neither
// does one of more than kEntriesMax, because each entry costs a comparison with each endpoint.
// Threads: thread-compatible. Owns its memory, and reuses it.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

namespace fairlead::exchange {

class SubsetHint {
 public:
  static constexpr std::size_t kEntriesMax = 4096;

  void clear();
  // Takes the hint from a serialized Metadata (core/codec/ext_proc.h), if there is one. False: it
  // is too long, and was taken for an empty one.
  bool read(std::string_view metadata);
  bool present() const { return present_; }
  // Whether the hint is absent or names this endpoint. `host` is without brackets.
  bool allows(std::string_view host, std::uint16_t port) const;
  std::size_t size() const { return entries_.size(); }

 private:
  struct Entry {
    std::size_t begin = 0;  // Of the host in text_.
    std::size_t size = 0;
    std::uint32_t port = kAnyPort;
  };
  static constexpr std::uint32_t kAnyPort = 0x10000;
  void add(std::string_view item);

  bool present_ = false;
  std::string text_;
  std::vector<Entry> entries_;
  std::vector<std::string_view> items_;
};

}  // namespace fairlead::exchange
