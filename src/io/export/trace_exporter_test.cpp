// SPDX-License-Identifier: Apache-2.0
#include "io/export/trace_exporter.h"

#include <gtest/gtest.h>
#include <sys/socket.h>

#include <string>
#include <vector>

#include "io/net/http1_server.h"
#include "io/net/testing/fake_dns.h"
#include "io/net/testing/loop_fixture.h"

namespace fairlead::exporting {
namespace {

using namespace std::chrono_literals;

class LinesSink final : public LogSink {
 public:
  void write(LogLevel, std::string_view message) override { lines.emplace_back(message); }
  std::vector<std::string> lines;
};

class TraceExporterTest : public ::testing::Test, private net::RequestHandler {
 protected:
  TraceExporterTest() {
    EXPECT_TRUE(collector_.listen(net::SocketAddress::loopback(0), net::PortSharing::kExclusive));
    settings_.endpoint = "http://127.0.0.1:" + std::to_string(collector_.local_port());
    settings_.service_name = "edge";
  }

  void start() {
    exporter_ = std::make_unique<TraceExporter>(
        *loop_, TraceExporterPorts{.queue = queue_,
                                   .metrics = metrics_,
                                   .log = log_,
                                   .settings = [this] { return settings_; },
                                   .tls = nullptr,
                                   .interval = 1ms,
                                   .first_wait = 1ms,
                                   .resolver = {.servers = dns_.server()}});
  }
  bool until(const std::function<bool()>& effect) {
    return net::testing::run_until(*loop_, effect);
  }
  // How many requests' spans came to this end.
  int became(std::string_view result) const {
    return metric("fairlead_traces_total{result=\"" + std::string(result) + "\"}");
  }
  int metric(const std::string& name) const {
    const std::string text = metrics_.expose();
    const std::size_t at = text.find("\n" + name + " ");
    return at == std::string::npos ? -1 : std::stoi(text.substr(at + name.size() + 2));
  }

  std::unique_ptr<net::EventLoop> loop_ = net::testing::make_loop();
  LinesSink sink_;
  Log log_{sink_};
  MetricRegistry metrics_;
  Handoff<codec::OtlpSpans> queue_{4};
  config::TracingSettings settings_;
  std::vector<std::string> bodies_;  // What the collector got.
  std::vector<std::string> heads_;
  std::vector<std::string> hosts_;
  std::function<void(net::ServerExchange&)> script_ = [](net::ServerExchange& exchange) {
    exchange.send_response(200, {{"content-type", "application/json"}}, "{}");
  };
  net::Http1Server collector_{*loop_, *this, {}};
  net::Http1Server second_{*loop_, *this, {}};
  net::testing::FakeDns dns_{*loop_};
  std::unique_ptr<TraceExporter> exporter_;

 private:
  void on_request(net::ServerExchange& exchange) override {
    const codec::Http1RequestHead& head = exchange.head();
    heads_.push_back(fmt::format("{} {} {}", head.method, head.target,
                                 codec::header_value(head.headers, "content-type")));
    hosts_.emplace_back(head.host);
    bodies_.emplace_back(exchange.body());
    script_(exchange);
  }
};

TEST_F(TraceExporterTest, PostsWhatWaitsAsOneRequest) {
  queue_.push({"{\"a\":1}", 1});
  queue_.push({"{\"b\":1},{}", 2});
  start();
  ASSERT_TRUE(until([&] { return became("exported") == 2; }));
  ASSERT_EQ(bodies_.size(), 1U);
  EXPECT_EQ(heads_[0], "POST /v1/traces application/json");
  EXPECT_NE(bodies_[0].find("\"spans\":[{\"a\":1},{\"b\":1},{}]"), std::string::npos);
  EXPECT_NE(bodies_[0].find("\"stringValue\":\"edge\""), std::string::npos);
  queue_.push({"{}", 1});
  ASSERT_TRUE(until([&] { return became("exported") == 3; }));
  EXPECT_EQ(sink_.lines.size(), 0U);
}

TEST_F(TraceExporterTest, ABatchIsBoundedInSpansAndBytes) {
  queue_.push({"1", TraceExporter::kBatchSpans});
  queue_.push({"2", 1});
  queue_.push({std::string(TraceExporter::kBatchBytes, ' ') + "3", 1});
  queue_.push({"4", 1});
  start();
  ASSERT_TRUE(until([&] { return became("exported") == 4; }));
  EXPECT_EQ(bodies_.size(), 4U);
}

TEST_F(TraceExporterTest, AFullQueueLosesTheOldest) {
  for (const char* json : {"1", "2", "3", "4", "5", "6"}) queue_.push({json, 1});
  start();
  ASSERT_TRUE(until([&] { return became("exported") == 4; }));
  EXPECT_EQ(became("queue_full"), 2);
  EXPECT_NE(bodies_[0].find("[3,4,5,6]"), std::string::npos);
}

TEST_F(TraceExporterTest, WaitsAsLongAsABusyCollectorAsks) {
  const Time began = loop_->now();
  script_ = [&](net::ServerExchange& exchange) {
    if (bodies_.size() == 1) return exchange.send_response(503, {{"retry-after", "1"}}, "busy");
    exchange.send_response(200, {}, "");
  };
  queue_.push({"7", 1});
  start();
  ASSERT_TRUE(until([&] { return became("exported") == 1; }));
  EXPECT_GE(loop_->now() - began, 1s);
  ASSERT_EQ(bodies_.size(), 2U);
  EXPECT_EQ(bodies_[0], bodies_[1]);
  EXPECT_EQ(metric("fairlead_trace_posts_total{result=\"failed\"}"), 1);
  EXPECT_EQ(metric("fairlead_trace_posts_total{result=\"ok\"}"), 1);
  ASSERT_EQ(sink_.lines.size(), 2U);
  EXPECT_EQ(sink_.lines[0], "traces are not sent: the collector answered 503");
  EXPECT_EQ(sink_.lines[1], "traces: the collector takes them again");
}

TEST_F(TraceExporterTest, GivesABatchUpAfterSomeTries) {
  for (const int status : {429, 502, 504}) {
    script_ = [status](net::ServerExchange& exchange) {
      exchange.send_response(status, {{"retry-after", "Wed, 21 Oct 2026 07:28:00 GMT"}}, "");
    };
    bodies_.clear();
    const int before = became("gave_up");
    queue_.push({"8", 1});
    if (!exporter_) start();
    ASSERT_TRUE(until([&] { return became("gave_up") == std::max(before, 0) + 1; })) << status;
    EXPECT_EQ(bodies_.size(), static_cast<std::size_t>(TraceExporter::kTriesMax));
  }
  EXPECT_EQ(sink_.lines.size(), 1U) << "told once";
}

TEST_F(TraceExporterTest, OtherAnswersLoseTheBatchAtOnce) {
  script_ = [](net::ServerExchange& exchange) { exchange.send_response(400, {}, "no"); };
  queue_.push({"9", 1});
  start();
  ASSERT_TRUE(until([&] { return became("refused") == 1; }));
  EXPECT_EQ(bodies_.size(), 1U);
}

TEST_F(TraceExporterTest, SpansThatTheCollectorDidNotTakeAreCounted) {
  script_ = [](net::ServerExchange& exchange) {
    exchange.send_response(200, {}, R"({"partialSuccess":{"rejectedSpans":"2"}})");
  };
  queue_.push({"1,2,3", 3});
  start();
  ASSERT_TRUE(until([&] { return became("exported") == 1; }));
  EXPECT_EQ(metric("fairlead_trace_spans_rejected_total"), 2);
}

TEST_F(TraceExporterTest, ACollectorThatIsNotThereIsTriedAgain) {
  script_ = [&](net::ServerExchange& exchange) {
    if (bodies_.size() == 1) return exchange.abort();
    exchange.send_response(200, {}, "not JSON");
  };
  const std::string real = settings_.endpoint;
  {
    const auto listener =
        net::listen_tcp(net::SocketAddress::loopback(0), net::PortSharing::kExclusive);
    ASSERT_TRUE(listener.has_value());
    settings_.endpoint = "http://" + net::local_address(listener->get())->to_string();
  }
  queue_.push({"1", 1});
  start();
  ASSERT_TRUE(until([&] { return !sink_.lines.empty(); }));
  EXPECT_EQ(sink_.lines[0], "traces are not sent: connect_refused");
  settings_.endpoint = real;  // As after a reload.
  ASSERT_TRUE(until([&] { return became("exported") == 1; }));
  EXPECT_EQ(bodies_.size(), 2U) << "one was reset";
}

TEST_F(TraceExporterTest, AnAnswerThatIsNoHttpIsAFailure) {
  const auto listener =
      net::listen_tcp(net::SocketAddress::loopback(0), net::PortSharing::kExclusive);
  ASSERT_TRUE(listener.has_value());
  settings_.endpoint = "http://" + net::local_address(listener->get())->to_string();
  queue_.push({"1", 1});
  start();
  int answered = 0;
  ASSERT_TRUE(until([&] {
    const net::UniqueFd peer(::accept4(listener->get(), nullptr, nullptr, SOCK_NONBLOCK));
    if (peer.valid()) answered += ::send(peer.get(), "SSH-2.0\r\n\r\n", 11, MSG_NOSIGNAL) > 0;
    return became("gave_up") == 1;
  }));
  EXPECT_EQ(answered, TraceExporter::kTriesMax);
}

TEST_F(TraceExporterTest, ACollectorsHostNameIsLookedUpAndKeptForItsTtl) {
  ASSERT_TRUE(
      second_.listen(*net::SocketAddress::parse("127.0.0.2", 0), net::PortSharing::kExclusive));
  const std::string port = ":" + std::to_string(second_.local_port());
  settings_.endpoint = "http://collector.test" + port;
  queue_.push({"1", 1});
  start();
  ASSERT_TRUE(until([&] { return !sink_.lines.empty(); }));
  EXPECT_EQ(sink_.lines[0], "traces are not sent: host collector.test: no address for this name");
  // Nobody listens at the first address.
  dns_.names["collector.test"] = {"127.0.0.1", "127.0.0.2"};
  ASSERT_TRUE(until([&] { return became("exported") == 1; }));
  EXPECT_EQ(hosts_.at(0), "collector.test" + port);
  const int asked = dns_.asked();
  queue_.push({"2", 1});
  ASSERT_TRUE(until([&] { return became("exported") == 2; }));
  EXPECT_EQ(dns_.asked(), asked);
  settings_.endpoint = "http://elsewhere.test" + port;  // As after a reload.
  dns_.names["elsewhere.test"] = {"127.0.0.2"};
  queue_.push({"3", 1});
  ASSERT_TRUE(until([&] { return became("exported") == 3; }));
  EXPECT_GT(dns_.asked(), asked);
  EXPECT_EQ(hosts_.at(2), "elsewhere.test" + port);
}

TEST_F(TraceExporterTest, ALookupThatIsOutDoesNotKeepAFlushWaiting) {
  settings_.endpoint = "http://collector.test:4318";
  dns_.mood = net::testing::FakeDns::Mood::kSilent;
  queue_.push({"1", 1});
  start();
  ASSERT_TRUE(until([&] { return dns_.asked() > 0; }));
  exporter_->flush(50ms);
  EXPECT_EQ(became("shutdown"), 1);
}

TEST_F(TraceExporterTest, WithoutAnEndpointSpansAreDiscarded) {
  settings_.endpoint.clear();
  queue_.push({"1", 1});
  start();
  ASSERT_TRUE(until([&] { return became("off") == 1; }));
  EXPECT_EQ(bodies_.size(), 0U);
}

TEST_F(TraceExporterTest, FlushSendsWhatIsLeft) {
  start();
  for (const char* json : {"1", "2", "3"}) queue_.push({json, TraceExporter::kBatchSpans});
  exporter_->flush(10s);
  EXPECT_EQ(became("exported"), 3);
  EXPECT_EQ(became("shutdown"), 0);
}

TEST_F(TraceExporterTest, FlushTriesOnceAndDoesNotWaitForASilentCollector) {
  script_ = [](net::ServerExchange& exchange) { exchange.send_response(503, {}, ""); };
  start();
  queue_.push({"1", 1});
  exporter_->flush(10s);
  EXPECT_EQ(bodies_.size(), 1U);
  EXPECT_EQ(became("shutdown"), 1);
  script_ = [](net::ServerExchange&) {};
  start();
  queue_.push({"2", 1});
  exporter_->flush(50ms);
  EXPECT_EQ(bodies_.size(), 2U);
  EXPECT_EQ(became("shutdown"), 2);
}

}  // namespace
}  // namespace fairlead::exporting
