// SPDX-License-Identifier: Apache-2.0
// JsonIndex and JsonCursor: a strict, allocation-free walk over a JSON text, for scanners that
// want a few values out of it and the raw bytes of some others.
//
// JsonIndex runs simdjson's first stage (vectorised; checks UTF-8, control characters in strings
// and the last string's end) and keeps the positions of all tokens. JsonCursor steps over them and
// checks the grammar of whatever it passes, skipped values included, which On-Demand's own
// skipping does not. Escape sequences inside strings are the one thing not checked.
// Errors: JsonFault. Threads: one owner; a cursor dies with the next build() of its index.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <string_view>

namespace fairlead::codec {

enum class JsonFault : std::uint8_t { kNone, kEmpty, kTooLarge, kInvalidUtf8, kInvalid, kTooDeep };

class JsonIndex {
 public:
  // Texts above `max_bytes` (below 4 GiB) are refused.
  explicit JsonIndex(std::size_t max_bytes);
  ~JsonIndex();
  JsonIndex(const JsonIndex&) = delete;
  JsonIndex& operator=(const JsonIndex&) = delete;

  // Allocates only when `text` is longer than every earlier one. Reads no byte beyond it.
  [[nodiscard]] JsonFault build(std::string_view text);
  // Where each token begins; the element behind the last one holds the text's size.
  [[nodiscard]] std::span<const std::uint32_t> tokens() const { return tokens_; }

 private:
  struct Stage;
  std::unique_ptr<Stage> stage_;
  std::size_t max_bytes_;
  std::span<const std::uint32_t> tokens_;
};

class JsonCursor {
 public:
  static constexpr std::size_t kMaxDepth = 128;

  // `index` was built from `text`.
  JsonCursor(std::string_view text, const JsonIndex& index)
      : text_(text), tokens_(index.tokens()) {}

  // First byte of the token ahead; 0 at the end.
  [[nodiscard]] char peek() const { return at_ < tokens_.size() ? text_[tokens_[at_]] : '\0'; }
  [[nodiscard]] bool at_end() const { return at_ == tokens_.size(); }
  // Byte position of the token ahead; the text's size at the end.
  [[nodiscard]] std::size_t position() const {
    return at_ < tokens_.size() ? tokens_[at_] : text_.size();
  }
  // Byte position of the token stepped over last; 0 before the first.
  [[nodiscard]] std::size_t last_position() const { return at_ == 0 ? 0 : tokens_[at_ - 1]; }
  [[nodiscard]] JsonFault fault() const { return fault_; }

  // Steps over one punctuation token if it is `c`.
  bool accept(char c) {
    if (peek() != c) return false;
    ++at_;
    return true;
  }
  bool expect(char c) { return accept(c) || fail(JsonFault::kInvalid); }

  // The characters between the quotes, still escaped.
  bool read_string(std::string_view& raw);
  // A scalar's text: a checked number or one of true, false, null.
  bool read_scalar(std::string_view& token);
  // Steps over a number made of digits alone, as token ids are, if that is what is ahead.
  bool accept_natural(std::string_view& token);
  // Steps over any value, checked; `raw` gets its bytes. `depth` is the nesting it stands at.
  bool read_raw(std::string_view& raw, std::size_t depth);

  // Walk an object: accept('{'), enter(), then read a value after each next_key() that is true.
  // False at the closing brace and on a fault; tell them apart by fault().
  bool next_key(std::string_view& raw_key);
  // The same for arrays: true when an element is ahead.
  bool next_element();
  // Call behind an opening bracket, before the two above.
  void enter() { first_ = true; }

  bool fail(JsonFault fault) {
    if (fault_ == JsonFault::kNone) fault_ = fault;
    return false;
  }

 private:
  [[nodiscard]] std::size_t token_end() const;
  bool close(char bracket);
  bool skip_value(std::size_t depth);

  std::string_view text_;
  std::span<const std::uint32_t> tokens_;
  std::size_t at_ = 0;
  bool first_ = false;
  JsonFault fault_ = JsonFault::kNone;
};

// Replaces `out` by the decoded form of a raw string. False on an invalid escape; lone surrogates
// become U+FFFD.
bool decode_json_string(std::string_view raw, std::string& out);

}  // namespace fairlead::codec
