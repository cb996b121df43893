// SPDX-License-Identifier: Apache-2.0
// What a relay learns from an answer while its bytes pass, and the rules for a try that failed.
//
// Retry rule: another endpoint may be asked while the client has seen no byte of an answer and the
// body is within the retry buffer. An engine's 502 or 503 counts as a failed try; its own answer is
// relayed when nobody else is left to ask. A 500 is relayed, and counts against the endpoint.
// Broken streams: after the first byte, a failure must never look like a complete answer. An SSE
// client gets an error event where one can stand (between two events and two chunks), and then, as
// every other client, a connection that breaks off.
// Threads: thread-compatible. No allocation.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <string_view>

#include "core/codec/http1_response.h"
#include "core/codec/sse_scanner.h"
#include "core/exchange/route.h"
#include "core/model/request.h"
#include "core/picker/picker.h"

namespace fairlead::exchange {

enum class ClientSaw : std::uint8_t { kNothing, kBytes };

picker::Replay replay_rule(ClientSaw client, std::size_t body_bytes, std::size_t buffer_bytes);

// The failure that an engine's status stands for: 500, 502 and 503.
std::optional<model::UpstreamFailure> failure_of_status(int status);
// 502 and 503: held back, because another endpoint may do better.
bool is_failed_try(int status);

enum class ResponseForm : std::uint8_t { kEventStream, kJson, kOther };

class ResponseWatch {
 public:
  void begin(const codec::Http1ResponseHead& head, Route route);
  // `payload` are pieces of `raw`, in order.
  void feed(std::string_view raw, std::span<const std::string_view> payload);

  ResponseForm form() const { return form_; }
  const codec::ResponseFacts& facts() const;
  // The first token was seen; or, where tokens cannot be told, the first byte.
  bool first_token() const;
  // An error event would be understood here: the last event is whole.
  bool between_events() const { return newlines_ >= 2; }
  // Likewise the last chunk, where raw chunks are passed on.
  bool between_chunks() const { return framing_ == Framing::kChunkEnd; }

 private:
  enum class Framing : std::uint8_t { kData, kCr, kChunkEnd, kElsewhere };
  void follow_framing(std::string_view bytes);
  void follow_lines(std::string_view piece);

  ResponseForm form_ = ResponseForm::kOther;
  bool tells_tokens_ = false;
  bool any_byte_ = false;
  std::uint8_t newlines_ = 2;  // At the end of what passed, at most 2; CRs do not count.
  Framing framing_ = Framing::kChunkEnd;
  codec::SseScanner sse_;
  codec::JsonResponseScanner json_;
};

}  // namespace fairlead::exchange
