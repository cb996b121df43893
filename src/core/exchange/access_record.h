// SPDX-License-Identifier: Apache-2.0
// AccessRecord: one finished request as one line of JSON. Never in it: prompt, answer, query
// string, headers, keys. Every line has every field; what is not known is null.
// Units: times in milliseconds from the request's first byte but queue_ms (from the whole request
// to its first departure); bytes of payload, without HTTP framing.
// Threads: pure function over a value. The fields are documented in docs/operations.md.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include "base/time.h"
#include "core/codec/sse_scanner.h"
#include "core/exchange/route.h"
#include "core/model/request.h"
#include "core/picker/picker.h"

namespace fairlead::exchange {

struct AccessRecord {
  double unix_seconds = 0;  // When it ended.
  std::string_view request_id;
  std::string_view client_address;
  std::string_view tenant;  // The name of its key.
  std::string_view method;
  std::string_view path;  // Cut to kAccessPathBytesMax.
  Route route = Route::kNone;
  std::string_view model;
  int status = 0;  // As the client saw it; 0: it left before.
  model::Outcome outcome = model::Outcome::kCompleted;
  model::ReplyReason reply_reason = model::ReplyReason::kNone;
  std::optional<model::UpstreamFailure> last_failure;
  std::string_view endpoint;
  std::optional<picker::Decision> decision;  // The last one.
  model::Streaming streaming = model::Streaming::kWhole;
  std::optional<codec::Usage> usage;
  std::uint64_t request_bytes = 0;
  std::uint64_t response_bytes = 0;
  std::optional<Duration> queue;
  std::optional<Duration> first_token;
  Duration total{};
};

inline constexpr std::size_t kAccessPathBytesMax = 256;

// Appends the line, without its end.
void append_access_line(const AccessRecord& record, std::string& out);

}  // namespace fairlead::exchange
