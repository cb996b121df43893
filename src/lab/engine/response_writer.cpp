// SPDX-License-Identifier: Apache-2.0
#include "lab/engine/response_writer.h"

#include <fmt/format.h>

#include <utility>

#include "core/codec/json_text.h"
#include "lab/engine/dialect_writer.h"
#include "lab/engine/output_text.h"

namespace fairlead::engine {
namespace {

constexpr std::string_view kFingerprint = R"(,"system_fingerprint":"fairlead-engine")";

void append_number(std::string& out, std::int64_t value) {
  const fmt::format_int text(value);
  out.append(text.data(), text.size());
}

void append_plain_usage(std::string& out, const UsageFigures& usage) {
  out += R"("usage":{"prompt_tokens":)";
  append_number(out, usage.prompt_tokens);
  out += R"(,"total_tokens":)";
  append_number(out, usage.prompt_tokens + usage.completion_tokens);
  out += R"(,"completion_tokens":)";
  append_number(out, usage.completion_tokens);
}

void append_quoted_finish(std::string& out, FinishReason reason) {
  if (reason == FinishReason::kNone) {
    out += "null";
    return;
  }
  out += '"';
  out += to_string(reason);
  out += '"';
}

}  // namespace

std::string_view to_string(FinishReason reason) {
  switch (reason) {
    case FinishReason::kNone:
      return "null";
    case FinishReason::kLength:
      return "length";
    case FinishReason::kStop:
      return "stop";
  }
  return "null";
}

ResponseWriter::ResponseWriter(Api api, Delivery delivery, AnswerIdentity identity,
                               PoolingRequest pooling)
    : api_(api), identity_(std::move(identity)), pooling_(std::move(pooling)) {
  if (is_dialect()) return;
  const bool stream = delivery == Delivery::kStream;
  std::string_view object = "text_completion";
  if (api == Api::kChat) object = stream ? "chat.completion.chunk" : "chat.completion";
  opening_ += stream ? R"(data: {"id":)" : R"({"id":)";
  codec::append_json_string(opening_, identity_.id);
  opening_ += R"(,"object":")";
  opening_ += object;
  opening_ += R"(","created":)";
  append_number(opening_, identity_.created);
  opening_ += R"(,"model":)";
  codec::append_json_string(opening_, identity_.model);
  opening_ += R"(,"choices":[)";
}

void ResponseWriter::role_event(std::string& out, std::uint32_t index,
                                const UsageFigures* usage) const {
  if (api_ == Api::kMessages) {
    return messages::open(out, identity_, usage == nullptr ? UsageFigures{} : *usage);
  }
  if (api_ == Api::kResponses) return responses::open(out, identity_);
  out += opening_;
  out += R"({"index":)";
  append_number(out, index);
  out += R"(,"delta":{"role":"assistant","content":""},"logprobs":null,"finish_reason":null}])";
  if (usage != nullptr) {
    out += ',';
    append_plain_usage(out, *usage);
    out += '}';
  }
  out += R"(,"prompt_token_ids":null,"prompt_text":null})";
  out += "\n\n";
}

void ResponseWriter::part_event(std::string& out, const AnswerPart& part, const UsageFigures* usage,
                                Fingerprint fingerprint) const {
  if (api_ == Api::kMessages) return messages::part(out, part);
  if (api_ == Api::kResponses) return responses::part(out, identity_, part);
  if (api_ == Api::kTranscription) return transcription::part(out, identity_, part);
  const bool last = part.finish != FinishReason::kNone;
  out += opening_;
  out += R"({"index":)";
  append_number(out, part.index);
  if (api_ == Api::kChat) {
    out += R"(,"delta":{"content":")";
    append_output_text(out, part.seed, part.begin, part.count);
    out += R"("},"logprobs":null,"finish_reason":)";
    append_quoted_finish(out, part.finish);
    out += last ? R"(,"stop_reason":null,"token_ids":null}])" : R"(,"token_ids":null}])";
  } else {
    out += R"(,"text":")";
    append_output_text(out, part.seed, part.begin, part.count);
    out += R"(","logprobs":null,"finish_reason":)";
    append_quoted_finish(out, part.finish);
    out += R"(,"stop_reason":null,"prompt_token_ids":null,"token_ids":null}])";
  }
  if (usage != nullptr) {
    out += ',';
    append_plain_usage(out, *usage);
    out += '}';
  }
  if (fingerprint == Fingerprint::kGiven) out += kFingerprint;
  out += "}\n\n";
}

void ResponseWriter::usage_event(std::string& out, const UsageFigures& usage) const {
  out += opening_;
  out += "],";
  append_plain_usage(out, usage);
  out += R"(,"prompt_tokens_details":{"cached_tokens":)";
  append_number(out, usage.cached_tokens);
  if (api_ == Api::kChat) {
    out += R"(,"created_cache_tokens":)";
    append_number(out, usage.created_tokens);
  }
  out += "}}";
  out += kFingerprint;
  out += "}\n\n";
}

void ResponseWriter::end_stream(std::string& out, const AnswerPart& whole,
                                const UsageFigures& usage) const {
  if (api_ == Api::kMessages) return messages::close(out, whole, usage);
  if (api_ == Api::kResponses) return responses::close(out, identity_, whole, usage);
  out += kDone;
}

void ResponseWriter::end_dialect(std::string& out, const UsageFigures& usage) const {
  std::vector<std::uint64_t> seeds;
  for (const AnswerPart& choice : choices_) seeds.push_back(choice.seed);
  switch (api_) {
    case Api::kMessages:
      return messages::whole(out, identity_, choices_.front(), usage);
    case Api::kResponses:
      return responses::whole(out, identity_, choices_.front(), usage);
    case Api::kTranscription:
      return transcription::whole(out, choices_.front(), usage);
    case Api::kEmbeddings:
      return embeddings::whole(out, identity_, pooling_, seeds, usage);
    default:
      return rerank::whole(out, identity_, pooling_, seeds, usage);
  }
}

void ResponseWriter::begin_whole(std::string& out) const { out += opening_; }

void ResponseWriter::whole_choice(std::string& out, const AnswerPart& part) {
  if (is_dialect()) {
    choices_.push_back(part);
    return;
  }
  if (part.index > 0) out += ',';
  out += R"({"index":)";
  append_number(out, part.index);
  if (api_ == Api::kChat) {
    out += R"(,"message":{"role":"assistant","content":")";
    append_output_text(out, part.seed, part.begin, part.count);
    out += R"(","refusal":null,"annotations":null,"audio":null,"function_call":null,)"
           R"("reasoning":null},"logprobs":null,"finish_reason":)";
    append_quoted_finish(out, part.finish);
    out += R"(,"stop_reason":null,"token_ids":null,"routed_experts":null})";
  } else {
    out += R"(,"text":")";
    append_output_text(out, part.seed, part.begin, part.count);
    out += R"(","logprobs":null,"finish_reason":)";
    append_quoted_finish(out, part.finish);
    out += R"(,"stop_reason":null,"token_ids":null,"prompt_logprobs":null,)"
           R"("prompt_token_ids":null,"routed_experts":null})";
  }
}

void ResponseWriter::end_whole(std::string& out, const UsageFigures& usage) const {
  if (is_dialect()) return end_dialect(out, usage);
  out += R"(],"service_tier":null)";
  out += kFingerprint;
  out += ',';
  append_plain_usage(out, usage);
  out += R"(,"prompt_tokens_details":{"cached_tokens":)";
  append_number(out, usage.cached_tokens);
  out += R"(,"created_cache_tokens":)";
  if (api_ == Api::kChat) {
    append_number(out, usage.created_tokens);
  } else {
    out += "null";
  }
  out += R"(,"multimodal_tokens":null},"completion_tokens_details":null})";
  if (api_ == Api::kChat) {
    out += R"(,"prompt_logprobs":null,"prompt_token_ids":null,"prompt_text":null)";
  }
  out += R"(,"kv_transfer_params":null,"ec_transfer_params":null,"metrics":null})";
}

}  // namespace fairlead::engine
