// SPDX-License-Identifier: Apache-2.0
// RequestTrace: the spans of one request: one of kind SERVER for the request, and of kind CLIENT
// for each try at an engine. It decides whether to record, names the spans towards engines, and
// writes them as JSON when the request has ended.
//
// Sampling is by the caller where it says, and by the ratio for a request that begins a trace. Of a
// request that is not sampled nothing is kept, and its headers pass on as they came, but for a
// malformed context, which ends here. Never in a span: prompt, answer, query string, keys.
// Names: OpenTelemetry semantic conventions 1.38 (http, server, error, gen_ai); what they lack is
// fairlead.*. Threads: thread-compatible. Allocates for sampled requests only.
#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "base/random.h"
#include "base/time.h"
#include "core/codec/otlp_json.h"
#include "core/codec/trace_context.h"
#include "core/exchange/access_record.h"
#include "core/exchange/request_head.h"
#include "core/picker/picker.h"

namespace fairlead::exchange {

// A wall clock for spans: what Unix time it was at a monotonic one.
struct UnixAnchor {
  Time now{};
  double unix_seconds = 0;
  std::uint64_t nanoseconds(Time at) const;
};

class RequestTrace {
 public:
  void clear();
  // `ratio` of the requests without a trace are sampled. Returns what the headers were.
  codec::TraceContext begin(std::span<const codec::Http1Header> headers, double ratio,
                            Random& random);
  bool recording() const { return recording_; }

  // For the request head of a try that begins now. Valid until the next call.
  TraceHeaders begin_try(const picker::Decision& decision, std::string_view endpoint_name,
                         std::string_view host, std::uint16_t port, Time now);
  // The other headers of a request without a try of its own to name.
  TraceHeaders headers() const { return headers_; }
  void on_resent();
  // A proxy brought the try that goes on to another endpoint.
  void on_served(std::string_view endpoint_name, std::string_view host, std::uint16_t port);
  void on_status(int status);
  void on_first_token(Time at) { first_token_ = at; }
  void end_try(Time now, std::optional<model::UpstreamFailure> failure);

  // The record's `unix_seconds` is the time of `end`. Ends a try that goes on.
  codec::OtlpSpans end(const AccessRecord& record, std::string_view url_scheme, Time began,
                       Time end);

 private:
  struct Try {
    std::uint64_t span = 0;
    Time began{};
    std::optional<Time> ended;
    picker::Decision decision;
    std::string endpoint;
    std::string host;
    std::uint16_t port = 0;
    std::uint32_t resent = 0;
    int status = 0;
    std::optional<model::UpstreamFailure> failure;
    bool cut_off = false;  // By an end of the request that was not the answer's.
  };

  void write_request(const AccessRecord& record, std::string_view url_scheme, Time began,
                     const UnixAnchor& anchor, std::string& out) const;
  void write_try(const Try& one, const AccessRecord& record, const UnixAnchor& anchor,
                 std::string& out) const;
  std::uint64_t new_span();

  bool recording_ = false;
  bool remote_parent_ = false;
  codec::TraceParent parent_;  // Of the request's span; its span is 0 where the trace begins.
  std::uint64_t span_ = 0;
  std::string state_;
  TraceHeaders headers_;
  std::string own_parent_;
  std::vector<Try> tries_;
  std::optional<Time> first_token_;
  Random* random_ = nullptr;
};

}  // namespace fairlead::exchange
