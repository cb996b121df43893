// SPDX-License-Identifier: Apache-2.0
// JSON text: writing the small JSON documents the router itself sends: error bodies and the model
// list, shaped as OpenAI's API and vLLM shape them; and reading an engine's model list.
//
// Writers append to a caller's string, so that buffers are reused. Input strings are taken as
// UTF-8; bytes that are not are written as U+FFFD, so that the output is always valid.
// Errors: Result from the parser only. Threads: pure functions and a value.
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"

namespace fairlead::codec {

bool is_utf8(std::string_view text);

// Appends `text` in quotes, escaped.
void append_json_string(std::string& out, std::string_view text);

// Writes objects and arrays, compact, commas placed by itself. Calls must be balanced; at most 32
// levels (asserted).
class JsonWriter {
 public:
  explicit JsonWriter(std::string& out) : out_(out) {}

  JsonWriter& begin_object();
  JsonWriter& end_object();
  JsonWriter& begin_array();
  JsonWriter& end_array();
  JsonWriter& key(std::string_view name);
  JsonWriter& string(std::string_view value);
  JsonWriter& number(std::uint64_t value);
  JsonWriter& number(std::int64_t value);
  // Shortest form that reads back equal; null for NaN and infinities, which JSON lacks.
  JsonWriter& number(double value);
  // Appends `json`, which must be one complete value such as "true" or "null", as it is.
  JsonWriter& raw(std::string_view json);

 private:
  void before_value();

  std::string& out_;
  std::uint32_t has_items_ = 0;  // One bit a level.
  std::uint32_t depth_ = 0;
  bool after_key_ = false;
};

struct ErrorBody {
  std::string_view message;
  std::string_view type;   // "invalid_request_error", "NotFoundError", ...
  std::string_view param;  // Empty: null.
  std::string_view code;   // Empty: the HTTP status as a number, as vLLM writes it.
  int status = 500;
};

// {"error":{"message":...,"type":...,"param":...,"code":...}}
void append_error_body(std::string& out, const ErrorBody& error);

struct ModelCard {
  std::string id;
  std::string parent;               // The base model's id for a LoRA adapter, else empty.
  std::uint64_t max_model_len = 0;  // Tokens; 0: not said.
  std::uint64_t created = 0;        // Unix seconds; 0: not said.
  std::string owned_by;
  bool operator==(const ModelCard&) const = default;
};

// Reads the answer to GET /v1/models. Entries without a string id are an error, unknown fields are
// not. At most kMaxModels entries and 1 MiB.
inline constexpr std::size_t kMaxModels = 10'000;
[[nodiscard]] Result<std::vector<ModelCard>> parse_model_list(std::string_view body);

// One entry of the list below, as GET /v1/models/{id} answers.
void append_model_card(std::string& out, const ModelCard& model);
// {"object":"list","data":[...]} in the order given.
void append_model_list(std::string& out, std::span<const ModelCard> models);

}  // namespace fairlead::codec
