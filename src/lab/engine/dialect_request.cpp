// SPDX-License-Identifier: Apache-2.0
#include "lab/engine/dialect_request.h"

#include <fmt/format.h>
#include <xxhash.h>

#include <nlohmann/json.hpp>
#include <optional>
#include <utility>

#include "core/codec/multipart_scanner.h"
#include "lab/engine/prompt_builder.h"

namespace fairlead::engine {
namespace {

using Json = nlohmann::json;
using Parsed = tl::expected<void, ApiError>;

Parsed missing(std::string_view field) {
  return tl::unexpected(
      validation_error("missing", fmt::format("body.{}", field), "Field required"));
}

Parsed wrong_type(std::string_view field, std::string_view wanted) {
  return tl::unexpected(validation_error(fmt::format("{}_type", wanted),
                                         fmt::format("body.{}", field),
                                         fmt::format("Input should be a valid {}", wanted)));
}

// A field that is neither absent nor null.
const Json* find(const Json& object, const char* name) {
  const auto found = object.find(name);
  return found == object.end() || found->is_null() ? nullptr : &*found;
}

std::string text_or(const Json& object, const char* name, std::string_view otherwise = {}) {
  const Json* const found = find(object, name);
  return found != nullptr && found->is_string() ? found->get<std::string>()
                                                : std::string(otherwise);
}

class Reader {
 public:
  Reader(Api api, PromptUse use, CompletionRequest& out)
      : api_(api), out_(out), builder_(use, out) {}

  Parsed read(const Json& body) {
    if (!body.is_object()) return wrong_type("", "dictionary");
    out_.model = text_or(body, "model");
    out_.cache_salt = text_or(body, "cache_salt");
    if (const Json* const stream = find(body, "stream")) {
      if (!stream->is_boolean()) return wrong_type("stream", "boolean");
      out_.stream = stream->get<bool>();
    }
    switch (api_) {
      case Api::kMessages:
      case Api::kCountTokens:
        return messages(body);
      case Api::kResponses:
        return responses(body);
      case Api::kEmbeddings:
        return embeddings(body);
      default:
        return rerank(body);
    }
  }

 private:
  Parsed limit(const Json& body, const char* name) {
    const Json* const found = find(body, name);
    if (found == nullptr) return {};
    if (!found->is_number_integer()) return wrong_type(name, "integer");
    out_.max_tokens = found->get<std::int64_t>();
    if (*out_.max_tokens >= 1) return {};
    const std::string value = fmt::format("{}", *out_.max_tokens);
    return tl::unexpected(parameter_error(
        fmt::format("max_tokens must be at least 1, got {}.", value), "max_tokens", value));
  }

  void tools(const Json& body) {
    const Json* const found = find(body, "tools");
    if (found == nullptr || found->empty()) return;
    builder_.add_role("tools");
    builder_.add_text(found->dump());
    builder_.add_end();
  }

  // A string, or blocks with texts in them.
  Parsed content(const Json& value, std::string_view where) {
    if (value.is_string()) {
      builder_.add_text(value.get_ref<const std::string&>());
      return {};
    }
    if (!value.is_array()) return wrong_type(where, "string");
    for (const Json& block : value) {
      if (!block.is_object()) return wrong_type(where, "dictionary");
      if (auto read = part(block, where); !read) return read;
    }
    return {};
  }

  Parsed part(const Json& block, std::string_view where) {
    const std::string type = text_or(block, "type");
    for (const char* name : {"text", "thinking", "name"}) {
      if (const std::string text = text_or(block, name); !text.empty()) builder_.add_text(text);
    }
    if (const Json* const input = find(block, "input")) builder_.add_text(input->dump());
    if (const Json* const nested = find(block, "content")) return content(*nested, where);
    if (type == "image" || type == "document" || type == "input_image" || type == "input_file") {
      return tl::unexpected(
          ApiError{.message = "This model takes text only: a content part without text was sent.",
                   .param = "messages"});
    }
    return {};
  }

  Parsed message(const Json& message, std::string_view where) {
    if (!message.is_object()) return wrong_type(where, "dictionary");
    const std::string role = text_or(message, "role");
    if (role.empty()) return missing(fmt::format("{}.role", where));
    builder_.add_role(role);
    if (const Json* const value = find(message, "content")) {
      if (auto read = content(*value, where); !read) return read;
    }
    builder_.add_end();
    return {};
  }

  Parsed messages(const Json& body) {
    const Json* const list = find(body, "messages");
    if (list == nullptr) return missing("messages");
    if (!list->is_array()) return wrong_type("messages", "list");
    if (find(body, "max_tokens") == nullptr && api_ == Api::kMessages) return missing("max_tokens");
    // The first event tells how many tokens the prompt has.
    out_.continuous_usage = true;
    builder_.begin_prompt();
    tools(body);
    if (const Json* const system = find(body, "system")) {
      builder_.add_role("system");
      if (auto read = content(*system, "system"); !read) return read;
      builder_.add_end();
    }
    for (const Json& one : *list) {
      if (auto read = message(one, "messages"); !read) return read;
    }
    builder_.add_role("assistant");
    return limit(body, "max_tokens");
  }

  // Of the Responses API: a message, a call, or its output.
  Parsed item(const Json& item) {
    if (!item.is_object()) return wrong_type("input", "dictionary");
    const std::string type = text_or(item, "type", "message");
    if (type == "message") return message(item, "input");
    builder_.add_role(type == "function_call_output" ? "tool" : "assistant");
    for (const char* name : {"name", "arguments"}) {
      if (const std::string text = text_or(item, name); !text.empty()) builder_.add_text(text);
    }
    for (const char* name : {"output", "content", "summary"}) {
      const Json* const value = find(item, name);
      if (value == nullptr) continue;
      if (auto read = content(*value, "input"); !read) return read;
    }
    builder_.add_end();
    return {};
  }

  Parsed responses(const Json& body) {
    const Json* const input = find(body, "input");
    if (input == nullptr) return missing("input");
    out_.previous_response = text_or(body, "previous_response_id");
    if (const Json* const store = find(body, "store")) {
      if (!store->is_boolean()) return wrong_type("store", "boolean");
      out_.store = store->get<bool>();
    }
    builder_.begin_prompt();
    tools(body);
    if (const std::string text = text_or(body, "instructions"); !text.empty()) {
      builder_.add_role("system");
      builder_.add_text(text);
      builder_.add_end();
    }
    if (input->is_string()) {
      builder_.add_role("user");
      builder_.add_text(input->get_ref<const std::string&>());
      builder_.add_end();
    } else if (input->is_array()) {
      for (const Json& one : *input) {
        if (auto read = item(one); !read) return read;
      }
    } else {
      return wrong_type("input", "string");
    }
    builder_.add_role("assistant");
    return limit(body, "max_output_tokens");
  }

  Parsed text_prompt(const Json& value, std::string_view where) {
    if (!value.is_string()) return wrong_type(where, "string");
    if (value.get_ref<const std::string&>().empty()) {
      return tl::unexpected(
          ApiError{.message = "The prompt cannot be empty", .param = std::string(where)});
    }
    builder_.begin_prompt();
    builder_.add_text(value.get_ref<const std::string&>());
    return {};
  }

  Parsed token_prompt(const Json& ids) {
    if (ids.empty())
      return tl::unexpected(ApiError{.message = "The prompt cannot be empty", .param = "input"});
    builder_.begin_prompt();
    for (const Json& id : ids) {
      if (!id.is_number_unsigned() || id.get<std::uint64_t>() > 0xFFFFFFFFU) {
        return wrong_type("input", "integer");
      }
      builder_.add_id(id.get<std::uint32_t>());
    }
    return {};
  }

  Parsed embeddings(const Json& body) {
    const Json* const input = find(body, "input");
    if (input == nullptr) return missing("input");
    const std::string format = text_or(body, "encoding_format", "float");
    if (format != "float" && format != "base64") return wrong_type("encoding_format", "literal");
    out_.pooling.format = format == "base64" ? VectorFormat::kBase64 : VectorFormat::kFloats;
    if (const Json* const size = find(body, "dimensions")) {
      if (!size->is_number_integer() || size->get<std::int64_t>() < 1 ||
          size->get<std::int64_t>() > kDimensionsMax) {
        return wrong_type("dimensions", "integer");
      }
      out_.pooling.dimensions = size->get<std::uint32_t>();
    }
    out_.stream = false;
    out_.max_tokens = 1;
    if (input->is_string()) return text_prompt(*input, "input");
    if (!input->is_array()) return wrong_type("input", "string");
    if (input->empty() || input->front().is_number()) return token_prompt(*input);
    if (input->size() > kChoicesMax) return too_many("input");
    for (const Json& one : *input) {
      if (auto read = one.is_array() ? token_prompt(one) : text_prompt(one, "input"); !read) {
        return read;
      }
    }
    return {};
  }

  static Parsed too_many(std::string_view field) {
    return tl::unexpected(
        ApiError{.message = fmt::format("{}: at most {} prompts are accepted", field, kChoicesMax),
                 .param = std::string(field)});
  }

  Parsed rerank(const Json& body) {
    const Json* const query = find(body, "query");
    const Json* const documents = find(body, "documents");
    if (query == nullptr) return missing("query");
    if (documents == nullptr) return missing("documents");
    if (!query->is_string()) return wrong_type("query", "string");
    if (!documents->is_array() || documents->empty()) return wrong_type("documents", "list");
    if (documents->size() > kChoicesMax) return too_many("documents");
    out_.stream = false;
    out_.max_tokens = 1;
    if (const Json* const top = find(body, "top_n")) {
      if (!top->is_number_unsigned()) return wrong_type("top_n", "integer");
      out_.pooling.top_n = top->get<std::size_t>();
    }
    for (const Json& document : *documents) {
      const std::string text = document.is_string()   ? document.get<std::string>()
                               : document.is_object() ? text_or(document, "text")
                                                      : std::string();
      if (text.empty()) return wrong_type("documents", "string");
      builder_.begin_prompt();
      builder_.add_text(query->get_ref<const std::string&>());
      builder_.add_end();
      builder_.add_text(text);
      out_.pooling.documents.push_back(text);
    }
    return {};
  }

  Api api_;
  CompletionRequest& out_;
  PromptBuilder builder_;
};

Parsed parse_form(std::string_view content_type, std::string_view body, PromptUse use,
                  CompletionRequest& out) {
  codec::ScannedRequest scanned;
  if (const auto status = codec::scan_form(content_type, body, scanned); !status.ok()) {
    return tl::unexpected(validation_error("missing", "body", status.message()));
  }
  out.model = scanned.model;
  out.stream = scanned.stream;
  codec::MultipartReader reader(content_type, body);
  codec::FormPart part;
  std::optional<std::string_view> file;
  while (reader.next(part)) {
    if (part.name == "file") file = part.content;
  }
  if (!file) return missing("file");
  if (file->empty()) {
    return tl::unexpected(ApiError{.message = "Invalid or unsupported audio file.", .param = {}});
  }
  PromptBuilder builder(use, out);
  builder.begin_prompt();
  for (std::size_t at = 0; at < file->size(); at += kAudioBytesPerToken) {
    const std::string_view piece = file->substr(at, kAudioBytesPerToken);
    builder.add_id(XXH32(piece.data(), piece.size(), 0));
  }
  return {};
}

}  // namespace

tl::expected<void, ApiError> parse_dialect(Api api, std::string_view content_type,
                                           std::string_view body, PromptUse use,
                                           CompletionRequest& out) {
  out.clear();
  out.api = api;
  if (api == Api::kTranscription) return parse_form(content_type, body, use, out);
  const Json json = Json::parse(body, nullptr, false);
  if (json.is_discarded()) {
    return tl::unexpected(validation_error("json_invalid", "body", "JSON decode error"));
  }
  return Reader(api, use, out).read(json);
}

}  // namespace fairlead::engine
