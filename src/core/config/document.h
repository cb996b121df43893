// SPDX-License-Identifier: Apache-2.0
// Document: YAML text as an immutable tree with line numbers, the ground Section reads from.
//
// Strict where YAML is lax: duplicate keys, keys that are not text and a second document are
// errors. Bounded, because the text may come from a watched file: its size, its nesting and its
// number of nodes with every alias expanded. All failures become problems; nothing is thrown.
// Threads: a finished tree is immutable. yaml-cpp is used in document.cpp only.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "core/config/section.h"

namespace fairlead::config {

inline constexpr std::size_t kMaxDocumentBytes = std::size_t{1} << 20;
inline constexpr std::size_t kMaxKeyBytes = 256;
inline constexpr std::size_t kMaxNesting = 32;
inline constexpr std::size_t kMaxNodes = 100'000;

struct Node {
  enum class Kind : std::uint8_t { kNull, kScalar, kSequence, kMapping };
  struct Entry {
    std::string key;
    int line = 0;
    std::shared_ptr<const Node> value;
  };

  Kind kind = Kind::kNull;
  bool plain = false;  // A scalar without quotes or tag: may be read as a number or boolean.
  int line = 0;        // From 1.
  std::string text;    // Of a scalar.
  std::vector<std::shared_ptr<const Node>> items;  // Of a sequence.
  std::vector<Entry> entries;                      // Of a mapping.
  std::size_t nodes = 1;                           // In this tree, aliases expanded.
  std::size_t height = 1;                          // Levels in this tree.
};

// Null when the text is not a YAML document within the bounds, and one problem says why.
std::shared_ptr<const Node> parse_document(std::string_view text, std::string_view file,
                                           Problems& problems);

}  // namespace fairlead::config
