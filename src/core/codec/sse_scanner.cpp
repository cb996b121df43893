// SPDX-License-Identifier: Apache-2.0
#include "core/codec/sse_scanner.h"

#include <algorithm>
#include <cstring>
#include <limits>

#include "base/mutant.h"

namespace fairlead::codec {

namespace {

constexpr std::string_view kDataField = "data:";
constexpr std::string_view kDoneMark = "[DONE]";

constexpr std::array<bool, 256> kOpensOrCloses = [] {
  std::array<bool, 256> table{};
  for (const char c : {'{', '}', '[', ']', '"'}) table[static_cast<unsigned char>(c)] = true;
  return table;
}();

// `end` if there is none. Eight bytes at a time: strings are the bulk of an answer.
const char* find_quote_or_escape(const char* at, const char* end) {
  constexpr std::uint64_t kOnes = 0x0101010101010101;
  constexpr std::uint64_t kHigh = kOnes << 7;
  while (end - at >= 8) {
    std::uint64_t word = 0;
    std::memcpy(&word, at, sizeof word);
    const std::uint64_t quotes = word ^ (kOnes * '"');
    const std::uint64_t escapes = word ^ (kOnes * '\\');
    // The high bit of the lowest zero byte, at least.
    if ((((quotes - kOnes) & ~quotes) | ((escapes - kOnes) & ~escapes)) & kHigh) break;
    at += 8;
  }
  while (at != end && *at != '"' && *at != '\\') ++at;
  return at;
}

bool is_digit(char c) { return c >= '0' && c <= '9'; }

}  // namespace

ResponseJson::Key ResponseJson::find_key(std::string_view text) {
  switch (text.size()) {
    case 2:
      return text == "id" ? Key::kId : Key::kOther;
    case 4:
      if (text == "text") return Key::kText;
      if (text == "type") return Key::kType;
      return text == "name" ? Key::kBlockText : Key::kOther;
    case 5:
      if (text == "usage") return Key::kUsage;
      if (text == "error") return Key::kError;
      return text == "delta" ? Key::kDelta : Key::kOther;
    case 6:
      if (text == "object") return Key::kObject;
      return text == "output" ? Key::kOutput : Key::kOther;
    case 7:
      if (text == "choices") return Key::kChoices;
      if (text == "message") return Key::kMessage;
      return text == "content" ? Key::kContent : Key::kOther;
    case 8:
      if (text == "response") return Key::kResponse;
      return text == "thinking" ? Key::kBlockText : Key::kOther;
    case 9:
      return text == "reasoning" ? Key::kReasoning : Key::kOther;
    case 10:
      return text == "tool_calls" ? Key::kToolCalls : Key::kOther;
    case 12:
      if (text == "partial_json") return Key::kBlockText;
      return text == "input_tokens" ? Key::kPromptTokens : Key::kOther;
    case 13:
      if (text == "prompt_tokens") return Key::kPromptTokens;
      if (text == "cached_tokens") return Key::kCachedTokens;
      if (text == "output_tokens") return Key::kCompletionTokens;
      return text == "content_block" ? Key::kBlock : Key::kOther;
    case 17:
      if (text == "completion_tokens") return Key::kCompletionTokens;
      return text == "reasoning_content" ? Key::kReasoning : Key::kOther;
    case 20:
      return text == "input_tokens_details" ? Key::kPromptTokensDetails : Key::kOther;
    case 21:
      return text == "prompt_tokens_details" ? Key::kPromptTokensDetails : Key::kOther;
    case 23:
      return text == "cache_read_input_tokens" ? Key::kCacheReadTokens : Key::kOther;
    default:
      return Key::kOther;
  }
}

// What the container that opens under the current key is.
ResponseJson::Scope ResponseJson::child_scope() const {
  if (depth_ == 0) return Scope::kTop;
  switch (scope()) {
    case Scope::kTop:
      if (key_ == Key::kUsage) return Scope::kUsage;
      if (key_ == Key::kChoices) return Scope::kChoices;
      if (key_ == Key::kMessage || key_ == Key::kResponse) return Scope::kEnvelope;
      if (key_ == Key::kOutput) return Scope::kOutput;
      if (key_ == Key::kContent) return Scope::kBlocks;
      return key_ == Key::kDelta || key_ == Key::kBlock ? Scope::kBlock : Scope::kIgnored;
    case Scope::kEnvelope:
      return key_ == Key::kUsage ? Scope::kUsage : Scope::kIgnored;
    case Scope::kUsage:
      return key_ == Key::kPromptTokensDetails ? Scope::kPromptDetails : Scope::kIgnored;
    case Scope::kChoices:
      return Scope::kChoice;
    case Scope::kChoice:
      return key_ == Key::kDelta || key_ == Key::kMessage ? Scope::kDelta : Scope::kIgnored;
    case Scope::kDelta:
      return key_ == Key::kToolCalls ? Scope::kToolCalls : Scope::kIgnored;
    case Scope::kOutput:
      return Scope::kItem;
    case Scope::kItem:
      return key_ == Key::kContent ? Scope::kBlocks : Scope::kIgnored;
    case Scope::kBlocks:
      return Scope::kBlock;
    default:
      return Scope::kIgnored;
  }
}

bool ResponseJson::at_token_text() const {
  switch (scope()) {
    case Scope::kTop:
      // The Responses API's events carry their piece of text, of whatever kind, right here.
      return key_ == Key::kDelta;
    case Scope::kChoice:
      return key_ == Key::kText;
    case Scope::kDelta:
      return key_ == Key::kContent || key_ == Key::kReasoning;
    case Scope::kBlock:
      return key_ == Key::kText || key_ == Key::kBlockText;
    default:
      return false;
  }
}

// Later ids are of the same answer.
bool ResponseJson::at_answer_id() const {
  if (key_ != Key::kId || style_ == EventStyle::kUntyped) return false;
  return scope() == (style_ == EventStyle::kTyped ? Scope::kEnvelope : Scope::kTop);
}

void ResponseJson::open(char bracket, ResponseFacts& facts) {
  const Scope child = child_scope();
  const Scope here = scope();
  if ((here == Scope::kTop || here == Scope::kEnvelope) && key_ == Key::kError) facts.error = true;
  if (here == Scope::kToolCalls) facts.first_token = true;
  // Anthropic's last event may leave out what its first one said.
  if (child == Scope::kUsage) {
    usage_ = style_ == EventStyle::kTyped ? facts.usage.value_or(Usage{}) : Usage{};
  }
  if (depth_ < std::numeric_limits<std::uint32_t>::max()) ++depth_;
  if (depth_ <= kTrackedDepth) scopes_[depth_ - 1] = child;
  expects_key_ = bracket == '{';
  key_ = Key::kOther;
}

void ResponseJson::close(ResponseFacts& facts) {
  if (depth_ == 0) return;
  if (scope() == Scope::kUsage) facts.usage = usage_;
  --depth_;
  expects_key_ = false;
  key_ = Key::kOther;
}

void ResponseJson::begin_string(ResponseFacts& facts) {
  const Scope here = scope();
  mode_ = Mode::kString;
  string_use_ = StringUse::kNone;
  head_size_ = 0;
  if (here == Scope::kIgnored) return;
  if (expects_key_) {
    string_use_ = StringUse::kKey;
  } else if (at_token_text()) {
    string_use_ = StringUse::kTokenText;
  } else if (facts.answer_id == 0 && at_answer_id()) {
    string_use_ = StringUse::kAnswerId;
    id_ = {};
  } else if (here == Scope::kTop) {
    if (key_ == Key::kError) facts.error = true;
    if (key_ == Key::kObject || key_ == Key::kType) string_use_ = StringUse::kTypeName;
  }
}

// Bytes inside the quotes; called with every byte of a string once, cut anywhere.
void ResponseJson::string_bytes(std::string_view bytes, ResponseFacts& facts) {
  if (bytes.empty() || string_use_ == StringUse::kNone) return;
  if (string_use_ == StringUse::kTokenText) {
    facts.first_token = true;
    return;
  }
  if (string_use_ == StringUse::kAnswerId) return id_.feed(bytes);
  // A string as long as the buffer may be longer, and is none of the names in either case.
  const std::size_t take = std::min(bytes.size(), head_.size() - head_size_);
  std::memcpy(head_.data() + head_size_, bytes.data(), take);
  head_size_ = static_cast<std::uint8_t>(head_size_ + take);
}

void ResponseJson::end_string(ResponseFacts& facts) {
  mode_ = Mode::kStructure;
  const std::string_view head(head_.data(), head_size_);
  if (string_use_ == StringUse::kKey) {
    key_ = find_key(head);
    const bool tells_so = style_ == EventStyle::kGenerated || style_ == EventStyle::kWhole;
    if (tells_so && head == "meta_info") key_ = Key::kUsage;
  } else if (string_use_ == StringUse::kTypeName) {
    note_type(head, facts);
  } else if (string_use_ == StringUse::kAnswerId) {
    facts.answer_id = id_.value();
  }
}

void ResponseJson::note_type(std::string_view name, ResponseFacts& facts) {
  if (key_ == Key::kType && style_ != EventStyle::kTyped) return;
  // The flat error body of older engines: {"object":"error","message":...}, and of the Responses
  // API: {"type":"error","code":...}.
  if (name == "error") facts.error = true;
  if (key_ == Key::kType && (name == "message_stop" || name == "response.completed" ||
                             name == "response.incomplete" || name == "response.failed")) {
    facts.done = true;
  }
}

void ResponseJson::begin_scalar(char c, ResponseFacts& facts) {
  mode_ = Mode::kScalar;
  scalar_is_number_ = is_digit(c);
  number_ = scalar_is_number_ ? static_cast<std::uint64_t>(c - '0') : 0;
  // null says that there was none; false and numbers are no error object either.
  if (c == 't' && scope() == Scope::kTop && key_ == Key::kError) facts.error = true;
}

void ResponseJson::end_scalar() {
  mode_ = Mode::kStructure;
  if (!scalar_is_number_) return;
  if (scope() == Scope::kUsage) {
    if (key_ == Key::kPromptTokens) usage_.prompt_tokens = number_;
    if (key_ == Key::kCompletionTokens) usage_.completion_tokens = number_;
    // In usage itself by SGLang alone.
    if (key_ == Key::kCacheReadTokens || key_ == Key::kCachedTokens) usage_.cached_tokens = number_;
  } else if (scope() == Scope::kPromptDetails && key_ == Key::kCachedTokens) {
    usage_.cached_tokens = number_;
  }
}

// Megabytes of numbers, in an answer of embeddings.
std::size_t ResponseJson::skip_ignored(std::string_view bytes) {
  std::size_t at = 0;
  while (at < bytes.size() && !kOpensOrCloses[static_cast<unsigned char>(bytes[at])]) ++at;
  return at;
}

void ResponseJson::structure(char c, ResponseFacts& facts) {
  switch (c) {
    case '{':
    case '[':
      return open(c, facts);
    case '}':
    case ']':
      return close(facts);
    case '"':
      return begin_string(facts);
    case ':':
      expects_key_ = false;
      return;
    case ',':
      // Arrays of interest hold containers only, so that their strings may pass for keys.
      expects_key_ = true;
      return;
    case ' ':
    case '\t':
    case '\r':
    case '\n':
      return;
    default:
      return begin_scalar(c, facts);
  }
}

void ResponseJson::feed(std::string_view bytes, ResponseFacts& facts) {
  std::size_t at = 0;
  while (at < bytes.size()) {
    const char c = bytes[at];
    switch (mode_) {
      case Mode::kStructure:
        if (depth_ > 0 && scope() == Scope::kIgnored) at += skip_ignored(bytes.substr(at));
        if (at == bytes.size()) break;
        structure(bytes[at], facts);
        ++at;
        break;
      case Mode::kString: {
        const char* const from = bytes.data() + at;
        const char* const end = bytes.data() + bytes.size();
        const char* const stop = find_quote_or_escape(from, end);
        string_bytes({from, static_cast<std::size_t>(stop - from)}, facts);
        at = static_cast<std::size_t>(stop - bytes.data());
        if (stop == end) break;
        ++at;
        if (*stop == '"') {
          end_string(facts);
        } else {
          string_bytes("\\", facts);
          mode_ = Mode::kStringEscape;
        }
        break;
      }
      case Mode::kStringEscape:
        string_bytes({&c, 1}, facts);
        mode_ = Mode::kString;
        ++at;
        break;
      case Mode::kScalar:
        if (is_digit(c) && scalar_is_number_ && number_ < (std::uint64_t{1} << 59)) {
          number_ = number_ * 10 + static_cast<std::uint64_t>(c - '0');
          ++at;
        } else if (c == ',' || c == '}' || c == ']' || c == ' ' || c == '\r' || c == '\n' ||
                   c == '\t' || c == '"' || c == '{' || c == '[' || c == ':') {
          end_scalar();
        } else {
          scalar_is_number_ = false;  // A fraction, an exponent or an absurd count.
          ++at;
        }
        break;
    }
  }
}

void SseScanner::restart(EventStyle style) {
  *this = SseScanner();
  json_ = ResponseJson(style);
}

// After the first token a whole event line can only matter if it names "usage" or "error", or, of a
// typed stream, if it is the last; keys are what the tracker would find, so skipping such a line
// gives the same facts.
bool SseScanner::skip_known_line(std::string_view line) {
  if (!facts_.first_token || json_.style() != EventStyle::kUntyped ||
      !line.starts_with(kDataField)) {
    return false;
  }
  std::string_view data = line.substr(kDataField.size());
  if (data.starts_with(' ')) data.remove_prefix(1);
  if (!data.starts_with('{')) return false;
  if (memmem(data.data(), data.size(), "\"usage\"", 7) != nullptr ||
      memmem(data.data(), data.size(), "\"error\"", 7) != nullptr) {
    return false;
  }
  ++facts_.data_events;
  return true;
}

void SseScanner::feed(std::string_view piece) {
  if (planted(Mutant::kSplitUsage)) {
    line_ = Line::kField;
    matched_ = 0;
  }
  while (!piece.empty()) {
    const auto* const newline =
        static_cast<const char*>(std::memchr(piece.data(), '\n', piece.size()));
    const std::size_t size =
        newline == nullptr ? piece.size() : static_cast<std::size_t>(newline - piece.data());
    const std::string_view bytes = piece.substr(0, size);
    const bool whole = newline != nullptr && line_ == Line::kField && matched_ == 0;
    if (!(whole && skip_known_line(bytes))) {
      line_bytes(bytes);
      if (newline != nullptr) end_line();
    }
    if (newline == nullptr) return;
    piece.remove_prefix(size + 1);
  }
}

void SseScanner::line_bytes(std::string_view bytes) {
  std::size_t at = 0;
  while (at < bytes.size()) {
    const char c = bytes[at];
    switch (line_) {
      case Line::kField:
        line_ = c == kDataField[matched_] ? Line::kField : Line::kOther;
        if (line_ == Line::kField && ++matched_ == kDataField.size()) line_ = Line::kSpace;
        ++at;
        break;
      case Line::kSpace:
        if (c == ' ') ++at;
        line_ = Line::kHead;
        break;
      case Line::kHead:
        matched_ = 0;
        line_ = c == '[' ? Line::kDone : Line::kOther;
        if (c == '{') {
          ++facts_.data_events;
          json_.restart();
          line_ = Line::kObject;
        }
        break;
      case Line::kObject:
        json_.feed(bytes.substr(at), facts_);
        return;
      case Line::kDone:
        if (matched_ < kDoneMark.size() && c == kDoneMark[matched_]) {
          ++matched_;
        } else if (c != '\r' || matched_ < kDoneMark.size()) {
          line_ = Line::kOther;
        }
        ++at;
        break;
      case Line::kOther:
        return;
    }
  }
}

void SseScanner::end_line() {
  if (line_ == Line::kDone && matched_ == kDoneMark.size()) facts_.done = true;
  line_ = Line::kField;
  matched_ = 0;
}

}  // namespace fairlead::codec
