// SPDX-License-Identifier: Apache-2.0
// Any bytes as a request body. Reads beyond the body are for the address sanitizer to find, so the
// body lies in a heap block of its exact size. Oracles: simdjson's DOM parser never accepts what
// the scanner calls invalid JSON; every view lies inside the body; splicing the model's own text
// over model_range gives the same request.
#include <simdjson.h>

#include <cstdlib>
#include <memory>
#include <string>

#include "core/codec/chat_scanner.h"

namespace {

using fairlead::codec::ChatScanner;
using fairlead::codec::RequestKind;
using fairlead::codec::ScanError;
using fairlead::codec::ScannedRequest;

constexpr std::size_t kMaxBody = 1 << 16;

void require(bool condition) {
  if (!condition) std::abort();
}

void check(RequestKind kind, std::string_view body) {
  static ChatScanner scanner(kMaxBody);
  static simdjson::dom::parser oracle(kMaxBody + 1);
  ScannedRequest request;
  const auto status = scanner.scan(kind, body, request);
  require(status.offset <= body.size());
  require(status.ok() == status.message().empty());
  if (status.error == ScanError::kInvalidJson || status.error == ScanError::kInvalidUtf8) {
    require(oracle.parse(body.data(), body.size()).error() != simdjson::SUCCESS);
  }
  if (!status.ok()) return;
  const auto inside = [&](std::string_view view) {
    return view.empty() ||
           (view.data() >= body.data() && view.data() + view.size() <= body.data() + body.size());
  };
  std::size_t text_bytes = 0;
  for (const auto& span : request.spans) {
    require(inside(span.text));
    const bool is_text = span.kind == fairlead::codec::SpanKind::kText ||
                         span.kind == fairlead::codec::SpanKind::kJson;
    if (is_text) text_bytes += span.text.size();
  }
  require(text_bytes == request.text_bytes);
  require(inside(request.cache_salt) && inside(request.user));
  // Of some routes the engine has one model, and needs no name.
  const bool may_lack = kind == RequestKind::kGenerate || kind == RequestKind::kImages ||
                        kind == RequestKind::kConversations;
  if (may_lack && request.model_range.empty()) return require(request.model.empty());
  require(body[request.model_range.begin] == '"' && body[request.model_range.end - 1] == '"');
  std::string spliced(body);
  spliced.replace(request.model_range.begin, request.model_range.end - request.model_range.begin,
                  "\"x\"");
  ScannedRequest again;
  require(scanner.scan(kind, spliced, again).ok());
  require(again.model == "x" && again.spans.size() == request.spans.size());
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const unsigned char* data, std::size_t size) {
  if (size > kMaxBody) return 0;
  const std::unique_ptr<char[]> exact(new char[size]);
  for (std::size_t i = 0; i < size; ++i) exact[i] = static_cast<char>(data[i]);
  for (const RequestKind kind :
       {RequestKind::kChatCompletions, RequestKind::kCompletions, RequestKind::kMessages,
        RequestKind::kResponses, RequestKind::kEmbeddings, RequestKind::kRerank,
        RequestKind::kTokenize, RequestKind::kSpeech, RequestKind::kImages,
        RequestKind::kConversations, RequestKind::kGenerate}) {
    check(kind, {exact.get(), size});
  }
  return 0;
}
