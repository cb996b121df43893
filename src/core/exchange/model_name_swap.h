// SPDX-License-Identifier: Apache-2.0
// ModelNameSwap: puts back, in an answer that is being relayed, the model name that the client
// asked for, where the engine names the one that served it.
//
// Only `"model":` and `"model": ` followed by the whole name in quotes are changed, wherever they
// stand and however the pieces are cut; every other byte stays. At most the beginning of such a
// match is held back. The engine writes the name as JSON text without needless escapes.
// Bound: a piece that would grow by more than kGrowthBytesMax grows no further, and the rest of the
// answer passes as it is: a short name that stands everywhere, for a long one, would be a bomb.
// Threads: thread-compatible. Owns its memory, and reuses it.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>

namespace fairlead::exchange {

// Whether bytes that may begin a match are kept for the next piece.
enum class HoldBack : std::uint8_t { kAllowed, kForbidden };

class ModelNameSwap {
 public:
  static constexpr std::size_t kGrowthBytesMax = 64 * 1024;

  void clear();
  // `shown`: JSON text of what the client sees, with its quotes.
  void set(std::string_view served, std::string_view shown);
  // Not set, or stopped by the bound; then nothing is held back.
  bool active() const { return !wanted_.empty(); }

  // Appends the piece as the client gets it.
  void feed(std::string_view piece, HoldBack hold, std::string& out);
  // Bytes that no later piece completed.
  void finish(std::string& out);

 private:
  enum class Match : std::uint8_t { kNo, kWhole, kPart };
  Match match_name(std::string_view text, std::size_t& end) const;
  void swap_in(std::string_view text, HoldBack hold, std::string& out);

  std::string wanted_;  // Quoted, as the engine writes it.
  std::string shown_;
  std::string held_;
  std::string joined_;
};

}  // namespace fairlead::exchange
