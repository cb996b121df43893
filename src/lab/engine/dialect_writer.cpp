// SPDX-License-Identifier: Apache-2.0
#include "lab/engine/dialect_writer.h"

#include <fmt/format.h>

#include <algorithm>
#include <bit>
#include <cmath>
#include <iterator>
#include <vector>

#include "base/random.h"
#include "core/codec/json_text.h"
#include "lab/engine/output_text.h"

namespace fairlead::engine {
namespace {

// Of speech, by the rule of dialect_request.h: 32,000 bytes a second.
constexpr std::int64_t kAudioTokensPerSecond = 50;

template <class... Args>
void append(std::string& out, fmt::format_string<Args...> format, Args&&... args) {
  fmt::format_to(std::back_inserter(out), format, std::forward<Args>(args)...);
}

std::string quoted(std::string_view text) {
  std::string out;
  codec::append_json_string(out, text);
  return out;
}

std::string text_of(const AnswerPart& part) {
  std::string out;
  append_output_text(out, part.seed, part.begin, part.count);
  return out;
}

// Event `name` with these fields before its type.
void append_event(std::string& out, std::string_view name, std::string_view fields) {
  append(out, "event: {}\ndata: {{{}\"type\":\"{}\"}}\n\n", name, fields, name);
}

double unit_value(std::uint64_t bits) {
  return static_cast<double>(bits >> 11) * 0x1p-53;  // In [0, 1).
}

}  // namespace

namespace messages {
namespace {

std::string_view stop_reason(FinishReason reason) {
  return reason == FinishReason::kStop ? "end_turn" : "max_tokens";
}

void append_usage(std::string& out, const UsageFigures& usage) {
  append(out,
         R"("usage":{{"input_tokens":{},"output_tokens":{},"cache_creation_input_tokens":{},)"
         R"("cache_read_input_tokens":{}}})",
         usage.prompt_tokens, usage.completion_tokens, usage.created_tokens, usage.cached_tokens);
}

void append_typed(std::string& out, std::string_view name, std::string_view fields) {
  append(out, "event: {}\ndata: {{\"type\":\"{}\"{}}}\n\n", name, name, fields);
}

}  // namespace

void open(std::string& out, const AnswerIdentity& identity, const UsageFigures& usage) {
  append_typed(
      out, "message_start",
      fmt::format(
          R"(,"message":{{"id":{},"type":"message","role":"assistant","content":[],"model":{},)"
          R"("stop_reason":null,"stop_sequence":null,"usage":{{"input_tokens":{},)"
          R"("output_tokens":0}}}})",
          quoted(identity.id), quoted(identity.model), usage.prompt_tokens));
  append_typed(out, "content_block_start",
               R"(,"content_block":{"type":"text","text":""},"index":0)");
}

void part(std::string& out, const AnswerPart& part) {
  append_typed(
      out, "content_block_delta",
      fmt::format(R"(,"delta":{{"type":"text_delta","text":"{}"}},"index":0)", text_of(part)));
}

void close(std::string& out, const AnswerPart& whole, const UsageFigures& usage) {
  append_typed(out, "content_block_stop", R"(,"index":0)");
  std::string fields = fmt::format(R"(,"delta":{{"stop_reason":"{}","stop_sequence":null}},)",
                                   stop_reason(whole.finish));
  append_usage(fields, usage);
  append_typed(out, "message_delta", fields);
  append_typed(out, "message_stop", "");
}

void whole(std::string& out, const AnswerIdentity& identity, const AnswerPart& whole,
           const UsageFigures& usage) {
  append(out,
         R"({{"id":{},"type":"message","role":"assistant","content":[{{"type":"text",)"
         R"("text":"{}"}}],"model":{},"stop_reason":"{}",)",
         quoted(identity.id), text_of(whole), quoted(identity.model), stop_reason(whole.finish));
  append_usage(out, usage);
  out += '}';
}

}  // namespace messages

namespace responses {
namespace {

// Events before the first piece of text.
constexpr std::uint32_t kOpening = 4;

std::string content_of(const AnswerPart& whole) {
  return fmt::format(R"({{"annotations":[],"text":"{}","type":"output_text","logprobs":null}})",
                     text_of(whole));
}

std::string item_of(const AnswerIdentity& identity, std::string_view content,
                    std::string_view status) {
  return fmt::format(
      R"({{"id":{},"content":[{}],"role":"assistant","status":"{}","type":"message",)"
      R"("phase":null}})",
      quoted("msg_" + identity.id), content, status);
}

std::string usage_of(const UsageFigures& usage) {
  return fmt::format(
      R"({{"input_tokens":{},"input_tokens_details":{{"cached_tokens":{},"cache_write_tokens":{},)"
      R"("input_tokens_per_turn":[],"cached_tokens_per_turn":[]}},"output_tokens":{},)"
      R"("output_tokens_details":{{"reasoning_tokens":0,"tool_output_tokens":0,)"
      R"("output_tokens_per_turn":[],"tool_output_tokens_per_turn":[]}},"total_tokens":{}}})",
      usage.prompt_tokens, usage.cached_tokens, usage.created_tokens, usage.completion_tokens,
      usage.prompt_tokens + usage.completion_tokens);
}

struct ResponseState {
  std::string_view status;
  std::string output;
  std::string usage = "null";
  FinishReason finish = FinishReason::kNone;
};

void append_response(std::string& out, const AnswerIdentity& identity, const ResponseState& state) {
  const bool cut = state.finish == FinishReason::kLength;
  append(out,
         R"({{"id":{},"created_at":{},"incomplete_details":{},"instructions":null,)"
         R"("metadata":null,"model":{},"object":"response","output":[{}],)"
         R"("parallel_tool_calls":true,"temperature":1.0,"tool_choice":"auto","tools":[],)"
         R"("top_p":1.0,"background":false,"max_output_tokens":null,"max_tool_calls":null,)"
         R"("previous_response_id":{},"prompt":null,"reasoning":null,"service_tier":"auto",)"
         R"("status":"{}","text":null,"top_logprobs":null,"truncation":"disabled","usage":{},)"
         R"("user":null,"presence_penalty":0.0,"frequency_penalty":0.0,)"
         R"("kv_transfer_params":null,"ec_transfer_params":null,"input_messages":null,)"
         R"("output_messages":null}})",
         quoted("resp_" + identity.id), identity.created,
         cut ? R"({"reason":"max_output_tokens"})" : "null", quoted(identity.model), state.output,
         identity.previous.empty() ? "null" : quoted(identity.previous), state.status, state.usage);
}

ResponseState finished(const AnswerIdentity& identity, const AnswerPart& whole,
                       const UsageFigures& usage) {
  return {.status = whole.finish == FinishReason::kLength ? "incomplete" : "completed",
          .output = item_of(identity, content_of(whole), "completed"),
          .usage = usage_of(usage),
          .finish = whole.finish};
}

void append_response_event(std::string& out, std::string_view name, const AnswerIdentity& identity,
                           const ResponseState& state, std::uint32_t number) {
  std::string fields = "\"response\":";
  append_response(fields, identity, state);
  append(fields, R"(,"sequence_number":{},)", number);
  append_event(out, name, fields);
}

std::string position(const AnswerIdentity& identity) {
  return fmt::format(R"("content_index":0,"item_id":{},"output_index":0,)",
                     quoted("msg_" + identity.id));
}

}  // namespace

void open(std::string& out, const AnswerIdentity& identity) {
  const ResponseState state{.status = "in_progress", .output = {}};
  append_response_event(out, "response.created", identity, state, 0);
  append_response_event(out, "response.in_progress", identity, state, 1);
  append_event(out, "response.output_item.added",
               fmt::format(R"("item":{},"output_index":0,"sequence_number":2,)",
                           item_of(identity, {}, "in_progress")));
  append_event(out, "response.content_part.added",
               position(identity) +
                   R"("part":{"annotations":[],"text":"","type":"output_text","logprobs":[]},)"
                   R"("sequence_number":3,)");
}

void part(std::string& out, const AnswerIdentity& identity, const AnswerPart& part) {
  append_event(out, "response.output_text.delta",
               fmt::format(R"({}"delta":"{}","logprobs":[],"sequence_number":{},)",
                           position(identity), text_of(part), kOpening + part.begin));
}

// Numbers leave gaps where an event carried several tokens.
void close(std::string& out, const AnswerIdentity& identity, const AnswerPart& whole,
           const UsageFigures& usage) {
  std::uint32_t number = kOpening + whole.count;
  append_event(out, "response.output_text.done",
               fmt::format(R"({}"logprobs":[],"sequence_number":{},"text":"{}",)",
                           position(identity), number++, text_of(whole)));
  append_event(out, "response.content_part.done",
               fmt::format(R"({}"part":{},"sequence_number":{},)", position(identity),
                           content_of(whole), number++));
  append_event(out, "response.output_item.done",
               fmt::format(R"("item":{},"output_index":0,"sequence_number":{},)",
                           item_of(identity, content_of(whole), "completed"), number++));
  append_response_event(out, "response.completed", identity, finished(identity, whole, usage),
                        number);
}

void whole(std::string& out, const AnswerIdentity& identity, const AnswerPart& whole,
           const UsageFigures& usage) {
  append_response(out, identity, finished(identity, whole, usage));
}

}  // namespace responses

namespace transcription {

void part(std::string& out, const AnswerIdentity& identity, const AnswerPart& part) {
  append(out,
         R"(data: {{"id":{},"object":"transcription.chunk","created":{},"model":{},)"
         R"("choices":[{{"delta":{{"content":"{}"}},"finish_reason":{},"stop_reason":null}}]}})"
         "\n\n",
         quoted(identity.id), identity.created, quoted(identity.model), text_of(part),
         part.finish == FinishReason::kNone ? "null" : quoted(to_string(part.finish)));
}

void whole(std::string& out, const AnswerPart& whole, const UsageFigures& usage) {
  const std::int64_t seconds =
      (usage.prompt_tokens + kAudioTokensPerSecond - 1) / kAudioTokensPerSecond;
  append(out, R"({{"text":"{}","usage":{{"type":"duration","seconds":{}}}}})", text_of(whole),
         seconds);
}

}  // namespace transcription

namespace embeddings {
namespace {

std::vector<float> vector_of(std::uint64_t seed, std::uint32_t dimensions) {
  std::vector<float> out;
  double squares = 0;
  for (std::uint32_t i = 0; i < dimensions; ++i) {
    const double value = 2 * unit_value(mix64(seed + i)) - 1;
    squares += value * value;
    out.push_back(static_cast<float>(value));
  }
  const auto length = static_cast<float>(std::sqrt(squares));
  for (float& value : out) value /= length;
  return out;
}

// Little-endian floats in base64 (RFC 4648 §4).
void append_base64(std::string& out, std::span<const float> values) {
  constexpr std::string_view kAlphabet =
      "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
  std::uint32_t held = 0;
  int bits = 0;
  std::size_t digits = 0;
  const auto put = [&](std::uint32_t digit) {
    out += kAlphabet[digit & 63];
    ++digits;
  };
  for (const float value : values) {
    const auto word = std::bit_cast<std::uint32_t>(value);
    for (unsigned shift = 0; shift < 32; shift += 8) {
      held = held << 8 | (word >> shift & 255);
      for (bits += 8; bits >= 6; bits -= 6) put(held >> (bits - 6));
    }
  }
  if (bits > 0) put(held << (6 - bits));
  while (digits++ % 4 != 0) out += '=';
}

}  // namespace

void whole(std::string& out, const AnswerIdentity& identity, const PoolingRequest& request,
           std::span<const std::uint64_t> seeds, const UsageFigures& usage) {
  append(out, R"({{"id":{},"object":"list","created":{},"model":{},"data":[)", quoted(identity.id),
         identity.created, quoted(identity.model));
  for (std::size_t i = 0; i < seeds.size(); ++i) {
    const std::vector<float> values = vector_of(seeds[i], request.dimensions);
    append(out, R"({}{{"index":{},"object":"embedding","embedding":)", i == 0 ? "" : ",", i);
    if (request.format == VectorFormat::kBase64) {
      out += '"';
      append_base64(out, values);
      out += "\"}";
    } else {
      append(out, "[{}]}}", fmt::join(values, ","));
    }
  }
  append(out,
         R"(],"usage":{{"prompt_tokens":{},"total_tokens":{},"completion_tokens":0,)"
         R"("prompt_tokens_details":null}}}})",
         usage.prompt_tokens, usage.prompt_tokens);
}

}  // namespace embeddings

namespace rerank {

void whole(std::string& out, const AnswerIdentity& identity, const PoolingRequest& request,
           std::span<const std::uint64_t> seeds, const UsageFigures& usage) {
  struct Row {
    double score;
    std::size_t index;
  };
  std::vector<Row> rows;
  for (std::size_t i = 0; i < seeds.size(); ++i) rows.push_back({unit_value(mix64(seeds[i])), i});
  std::ranges::sort(rows, [](const Row& a, const Row& b) {
    return a.score != b.score ? a.score > b.score : a.index < b.index;
  });
  if (request.top_n > 0 && request.top_n < rows.size()) rows.resize(request.top_n);
  append(out,
         R"({{"id":{},"model":{},"usage":{{"prompt_tokens":{},"total_tokens":{}}},"results":[)",
         quoted(identity.id), quoted(identity.model), usage.prompt_tokens, usage.prompt_tokens);
  for (std::size_t i = 0; i < rows.size(); ++i) {
    append(
        out, R"({}{{"index":{},"document":{{"text":{},"multi_modal":null}},"relevance_score":{}}})",
        i == 0 ? "" : ",", rows[i].index, quoted(request.documents[rows[i].index]), rows[i].score);
  }
  out += "]}";
}

}  // namespace rerank

}  // namespace fairlead::engine
