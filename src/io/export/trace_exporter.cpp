// SPDX-License-Identifier: Apache-2.0
#include "io/export/trace_exporter.h"

#include <algorithm>
#include <charconv>
#include <utility>

#include "core/codec/http1_write.h"
#include "io/net/socket.h"

namespace fairlead::exporting {
namespace {

constexpr std::size_t kReplyBytesMax = 64 * 1024;
constexpr Duration kConnectTimeout = std::chrono::seconds(2);
constexpr Duration kTotalTimeout = std::chrono::seconds(10);

net::UpstreamPoolOptions pool_options(std::shared_ptr<const net::TlsClientContext> tls) {
  net::UpstreamPoolOptions options;
  options.connections_max = 4;
  options.tls = std::move(tls);
  return options;
}

// Seconds; the other form, a date, is taken for none.
std::optional<Duration> read_retry_after(std::string_view value) {
  std::uint32_t seconds = 0;
  const auto read = std::from_chars(value.data(), value.data() + value.size(), seconds);
  if (value.empty() || read.ec != std::errc{} || read.ptr != value.data() + value.size()) {
    return std::nullopt;
  }
  return std::min<Duration>(std::chrono::seconds(seconds), TraceExporter::kLongestRetryAfter);
}

bool may_be_repeated(int status) { return status == 429 || (status >= 502 && status <= 504); }

}  // namespace

TraceExporter::Counters TraceExporter::counters(MetricRegistry& metrics) {
  const auto became = [&](std::string_view result) -> Counter& {
    return metrics.counter("fairlead_traces_total",
                           "Ended requests with spans, by what became of the spans.",
                           {{"result", std::string(result)}});
  };
  const auto posts = [&](std::string_view result) -> Counter& {
    return metrics.counter("fairlead_trace_posts_total", "Requests to the trace collector.",
                           {{"result", std::string(result)}});
  };
  return {became("exported"),
          became("queue_full"),
          became("refused"),
          became("gave_up"),
          became("off"),
          became("shutdown"),
          metrics.counter("fairlead_trace_spans_rejected_total",
                          "Spans in accepted batches that the collector did not take."),
          posts("ok"),
          posts("failed")};
}

TraceExporter::TraceExporter(net::EventLoop& loop, TraceExporterPorts ports)
    : loop_(loop),
      ports_(std::move(ports)),
      counters_(counters(ports_.metrics)),
      random_(ports_.seed),
      pool_(loop, pool_options(ports_.tls)),
      request_(pool_, *this),
      timer_(loop, [this] { go_on(); }),
      resolver_(loop, ports_.resolver),
      lookup_(resolver_) {
  codec::append_trace_id(instance_, {random_.next(), random_.next()});
  timer_.arm(ports_.interval);
}

void TraceExporter::go_on() {
  counters_.queue_full.raise_to(ports_.queue.dropped());
  if (batch_requests_ > 0) return post();
  if (next_ == waiting_.size()) {
    waiting_.clear();
    next_ = 0;
    ports_.queue.drain(waiting_);
  }
  if (next_ < waiting_.size() && fill_batch(ports_.settings())) return post();
  timer_.arm(ports_.interval);
}

// False where there is nobody to send it to.
bool TraceExporter::fill_batch(const config::TracingSettings& settings) {
  if (settings.endpoint.empty()) {
    counters_.off.add(waiting_.size() - next_);
    next_ = waiting_.size();
    return false;
  }
  body_.clear();
  codec::append_export_head(body_, {settings.service_name, instance_});
  std::uint32_t spans = 0;
  for (; next_ < waiting_.size(); ++next_, ++batch_requests_) {
    const codec::OtlpSpans& one = waiting_[next_];
    const bool full =
        spans + one.count > kBatchSpans || body_.size() + one.json.size() > kBatchBytes;
    if (batch_requests_ > 0 && full) break;
    if (batch_requests_ > 0) body_ += ',';
    body_ += one.json;
    spans += one.count;
  }
  codec::append_export_tail(body_);
  tries_ = 0;
  return true;
}

void TraceExporter::post() {
  const config::TracingSettings settings = ports_.settings();
  if (settings.endpoint.empty()) return lose(counters_.off, "tracing was turned off");
  const auto endpoint = config::parse_endpoint_address(settings.endpoint);
  if (!endpoint) return lose(counters_.refused, endpoint.error().message);
  if (!config::is_host_name(endpoint->address.host)) return send(*endpoint, endpoint->address.host);
  if (host_ != endpoint->address.host || loop_.now() >= addresses_until_) addresses_.clear();
  if (addresses_.empty()) return resolve(*endpoint);
  send(*endpoint, addresses_[address_ % addresses_.size()]);
}

void TraceExporter::resolve(const config::EndpointSetting& endpoint) {
  host_ = endpoint.address.host;
  lookup_.start(host_, [this](const net::LookupResult& result) { on_lookup(result); });
}

void TraceExporter::on_lookup(const net::LookupResult& result) {
  if (result) {
    addresses_ = result->addresses;
    addresses_until_ = loop_.now() + std::clamp(result->ttl, kShortestTtl, kLongestTtl);
    return post();
  }
  ++tries_;
  counters_.posts_failed.add();
  try_again(fmt::format("host {}: {}", host_, net::to_string(result.error())));
}

void TraceExporter::send(const config::EndpointSetting& endpoint, std::string_view host) {
  const auto address = net::SocketAddress::parse(host, endpoint.address.port);
  if (!address) return lose(counters_.refused, address.error().message);
  tls_name_ = endpoint.tls ? endpoint.address.host : "";
  head_.clear();
  codec::append_request_line(head_, "POST", "/v1/traces");
  codec::append_header(head_, "host", endpoint.name);
  codec::append_header(head_, "content-type", "application/json");
  codec::append_length(head_, body_.size());
  codec::append_head_end(head_);
  status_ = 0;
  retry_after_.reset();
  reply_.clear();
  ++tries_;
  net::UpstreamCall call;
  call.pieces[0] = head_;
  call.pieces[1] = body_;
  call.tls_name = tls_name_;
  call.connect_timeout = kConnectTimeout;
  call.reply_timeout = call.idle_timeout = call.total_timeout = kTotalTimeout;
  request_.start(*address, call);
}

void TraceExporter::on_response_head(const codec::Http1ResponseHead& head) {
  status_ = head.status;
  retry_after_ = read_retry_after(codec::header_value(head.headers, "retry-after"));
}

void TraceExporter::on_body(std::string_view, std::span<const std::string_view> payload) {
  for (const std::string_view piece : payload) {
    reply_.append(piece.substr(0, kReplyBytesMax - reply_.size()));
  }
}

void TraceExporter::on_complete() {
  if (status_ >= 200 && status_ < 300) {
    counters_.posts_ok.add();
    counters_.exported.add(batch_requests_);
    counters_.spans_rejected.add(codec::rejected_spans(reply_));
    if (std::exchange(failing_, false)) ports_.log.info("traces: the collector takes them again");
    return end_batch();
  }
  counters_.posts_failed.add();
  const std::string why = fmt::format("the collector answered {}", status_);
  if (may_be_repeated(status_)) return try_again(why);
  lose(counters_.refused, why);
}

void TraceExporter::on_failed(const net::UpstreamError& error) {
  // A pooled connection that died unseen says nothing about the collector.
  if (error.failure == net::UpstreamFailure::kStale) {
    pool_.close_all_idle();
    return post();
  }
  counters_.posts_failed.add();
  ++address_;
  try_again(net::to_string(error.failure));
}

void TraceExporter::try_again(std::string_view why) {
  if (flushing_) return lose(counters_.shutdown, why);
  if (tries_ >= kTriesMax) return lose(counters_.gave_up, why);
  tell(why);
  // Half of the wait is chance, so that routers do not come back together.
  const Duration longest = std::min(kLongestWait, ports_.first_wait * (1 << (tries_ - 1)));
  const Duration wait = longest / 2 + from_seconds(to_seconds(longest) / 2 * random_.uniform());
  timer_.arm(std::max(wait, retry_after_.value_or(Duration::zero())));
}

void TraceExporter::lose(Counter& reason, std::string_view why) {
  tell(why);
  reason.add(batch_requests_);
  end_batch();
}

// More may wait; the next turn of the timer looks, so that losing much does not recurse.
void TraceExporter::end_batch() {
  batch_requests_ = 0;
  body_.clear();
  timer_.arm(next_ < waiting_.size() ? Duration::zero() : ports_.interval);
}

void TraceExporter::tell(std::string_view why) {
  if (std::exchange(failing_, true)) return;
  ports_.log.warning("traces are not sent: {}", why);
}

void TraceExporter::flush(Duration limit) {
  flushing_ = true;
  loop_.run_turn(Duration::zero());
  const Time end = loop_.now() + limit;
  ports_.queue.drain(waiting_);
  if (!request_.active() && !lookup_.active()) {
    timer_.cancel();
    go_on();
  }
  while (busy() && loop_.now() < end) loop_.run_turn(std::chrono::milliseconds(20));
  request_.cancel();
  lookup_.cancel();
  timer_.cancel();
  counters_.queue_full.raise_to(ports_.queue.dropped());
  counters_.shutdown.add(batch_requests_ + waiting_.size() - next_);
  batch_requests_ = 0;
  next_ = waiting_.size();
}

}  // namespace fairlead::exporting
