// SPDX-License-Identifier: Apache-2.0
#include "core/exchange/access_record.h"

#include <cmath>

#include "core/codec/json_text.h"
#include "core/scheduling/profile.h"

namespace fairlead::exchange {
namespace {

using codec::JsonWriter;

void text_or_null(JsonWriter& writer, std::string_view key, std::string_view text) {
  writer.key(key);
  if (text.empty()) {
    writer.raw("null");
  } else {
    writer.string(text);
  }
}

void count_or_null(JsonWriter& writer, std::string_view key, std::optional<std::uint64_t> count) {
  writer.key(key);
  if (count) {
    writer.number(*count);
  } else {
    writer.raw("null");
  }
}

// To the microsecond.
void milliseconds(JsonWriter& writer, std::string_view key, std::optional<Duration> time) {
  writer.key(key);
  if (time) {
    writer.number(std::round(to_seconds(*time) * 1e6) / 1e3);
  } else {
    writer.raw("null");
  }
}

void write_decision(JsonWriter& writer, const AccessRecord& record) {
  const auto& decision = record.decision;
  const bool made = decision && decision->attempts > 0;
  text_or_null(writer, "endpoint", record.endpoint);
  text_or_null(writer, "reason", made ? scheduling::to_string(decision->reason) : "");
  count_or_null(writer, "candidates",
                made ? std::optional<std::uint64_t>(decision->candidates) : std::nullopt);
  count_or_null(writer, "prompt_tokens",
                made ? std::optional(decision->prompt_tokens) : std::nullopt);
  count_or_null(writer, "predicted_cached_tokens",
                made ? std::optional(decision->cached_tokens) : std::nullopt);
  writer.key("attempts").number(std::uint64_t{decision ? decision->attempts : 0});
  text_or_null(writer, "last_failure",
               record.last_failure ? model::to_string(*record.last_failure) : "");
}

void write_usage(JsonWriter& writer, const std::optional<codec::Usage>& usage) {
  writer.key("usage");
  if (!usage) {
    writer.raw("null");
    return;
  }
  writer.begin_object();
  count_or_null(writer, "prompt_tokens", usage->prompt_tokens);
  count_or_null(writer, "cached_tokens", usage->cached_tokens);
  count_or_null(writer, "output_tokens", usage->completion_tokens);
  writer.end_object();
}

}  // namespace

void append_access_line(const AccessRecord& record, std::string& out) {
  JsonWriter writer(out);
  writer.begin_object();
  writer.key("time").number(std::round(record.unix_seconds * 1e3) / 1e3);
  text_or_null(writer, "request_id", record.request_id);
  text_or_null(writer, "client", record.client_address);
  text_or_null(writer, "tenant", record.tenant);
  text_or_null(writer, "method", record.method);
  text_or_null(writer, "path", record.path.substr(0, kAccessPathBytesMax));
  writer.key("route").string(to_string(record.route));
  text_or_null(writer, "model", record.model);
  writer.key("status");
  if (record.status == 0) {
    writer.raw("null");
  } else {
    writer.number(std::int64_t{record.status});
  }
  writer.key("outcome").string(model::to_string(record.outcome));
  const bool replied = record.reply_reason != model::ReplyReason::kNone;
  text_or_null(writer, "reply_reason", replied ? model::to_string(record.reply_reason) : "");
  write_decision(writer, record);
  writer.key("stream").raw(record.streaming == model::Streaming::kStreamed ? "true" : "false");
  write_usage(writer, record.usage);
  writer.key("request_bytes").number(record.request_bytes);
  writer.key("response_bytes").number(record.response_bytes);
  milliseconds(writer, "queue_ms", record.queue);
  milliseconds(writer, "ttft_ms", record.first_token);
  milliseconds(writer, "total_ms", record.total);
  writer.end_object();
}

}  // namespace fairlead::exchange
