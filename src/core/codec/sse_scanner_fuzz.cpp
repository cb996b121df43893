// SPDX-License-Identifier: Apache-2.0
// Any bytes as a streamed answer. Oracle: the facts are the same however the bytes are cut. The
// first byte of the input picks the cut.
#include <algorithm>
#include <cstdlib>
#include <string_view>

#include "core/codec/sse_scanner.h"

namespace {

using fairlead::codec::EventStyle;
using fairlead::codec::JsonResponseScanner;
using fairlead::codec::SseScanner;

template <class Scanner>
void check(const Scanner& fresh, std::string_view text, std::size_t piece) {
  Scanner whole = fresh;
  whole.feed(text);
  Scanner bytes = fresh;
  for (const char& c : text) bytes.feed({&c, 1});
  Scanner pieces = fresh;
  for (std::size_t at = 0; at < text.size(); at += piece) pieces.feed(text.substr(at, piece));
  if (!(whole.facts() == bytes.facts()) || !(whole.facts() == pieces.facts())) std::abort();
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const unsigned char* data, std::size_t size) {
  if (size == 0) return 0;
  const std::string_view text(reinterpret_cast<const char*>(data) + 1, size - 1);
  const std::size_t piece = std::max<std::size_t>(data[0], 1);
  SseScanner typed;
  typed.restart(EventStyle::kTyped);
  check(SseScanner(), text, piece);
  check(typed, text, piece);
  check(JsonResponseScanner(), text, piece);
  return 0;
}
