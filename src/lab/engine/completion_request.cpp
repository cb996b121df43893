// SPDX-License-Identifier: Apache-2.0
#include "lab/engine/completion_request.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <charconv>
#include <cmath>
#include <utility>

#include "lab/engine/prompt_builder.h"

namespace fairlead::engine {
namespace {

using codec::JsonCursor;
using codec::JsonFault;

constexpr std::size_t kTopDepth = 1;
constexpr std::size_t kMessageDepth = 3;
constexpr std::size_t kPartDepth = 5;
// Beside the content, what chat templates render of a message.
constexpr std::array<std::string_view, 6> kRendered{
    "tool_calls", "tool_call_id", "name", "reasoning_content", "reasoning", "function_call"};
constexpr double kLargestExact = 9007199254740992.0;  // 2^53: a double holds all integers up to it.

// One parse. Every reader returns false once error_ is set or the cursor has failed.
class Walk {
 public:
  Walk(Api api, std::string_view body, const codec::JsonIndex& index, PromptUse use,
       std::string& text, CompletionRequest& out)
      : api_(api), cursor_(body, index), text_(text), out_(out), builder_(use, out) {}

  tl::expected<void, ApiError> run() {
    if (document() && !cursor_.at_end()) cursor_.fail(JsonFault::kInvalid);
    if (error_) return tl::unexpected(std::move(*error_));
    if (cursor_.fault() != JsonFault::kNone) {
      return tl::unexpected(validation_error(
          "json_invalid", fmt::format("body.{}", cursor_.position()), "JSON decode error"));
    }
    if (!check()) return tl::unexpected(std::move(*error_));
    return {};
  }

 private:
  using Reader = bool (Walk::*)();
  struct Field {
    std::string_view name;
    Reader read;
  };
  static Reader find(Api api, std::string_view name);

  bool refuse(ApiError error) {
    if (!error_) error_ = std::move(error);
    return false;
  }
  bool wrong_type(std::string_view field, std::string_view kind, std::string_view wanted) {
    return refuse(validation_error(kind, fmt::format("body.{}", field),
                                   fmt::format("Input should be a valid {}", wanted)));
  }
  bool healthy() const { return !error_ && cursor_.fault() == JsonFault::kNone; }
  bool accept_null() {
    std::string_view token;
    return cursor_.peek() == 'n' && cursor_.read_scalar(token);
  }

  bool document();
  bool boolean(bool& out, std::string_view name);
  bool number(std::optional<double>& out, std::string_view name);
  bool integer(std::optional<std::int64_t>& out, std::string_view name);
  bool decoded(std::string_view& out, std::string_view name);

  bool model();
  bool cache_salt();
  bool stream() { return boolean(out_.stream, "stream"); }
  bool stream_options();
  bool ignore_eos() { return boolean(out_.ignore_eos, "ignore_eos"); }
  bool token_strs() { return boolean(out_.return_token_strs, "return_token_strs"); }
  bool generation_prompt() { return boolean(out_.add_generation_prompt, "add_generation_prompt"); }
  bool max_tokens() { return integer(max_tokens_, "max_tokens"); }
  bool max_completion_tokens() { return integer(max_completion_tokens_, "max_completion_tokens"); }
  bool n() { return integer(n_, "n"); }
  bool seed() { return integer(seed_, "seed"); }
  bool temperature() { return number(temperature_, "temperature"); }
  bool tools() { return accept_null() || cursor_.read_raw(tools_, kTopDepth); }
  bool messages();
  bool message();
  bool content();
  bool part();
  bool prompt();
  bool prompt_list();
  bool token_ids();
  bool check();
  bool check_prompts();
  void finish_chat();

  Api api_;
  JsonCursor cursor_;
  std::string& text_;
  CompletionRequest& out_;
  PromptBuilder builder_;
  std::optional<ApiError> error_;
  std::optional<std::int64_t> max_tokens_;
  std::optional<std::int64_t> max_completion_tokens_;
  std::optional<std::int64_t> n_;
  std::optional<std::int64_t> seed_;
  std::optional<double> temperature_;
  std::string_view tools_;
  bool stream_options_seen_ = false;
  bool chat_seen_ = false;
  std::size_t fields_ = 0;
};

Walk::Reader Walk::find(Api api, std::string_view name) {
  static constexpr std::array kShared{
      Field{"model", &Walk::model},
      Field{"stream", &Walk::stream},
      Field{"max_tokens", &Walk::max_tokens},
      Field{"stream_options", &Walk::stream_options},
      Field{"ignore_eos", &Walk::ignore_eos},
      Field{"n", &Walk::n},
      Field{"seed", &Walk::seed},
      Field{"temperature", &Walk::temperature},
      Field{"cache_salt", &Walk::cache_salt},
  };
  if (name == "messages" && api != Api::kCompletions) return &Walk::messages;
  if (name == "tools" && api != Api::kCompletions) return &Walk::tools;
  if (name == "prompt" && api != Api::kChat) return &Walk::prompt;
  if (name == "max_completion_tokens" && api == Api::kChat) return &Walk::max_completion_tokens;
  if (api == Api::kTokenize && name == "return_token_strs") return &Walk::token_strs;
  if (api == Api::kTokenize && name == "add_generation_prompt") return &Walk::generation_prompt;
  if (api == Api::kTokenize && name != "model") return nullptr;
  for (const Field& field : kShared) {
    if (field.name == name) return field.read;
  }
  return nullptr;
}

bool Walk::document() {
  if (!cursor_.accept('{')) {
    if (cursor_.at_end()) return cursor_.fail(JsonFault::kInvalid);
    return refuse(validation_error("model_attributes_type", "body",
                                   "Input should be a valid dictionary or object to extract "
                                   "fields from"));
  }
  cursor_.enter();
  std::string_view key;
  std::string_view ignored;
  while (healthy() && cursor_.next_key(key)) {
    ++fields_;
    const Reader read = find(api_, key);
    if (read == nullptr ? !cursor_.read_raw(ignored, kTopDepth) : !(this->*read)()) return false;
  }
  return healthy();
}

bool Walk::boolean(bool& out, std::string_view name) {
  const char c = cursor_.peek();
  if (c != 't' && c != 'f' && c != 'n') return wrong_type(name, "bool_type", "boolean");
  std::string_view token;
  if (!cursor_.read_scalar(token)) return false;
  if (token != "null") out = token == "true";
  return true;
}

bool Walk::number(std::optional<double>& out, std::string_view name) {
  const char c = cursor_.peek();
  if (c != 'n' && c != '-' && (c < '0' || c > '9')) {
    return wrong_type(name, "float_type", "number");
  }
  std::string_view token;
  if (!cursor_.read_scalar(token)) return false;
  if (token == "null") return true;
  double value = 0;
  const auto [end, error] = std::from_chars(token.data(), token.data() + token.size(), value);
  if (error != std::errc{}) return wrong_type(name, "finite_number", "finite number");
  out = value;
  return true;
}

// As pydantic does, 16.0 is taken for 16.
bool Walk::integer(std::optional<std::int64_t>& out, std::string_view name) {
  const char c = cursor_.peek();
  if (c != 'n' && c != '-' && (c < '0' || c > '9'))
    return wrong_type(name, "int_parsing", "integer");
  std::string_view token;
  if (!cursor_.read_scalar(token)) return false;
  if (token == "null") return true;
  const char* const end = token.data() + token.size();
  std::int64_t value = 0;
  if (const auto read = std::from_chars(token.data(), end, value);
      read.ec == std::errc{} && read.ptr == end) {
    out = value;
    return true;
  }
  double wide = 0;
  if (std::from_chars(token.data(), end, wide).ec != std::errc{} || wide != std::floor(wide) ||
      std::abs(wide) > kLargestExact) {
    return wrong_type(name, "int_from_float", "integer");
  }
  out = static_cast<std::int64_t>(wide);
  return true;
}

// The view lives until the next call.
bool Walk::decoded(std::string_view& out, std::string_view name) {
  if (cursor_.peek() != '"') return wrong_type(name, "string_type", "string");
  if (!cursor_.read_string(out)) return false;
  if (out.find('\\') == std::string_view::npos) return true;
  if (!codec::decode_json_string(out, text_)) return cursor_.fail(JsonFault::kInvalid);
  out = text_;
  return true;
}

bool Walk::model() {
  std::string_view value;
  if (accept_null()) return true;
  if (!decoded(value, "model")) return false;
  out_.model = value;
  return true;
}

bool Walk::cache_salt() {
  std::string_view value;
  if (accept_null()) return true;
  if (!decoded(value, "cache_salt")) return false;
  out_.cache_salt = value;
  return true;
}

bool Walk::stream_options() {
  if (accept_null()) return true;
  if (!cursor_.accept('{')) return wrong_type("stream_options", "model_type", "dictionary");
  stream_options_seen_ = true;
  cursor_.enter();
  std::string_view key;
  std::string_view ignored;
  while (healthy() && cursor_.next_key(key)) {
    bool read = false;
    if (key == "include_usage") {
      read = boolean(out_.include_usage, "stream_options.include_usage");
    } else if (key == "continuous_usage_stats") {
      read = boolean(out_.continuous_usage, "stream_options.continuous_usage_stats");
    } else {
      read = cursor_.read_raw(ignored, kTopDepth + 1);
    }
    if (!read) return false;
  }
  return healthy();
}

bool Walk::messages() {
  if (!cursor_.accept('[')) return wrong_type("messages", "list_type", "list");
  chat_seen_ = true;
  builder_.forget_all();
  builder_.begin_prompt();
  cursor_.enter();
  while (healthy() && cursor_.next_element()) {
    if (!message()) return false;
  }
  return healthy();
}

bool Walk::message() {
  if (!cursor_.accept('{')) return wrong_type("messages", "dict_type", "dictionary");
  const std::size_t mark = builder_.mark();
  builder_.add_id(0);  // The role's token, when the role is known.
  cursor_.enter();
  std::string_view key;
  std::string_view value;
  bool role_seen = false;
  while (healthy() && cursor_.next_key(key)) {
    if (key == "role") {
      if (!decoded(value, "messages.role")) return false;
      builder_.name_role(mark, value);
      role_seen = true;
    } else if (key == "content") {
      if (!content()) return false;
    } else if (std::ranges::find(kRendered, key) != kRendered.end()) {
      if (accept_null()) continue;
      const bool is_text = cursor_.peek() == '"';
      if (!(is_text ? decoded(value, key) : cursor_.read_raw(value, kMessageDepth))) return false;
      builder_.add_text(value);
    } else if (!cursor_.read_raw(value, kMessageDepth)) {
      return false;
    }
  }
  if (healthy() && !role_seen) {
    return refuse(validation_error("missing", "body.messages.role", "Field required"));
  }
  builder_.add_end();
  return healthy();
}

bool Walk::content() {
  if (accept_null()) return true;
  if (cursor_.peek() == '"') {
    std::string_view value;
    if (!decoded(value, "messages.content")) return false;
    builder_.add_text(value);
    return true;
  }
  if (!cursor_.accept('[')) return wrong_type("messages.content", "string_type", "string");
  cursor_.enter();
  while (healthy() && cursor_.next_element()) {
    if (!part()) return false;
  }
  return healthy();
}

bool Walk::part() {
  if (!cursor_.accept('{')) return wrong_type("messages.content", "dict_type", "dictionary");
  cursor_.enter();
  std::string_view key;
  std::string_view value;
  bool text_seen = false;
  while (healthy() && cursor_.next_key(key)) {
    if (key == "text") {
      if (!decoded(value, "messages.content.text")) return false;
      builder_.add_text(value);
      text_seen = true;
    } else if (!cursor_.read_raw(value, kPartDepth)) {
      return false;
    }
  }
  if (healthy() && !text_seen) {
    return refuse({.message = "This model takes text only: a content part without text was sent.",
                   .param = "messages"});
  }
  return healthy();
}

bool Walk::prompt() {
  if (accept_null()) return true;
  chat_seen_ = false;
  builder_.forget_all();
  if (cursor_.peek() == '"') {
    std::string_view value;
    if (!decoded(value, "prompt")) return false;
    builder_.begin_prompt();
    builder_.add_text(value);
    return true;
  }
  if (!cursor_.accept('[')) return wrong_type("prompt", "string_type", "string");
  cursor_.enter();
  const char c = cursor_.peek();
  return c == '"' || c == '[' ? prompt_list() : token_ids();
}

// Behind the bracket, before the first of several prompts.
bool Walk::prompt_list() {
  while (healthy() && cursor_.next_element()) {
    builder_.begin_prompt();
    if (static_cast<std::int64_t>(out_.prompts.size()) > kChoicesMax) {
      return refuse({.message = fmt::format("prompt: at most {} prompts are accepted", kChoicesMax),
                     .param = "prompt"});
    }
    if (cursor_.accept('[')) {
      cursor_.enter();
      // token_ids() begins a prompt of its own.
      out_.prompts.pop_back();
      if (!token_ids()) return false;
      continue;
    }
    std::string_view value;
    if (!decoded(value, "prompt")) return false;
    builder_.add_text(value);
  }
  return healthy();
}

// Behind the bracket, before the first id.
bool Walk::token_ids() {
  builder_.begin_prompt();
  while (healthy() && cursor_.next_element()) {
    std::string_view digits;
    std::uint32_t id = 0;
    if (!cursor_.accept_natural(digits)) return wrong_type("prompt", "int_type", "integer");
    const auto result = std::from_chars(digits.data(), digits.data() + digits.size(), id);
    if (result.ec != std::errc{}) {
      return refuse(parameter_error("Token id is out of vocabulary.", "prompt", digits));
    }
    builder_.add_id(id);
  }
  return healthy();
}

void Walk::finish_chat() {
  if (!tools_.empty()) {
    const std::size_t mark = builder_.mark();
    builder_.add_role("tools");
    builder_.add_text(tools_);
    builder_.add_end();
    builder_.move_to_front(mark);
  }
  if (api_ != Api::kTokenize || out_.add_generation_prompt) builder_.add_role("assistant");
}

bool Walk::check_prompts() {
  if (out_.prompts.empty()) {
    const std::string_view missing = api_ == Api::kChat ? "body.messages" : "body.prompt";
    return refuse(validation_error("missing", missing, "Field required"));
  }
  if (chat_seen_) finish_chat();
  for (const CompletionRequest::Prompt& prompt : out_.prompts) {
    if (prompt.count == 0 && api_ != Api::kTokenize) {
      return refuse({.message = "The decoder prompt cannot be empty", .param = "prompt"});
    }
  }
  return true;
}

bool Walk::check() {
  if (!check_prompts()) return false;
  if (stream_options_seen_ && !out_.stream) {
    return refuse({.message = "Stream options can only be defined when `stream=True`.",
                   .param = "stream_options"});
  }
  if (temperature_ && *temperature_ < 0) {
    const std::string value = fmt::format("{}", *temperature_);
    return refuse(parameter_error(fmt::format("temperature must be non-negative, got {}.", value),
                                  "temperature", value));
  }
  out_.max_tokens = max_completion_tokens_ ? max_completion_tokens_ : max_tokens_;
  if (out_.max_tokens && *out_.max_tokens < 1) {
    const std::string value = fmt::format("{}", *out_.max_tokens);
    return refuse(parameter_error(fmt::format("max_tokens must be at least 1, got {}.", value),
                                  "max_tokens", value));
  }
  out_.n = n_.value_or(1);
  const auto prompts = static_cast<std::int64_t>(out_.prompts.size());
  if (out_.n < 1 || out_.n > kChoicesMax / prompts) {
    const std::string value = fmt::format("{}", out_.n);
    return refuse(parameter_error(
        fmt::format("n times the number of prompts must be in 1..{}, got {} times {}.", kChoicesMax,
                    value, prompts),
        "n", value));
  }
  out_.seed = seed_.value_or(0);
  return true;
}

}  // namespace

void CompletionRequest::clear() {
  model.clear();
  cache_salt.clear();
  tokens.clear();
  prompts.clear();
  n = 1;
  previous_response.clear();
  store = true;
  max_tokens.reset();
  seed = 0;
  ignore_eos = stream = include_usage = continuous_usage = return_token_strs = false;
  add_generation_prompt = true;
  pooling = {};
}

tl::expected<void, ApiError> CompletionRequestParser::parse(Api api, std::string_view body,
                                                            PromptUse use, CompletionRequest& out) {
  out.clear();
  out.api = api;
  switch (index_.build(body)) {
    case JsonFault::kNone:
      return Walk(api, body, index_, use, text_, out).run();
    case JsonFault::kEmpty:
      return tl::unexpected(validation_error("missing", "body", "Field required"));
    case JsonFault::kTooLarge:
      return tl::unexpected(
          ApiError{.status = 413, .message = "The request body is too large.", .param = {}});
    default:
      return tl::unexpected(validation_error("json_invalid", "body", "JSON decode error"));
  }
}

}  // namespace fairlead::engine
