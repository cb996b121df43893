// SPDX-License-Identifier: Apache-2.0
// TraceExporter: takes the spans of ended requests from their queue and posts them to an
// OpenTelemetry collector: OTLP/HTTP in JSON, one request at a time.
//
// A batch is what came in an interval, at most kBatchSpans and kBatchBytes. Status 429, 502, 503,
// 504 and failures of the connection are tried again after a growing wait, or after the Retry-After
// that the collector sent, at most kTriesMax times; every other status loses the batch. Meanwhile
// the queue fills, and then loses its oldest. Everything lost is counted; the log is told of the
// first failure and of the recovery. A collector's host name is looked up before a post, at most
// once in kShortestTtl; of its addresses another one is used after each failure.
// Source: OTLP 1.9, "OTLP/HTTP". Threads: the loop's; made and destroyed, and flush() called, while
// no thread runs the loop.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "base/handoff.h"
#include "base/log.h"
#include "base/metrics.h"
#include "base/random.h"
#include "core/codec/otlp_json.h"
#include "core/config/settings.h"
#include "io/net/event_loop.h"
#include "io/net/http1_client.h"
#include "io/net/resolver.h"

namespace fairlead::exporting {

struct TraceExporterPorts {
  Handoff<codec::OtlpSpans>& queue;
  MetricRegistry& metrics;
  Log& log;
  // The settings in force, asked before every try; without an endpoint spans are discarded.
  std::function<config::TracingSettings()> settings;
  std::shared_ptr<const net::TlsClientContext> tls;  // For https:// endpoints.
  std::uint64_t seed = 0;
  Duration interval = std::chrono::milliseconds(500);  // Between two looks at the queue.
  Duration first_wait = std::chrono::seconds(1);       // After a failure; each doubles it.
  net::ResolverOptions resolver{};
};

class TraceExporter final : private net::UpstreamObserver {
 public:
  static constexpr std::uint32_t kBatchSpans = 2048;
  static constexpr std::size_t kBatchBytes = std::size_t{1} << 20;
  static constexpr int kTriesMax = 6;
  static constexpr Duration kLongestWait = std::chrono::seconds(30);
  static constexpr Duration kLongestRetryAfter = std::chrono::seconds(120);
  static constexpr Duration kShortestTtl = std::chrono::seconds(5);
  static constexpr Duration kLongestTtl = std::chrono::minutes(5);

  TraceExporter(net::EventLoop& loop, TraceExporterPorts ports);

  // Runs the loop until everything is sent, each batch tried once, or `limit` has passed; what is
  // left is lost and counted.
  void flush(Duration limit);

 private:
  // What became of a request's spans.
  struct Counters {
    Counter& exported;
    Counter& queue_full;
    Counter& refused;
    Counter& gave_up;
    Counter& off;
    Counter& shutdown;
    Counter& spans_rejected;
    Counter& posts_ok;
    Counter& posts_failed;
  };

  void on_response_head(const codec::Http1ResponseHead& head) override;
  void on_body(std::string_view raw, std::span<const std::string_view> payload) override;
  void on_complete() override;
  void on_failed(const net::UpstreamError& error) override;

  static Counters counters(MetricRegistry& metrics);
  void go_on();
  bool fill_batch(const config::TracingSettings& settings);
  void post();
  void resolve(const config::EndpointSetting& endpoint);
  void on_lookup(const net::LookupResult& result);
  void send(const config::EndpointSetting& endpoint, std::string_view host);
  void try_again(std::string_view why);
  void lose(Counter& reason, std::string_view why);
  void end_batch();
  void tell(std::string_view why);
  bool busy() const { return batch_requests_ > 0 || next_ < waiting_.size(); }

  net::EventLoop& loop_;
  TraceExporterPorts ports_;
  Counters counters_;
  Random random_;
  std::string instance_;
  std::vector<codec::OtlpSpans> waiting_;  // Taken from the queue; before next_ they are done.
  std::size_t next_ = 0;
  std::string body_;  // Of the batch under way.
  std::uint64_t batch_requests_ = 0;
  int tries_ = 0;
  std::string head_;
  std::string tls_name_;
  int status_ = 0;
  std::optional<Duration> retry_after_;
  std::string reply_;
  bool failing_ = false;   // The log knows.
  bool flushing_ = false;  // No second try.
  net::UpstreamPool pool_;
  net::UpstreamRequest request_;
  net::Timer timer_;
  net::Resolver resolver_;
  net::Lookup lookup_;
  std::string host_;                    // The name that addresses_ belong to.
  std::vector<std::string> addresses_;  // Empty: to be looked up.
  Time addresses_until_{};
  std::size_t address_ = 0;  // The one in use, modulo their number.
};

}  // namespace fairlead::exporting
