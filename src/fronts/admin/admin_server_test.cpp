// SPDX-License-Identifier: Apache-2.0
#include "fronts/admin/admin_server.h"

#include <gtest/gtest.h>

#include <cstdio>
#include <cstdlib>
#include <functional>
#include <memory>
#include <optional>
#include <set>
#include <sstream>
#include <string>
#include <string_view>
#include <vector>

#include "fronts/admin/web_files.h"
#include "io/net/http_fetch.h"
#include "io/net/testing/loop_fixture.h"
#include "router/testing/fleet_fixture.h"

namespace fairlead::admin {
namespace {

using model::Health;

bool has(const std::string& text, std::string_view part) {
  return text.find(part) != std::string::npos;
}

struct Page {
  int status = 0;
  std::string body;
};

class AdminServerTest : public router::testing::FleetFixture {
 protected:
  using Effect = std::function<bool()>;

  void start_admin(std::string_view fleet) {
    ASSERT_NO_FATAL_FAILURE(start(fleet));
    admin_ = std::make_unique<AdminServer>(*router_, *control_);
    const auto listening = admin_->listen({"127.0.0.1", 0});
    ASSERT_TRUE(listening.has_value()) << listening.error().message;
  }
  ~AdminServerTest() override {
    if (control_) control_->stop();
    admin_.reset();
  }

  Page get(std::string_view target) {
    return get(target, [this](const Effect& effect) { return until(effect); });
  }
  Page get(std::string_view target, const std::function<bool(const Effect&)>& turn_until) {
    net::UpstreamPool pool(*engine_loop_, {});
    net::HttpFetch fetch(pool);
    std::optional<Page> page;
    fetch.get(net::SocketAddress::loopback(admin_->port()), target, {},
              [&](const Result<net::FetchReply>& reply) {
                EXPECT_TRUE(reply.has_value()) << reply.error().message;
                page = reply ? Page{reply->status, std::string(reply->body)} : Page{};
              });
    EXPECT_TRUE(turn_until([&] { return page.has_value(); }));
    return page.value_or(Page{});
  }
  std::string send(std::string_view request) {
    net::testing::RawClient client(*engine_loop_, net::SocketAddress::loopback(admin_->port()));
    client.send(request);
    EXPECT_TRUE(until([&] { return client.ended(); }));
    return client.received();
  }

  std::unique_ptr<AdminServer> admin_;
};

TEST_F(AdminServerTest, ReadinessFollowsTheFleetAndDraining) {
  auto& engine = add_engine();
  engine.silent_path = "/v1/models";
  start_admin(endpoints({{"a", &engine}}, "  "));
  EXPECT_EQ(get("/healthz").status, 200);
  const Page waiting = get("/readyz");
  EXPECT_EQ(waiting.status, 503);
  EXPECT_EQ(waiting.body, "no healthy endpoint has told its models yet\n");
  engine.silent_path.clear();
  ASSERT_TRUE(until([&] { return control_->ready(); }));
  EXPECT_EQ(get("/readyz").status, 200);
  engine.down();
  ASSERT_TRUE(until_health("a", Health::kEjected));
  EXPECT_EQ(get("/readyz").status, 503);
  EXPECT_EQ(get("/healthz").status, 200) << "this process is alive whatever the fleet does";
  engine.up();
  ASSERT_TRUE(until([&] { return control_->ready(); }));
  EXPECT_EQ(get("/readyz").status, 200);
  admin_->set_draining();
  const Page draining = get("/readyz");
  EXPECT_EQ(draining.status, 503);
  EXPECT_EQ(draining.body, "draining\n");
}

TEST_F(AdminServerTest, TheLogLevelIsReadAndSet) {
  auto& engine = add_engine();
  start_admin(endpoints({{"a", &engine}}, "  "));
  EXPECT_EQ(get("/debug/log").body, "info\n");
  const auto put = [&](std::string_view query) {
    return send("PUT /debug/log" + std::string(query) +
                " HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\nContent-Length: 0\r\n\r\n");
  };
  EXPECT_TRUE(put("?level=debug").ends_with("\r\n\r\ndebug\n"));
  EXPECT_EQ(router_->log().level(), LogLevel::kDebug);
  for (const char* wrong : {"", "?level=", "?level=trace", "?level=DEBUG", "?x=1"}) {
    EXPECT_TRUE(put(wrong).starts_with("HTTP/1.1 400 ")) << wrong;
  }
  EXPECT_EQ(get("/debug/log?level=error").body, "debug\n") << "only PUT changes it";
  EXPECT_TRUE(send("POST /debug/log?level=info HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n"
                   "Content-Length: 0\r\n\r\n")
                  .starts_with("HTTP/1.1 405 "));
}

TEST_F(AdminServerTest, TheProfileIsThereWhereSomebodyMakesOne) {
  auto& engine = add_engine();
  start_admin(endpoints({{"a", &engine}}, "  "));
  EXPECT_EQ(get("/debug/profile").status, 404);
  admin_->show_profile([] { return std::string("a table\n"); });
  EXPECT_EQ(get("/debug/profile").body, "a table\n");
}

TEST_F(AdminServerTest, MetricsAreFreshAtEveryScrape) {
  auto& engine = add_engine();
  engine.set_load(6, 2, 0.5);
  start_admin(endpoints({{"a", &engine}}, "  "));
  ASSERT_TRUE(until([&] { return router_->load().read(0).waiting == 6.0F; }));
  {
    const fleet::InFlightShare share(router_->inflight(), endpoint("a").ref, 300);
    const Page page = get("/metrics?name=x");
    EXPECT_EQ(page.status, 200);
    for (const char* line : {"fairlead_endpoint_up{endpoint=\"a\"} 1\n",
                             "fairlead_endpoint_waiting{endpoint=\"a\"} 6\n",
                             "fairlead_endpoint_running{endpoint=\"a\"} 2\n",
                             "fairlead_endpoint_kv_usage{endpoint=\"a\"} 0.5\n",
                             "fairlead_endpoint_slowness{endpoint=\"a\"} 1\n",
                             "fairlead_endpoint_inflight_requests{endpoint=\"a\"} 1\n",
                             "fairlead_endpoint_inflight_uncached_tokens{endpoint=\"a\"} 300\n"}) {
      EXPECT_NE(page.body.find(line), std::string::npos) << line << page.body;
    }
  }
  EXPECT_NE(get("/metrics").body.find("inflight_requests{endpoint=\"a\"} 0\n"), std::string::npos);
}

TEST_F(AdminServerTest, TheExpositionPassesPromtool) {
  auto& engine = add_engine();
  start_admin(endpoints({{"a\\\"b", &engine}, {"c", &add_engine()}}, "  "));
  ASSERT_TRUE(until([&] { return control_->ready(); }));
  const std::string text = get("/metrics").body;
  std::set<std::string> series;
  std::istringstream lines(text);
  for (std::string line; std::getline(lines, line);) {
    if (line.starts_with('#')) continue;
    EXPECT_TRUE(series.insert(line.substr(0, line.rfind(' '))).second) << "twice: " << line;
  }
  if (std::system("promtool --version >/dev/null 2>&1") != 0) {
    const char* required = std::getenv("REQUIRE_PEERS");
    ASSERT_FALSE(required != nullptr && std::string_view(required) == "1")
        << "promtool is missing; install the package prometheus";
    GTEST_SKIP() << "promtool is not installed";
  }
  folder_.write("metrics.txt", text);
  const std::string command = "promtool check metrics < " + folder_.file("metrics.txt") + " 2>&1";
  FILE* const pipe = ::popen(command.c_str(), "r");
  ASSERT_NE(pipe, nullptr);
  std::string findings;
  char piece[1024];
  while (std::fgets(piece, sizeof piece, pipe) != nullptr) findings += piece;
  EXPECT_EQ(::pclose(pipe), 0) << findings << text;
  EXPECT_EQ(findings, "");
}

TEST_F(AdminServerTest, TheFleetTableIsJsonOfThePublishedPool) {
  auto& engine = add_engine();
  engine.set_load(6, 2, 0.5);
  start_admin("  endpoints: [{name: 'a\"b', address: \"127.0.0.1:" + std::to_string(engine.port()) +
              "\", labels: {zone: x}}]\n");
  ASSERT_TRUE(until([&] { return control_->ready(); }));
  ASSERT_TRUE(until([&] { return router_->load().read(0).waiting == 6.0F; }));
  const fleet::InFlightShare share(router_->inflight(), {0, 0}, 300);
  const Page page = get("/debug/endpoints");
  EXPECT_EQ(page.status, 200);
  const std::string expected =
      "{\"version\":" + std::to_string(router_->pool().load()->version) +
      R"(,"endpoints":[{"name":"a\"b","host":"127.0.0.1","address":"127.0.0.1","port":)" +
      std::to_string(engine.port()) +
      R"(,"slot":0,"generation":0,"health":"healthy","admit_share":1,"inflight_requests":1,)"
      R"("inflight_uncached_tokens":300,"inflight_unstarted":1,"waiting":6,"running":2,)"
      R"("kv_usage":0.5,"ejections":0,"failed_requests":0,"trouble":"","models":["m"],)"
      R"("labels":{"zone":"x"}}]})"
      "\n";
  EXPECT_EQ(page.body, expected);
}

TEST_F(AdminServerTest, TheConfigurationPageReadsBackAsTheSameSettings) {
  auto& engine = add_engine();
  start_admin(endpoints({{"a", &engine}}, "  "));
  const Page page = get("/debug/config");
  EXPECT_EQ(page.status, 200);
  config::Problems problems;
  const auto again = router::build_generation(page.body, "page", "", problems);
  ASSERT_NE(again, nullptr) << problems.to_string() << page.body;
  EXPECT_EQ(again->settings, router_->generation().load()->settings);
}

TEST_F(AdminServerTest, OtherPathsAndMethodsAreRefused) {
  start_admin("  endpoints: []\n");
  EXPECT_EQ(get("/nothing.js").status, 404);
  EXPECT_EQ(get("/metricsx").status, 404);
  const std::string posted = send(
      "POST /metrics HTTP/1.1\r\nHost: localhost\r\nContent-Length: 2\r\nConnection: "
      "close\r\n\r\nhi");
  EXPECT_TRUE(posted.starts_with("HTTP/1.1 405 ")) << posted;
  EXPECT_NE(posted.find("allow: GET, HEAD\r\n"), std::string::npos) << posted;
  const std::string head =
      send("HEAD /healthz HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n");
  EXPECT_TRUE(head.starts_with("HTTP/1.1 200 ")) << head;
  EXPECT_TRUE(head.ends_with("\r\n\r\n")) << head;
}

TEST_F(AdminServerTest, AnAddressInUseIsNamed) {
  start_admin("  endpoints: []\n");
  AdminServer second(*router_, *control_);
  const auto listening = second.listen({"127.0.0.1", admin_->port()});
  ASSERT_FALSE(listening.has_value());
  EXPECT_NE(listening.error().message.find("gateway.adminListen"), std::string::npos);
  EXPECT_NE(listening.error().message.find(std::to_string(admin_->port())), std::string::npos);
}

TEST_F(AdminServerTest, PagesAreServedByTheControlThread) {
  auto& engine = add_engine();
  start_admin(endpoints({{"a", &engine}}, "  "));
  control_->start();
  const auto engines_until = [&](const Effect& effect) {
    return net::testing::run_until(*engine_loop_, effect);
  };
  ASSERT_TRUE(engines_until([&] { return control_->ready(); }));
  for (const char* target :
       {"/", "/metrics", "/readyz", "/debug/state", "/debug/endpoints", "/debug/config"}) {
    EXPECT_EQ(get(target, engines_until).status, 200) << target;
  }
  admin_->set_draining();
  control_->stop();
}

TEST_F(AdminServerTest, ThePageLoadsNothingFromElsewhereAndForbidsScriptsInLine) {
  start_admin("  endpoints: []\n");
  const std::string page = send("GET / HTTP/1.1\r\nHost: [::1]:9\r\nConnection: close\r\n\r\n");
  EXPECT_TRUE(page.starts_with("HTTP/1.1 200 ")) << page;
  for (const char* header :
       {"content-type: text/html; charset=utf-8\r\n", "x-content-type-options: nosniff\r\n",
        "default-src 'none'; script-src 'self'", "frame-ancestors 'none'"}) {
    EXPECT_NE(page.find(header), std::string::npos) << header;
  }
  for (const WebFile& file : web_files()) {
    EXPECT_EQ(get("/" + std::string(file.name)).body, file.bytes);
    for (const char* bad : {"innerHTML", "http://", "https://", "eval(", " onclick", " style="}) {
      std::string text(file.bytes);
      constexpr std::string_view kNamespace = "http://www.w3.org/2000/svg";
      while (has(text, kNamespace)) text.erase(text.find(kNamespace), kNamespace.size());
      EXPECT_FALSE(has(text, bad)) << file.name << ": " << bad;
    }
  }
}

TEST_F(AdminServerTest, OtherWebPagesAndOtherNamesAreRefused) {
  start_admin("  endpoints: []\n");
  const auto status = [&](const std::string& headers) {
    return send("GET /debug/config HTTP/1.1\r\n" + headers + "Connection: close\r\n\r\n")
        .substr(9, 3);
  };
  EXPECT_EQ(status("Host: evil.example\r\n"), "403");
  EXPECT_EQ(status("Host: evil.example:9090\r\n"), "403");
  EXPECT_EQ(status("Host: localhost.evil.example\r\n"), "403");
  EXPECT_EQ(status("Host: localhost:9090\r\nOrigin: http://evil.example\r\n"), "403");
  EXPECT_EQ(status("Host: localhost:9090\r\nOrigin: null\r\n"), "403");
  EXPECT_EQ(status("Host: localhost:9090\r\nSec-Fetch-Site: cross-site\r\n"), "403");
  EXPECT_EQ(status("Host: localhost:9090\r\nOrigin: http://localhost:9090\r\n"), "200");
  EXPECT_EQ(status("Host: 127.0.0.1:9090\r\n"), "200");
  EXPECT_EQ(status("Host: [::1]\r\n"), "200");
}

// A worker's picker over the fixture's fleet.
class ExplainTest : public AdminServerTest {
 protected:
  void start_explained() {
    start_admin(endpoints({{"a", &add_engine()}, {"b<i>", &add_engine()}}, "  "));
    ASSERT_TRUE(until_health("a", Health::kHealthy) && until_health("b<i>", Health::kHealthy));
    ASSERT_TRUE(until([&] { return !endpoint("b<i>").models.empty(); }));
    picker_.emplace(router_->make_picker(0));
  }
  model::EndpointRef place(std::string_view id) {
    const auto generation = router_->generation().load();
    model::InferenceRequest request;
    request.id = id;
    request.model = "m";
    request.prompt_tokens = 100;
    picker::Outbox outbox;
    const auto placed = picker_->on_request(request, *router_->pool().load(), generation->profile,
                                            control_->loop().now(), outbox);
    ids_.push_back(placed);
    return outbox.at(0).endpoint;
  }
  std::string name_of(model::EndpointRef ref) {
    return router_->pool().load()->find(ref.slot)->name;
  }
  std::string post(std::string_view target, std::string_view body) {
    return send("POST " + std::string(target) +
                " HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\nContent-Length: " +
                std::to_string(body.size()) + "\r\n\r\n" + std::string(body));
  }
  ~ExplainTest() override {
    for (const picker::RequestId id : ids_) {
      picker_->on_end(id, model::Outcome::kCompleted, control_->loop().now());
    }
    picker_.reset();
  }

  std::optional<picker::Picker> picker_;
  std::vector<picker::RequestId> ids_;
};

TEST_F(ExplainTest, ADecisionIsToldTermByTermAsJsonAndAsATable) {
  start_explained();
  place("first");
  const std::string chosen = name_of(place("what/ever?&"));
  const Page json = get("/debug/explain?request_id=what%2Fever%3F%26");
  EXPECT_EQ(json.status, 200);
  for (const std::string& part :
       {std::string(R"("request_id":"what/ever?&")"), R"("chosen":")" + chosen + "\"",
        std::string(R"("lower_wins":true)"), std::string(R"("doubt":"")"),
        std::string(R"("terms":[{"name":"externality-cost-scorer","weight":1})"),
        std::string(R"("terms":[125,0],"total":125)")}) {
    EXPECT_TRUE(has(json.body, part)) << part << "\n" << json.body;
  }
  const Page text = get("/debug/explain?request_id=first&format=text");
  EXPECT_TRUE(has(text.body, "request first, try 1, ")) << text.body;
  EXPECT_TRUE(has(text.body, "costs in prompt tokens, the lowest wins")) << text.body;
  EXPECT_TRUE(has(text.body, "externality-cost-scorer x1")) << text.body;
  EXPECT_TRUE(has(text.body, "\n*  ")) << text.body;
}

TEST_F(ExplainTest, AnUnknownRequestSaysHowManyDecisionsAreKept) {
  start_explained();
  place("first");
  const Page page = get("/debug/explain?request_id=none&format=text");
  EXPECT_EQ(page.status, 404);
  EXPECT_EQ(page.body,
            "no decision of request none is kept: the last 1 are, at most 256 a worker\n");
  EXPECT_EQ(get("/debug/explain").status, 400);
}

TEST_F(ExplainTest, ADryRunTakesNothingAndRecordsNothing) {
  start_explained();
  const std::string told =
      post("/debug/explain", R"({"model":"m","messages":[{"role":"user","content":"a secret"}]})");
  EXPECT_TRUE(has(told, "HTTP/1.1 200 ")) << told;
  EXPECT_TRUE(has(told, R"("request_id":"")")) << told;
  EXPECT_TRUE(has(told, R"("chosen":")")) << told;
  EXPECT_FALSE(has(told, "secret")) << "prompts never leave";
  EXPECT_EQ(router_->inflight().total().requests, 0);
  EXPECT_EQ(router_->decisions().kept(), 0U);
  EXPECT_TRUE(has(post("/debug/explain?format=text", R"({"model":"no","messages":[]})"),
                  "would go nowhere: unknown_model"));
  EXPECT_TRUE(has(post("/debug/explain", "{"), "HTTP/1.1 400 "));
  EXPECT_TRUE(has(post("/debug/explain?path=/v1/models", "{}"), "HTTP/1.1 400 "));
  EXPECT_TRUE(
      has(post("/debug/explain?path=/v1/completions&format=text", R"({"model":"m","prompt":"Hi"})"),
          "would go to "));
}

TEST_F(ExplainTest, WhatLeftAndWhatWasReplacedIsSaid) {
  start_explained();
  place("old");
  // Another policy is in force, and the old one is gone.
  router::PastDecision past = router_->decisions().find("old").at(0);
  const scheduling::Profile other;
  past.profile = &other;
  past.endpoints.at(0) = {99, 0};
  Explainer explainer(*router_, *control_);
  const DecisionReport report = explainer.explain(past, 1);
  EXPECT_TRUE(has(report.doubt, "replaced")) << report.doubt;
  EXPECT_EQ(report.rows.size(), 1U);
  EXPECT_EQ(report.rows_left_out, 1U);
  past = router_->decisions().find("old").at(0);
  past.decision.total += 1;
  EXPECT_TRUE(has(explainer.explain(past, 8).doubt, "changed since"));
}

TEST_F(ExplainTest, TheStateSaysWhichEnginesAreSetUpOtherwise) {
  start_explained();
  EXPECT_TRUE(has(get("/debug/state").body, "\"misconfigurations\":[]"));
  const auto pool = router_->pool().load();
  router_->audits().set(pool->endpoints.at(0).ref, router::EngineCheck::kHashes, "another seed");
  ASSERT_TRUE(until([&] {
    return has(get("/debug/state").body,
               R"("misconfigurations":[{"endpoint":"a","check":"hashes","text":"another seed"}])");
  }));
  // In the log, among the events and in the figures.
  ASSERT_TRUE(until([&] { return has(get("/debug/state").body, "endpoint a: another seed"); }));
  EXPECT_TRUE(has(get("/metrics").body, "fairlead_engine_misconfigurations{check=\"hashes\"} 1"));
}

TEST_F(ExplainTest, TheStateHoldsTheVeryTextOfMetricsAndTheEvents) {
  start_explained();
  place("first");
  const std::string state = get("/debug/state").body;
  for (const char* part : {"\"policy\":\"fairlead\"", "\"not_ready\":\"\"",
                           "\"health\":\"healthy\"", "\"request_id\":\"first\"",
                           "endpoint a: healthy", "fairlead_endpoint_up{endpoint=\\\"a\\\"} 1\\n",
                           "fairlead_endpoint_inflight_requests{endpoint=\\\"a\\\"} "}) {
    EXPECT_TRUE(has(state, part)) << part << "\n" << state;
  }
  EXPECT_TRUE(has(get("/debug/decisions").body, "\"request_id\":\"first\""));
}

}  // namespace
}  // namespace fairlead::admin
