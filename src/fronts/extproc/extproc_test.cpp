// SPDX-License-Identifier: Apache-2.0
// The front behind a scripted Envoy: decisions, accounting, metrics, failures, reload, drain. What
// Envoy is told byte by byte is tested in core/exchange.
#include <gtest/gtest.h>

#include <atomic>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "fronts/extproc/extproc.h"
#include "fronts/extproc/health_server.h"
#include "fronts/extproc/pool_metrics.h"
#include "fronts/extproc/testing/envoy_fixture.h"

namespace fairlead::extproc {
namespace {

constexpr std::string_view kThreeChoices =
    "apiVersion: llm-d.ai/v1alpha1\nkind: EndpointPickerConfig\nplugins:\n"
    "- {type: active-request-scorer}\n- {type: max-score-picker, parameters: {maxNumOfEndpoints: "
    "3}}\n";

const std::string kLabels =
    "{model_name=\"m\",target_model_name=\"m\",fairness_id=\"default-flow\",priority=\"0\"}";

TEST_F(ExtProcTest, ARequestIsPlacedWatchedAndAccountedFor) {
  start();
  const std::int32_t stream = ask(chat_body("hello", R"(,"stream":true)"));
  ASSERT_TRUE(until_replies(stream, 2));
  EXPECT_EQ(told(stream).substr(0, 7), "10.0.0.");
  EXPECT_EQ(router_->inflight().total().requests, 1);
  EXPECT_GT(router_->inflight().total().uncached_tokens, 0);
  EXPECT_EQ(metric("llm_d_epp_request_running" + kLabels), 1);
  EXPECT_EQ(metric("fairlead_extproc_streams"), 1);
  std::string body;
  for (const EnvoyReply& reply : replies(stream)) {
    if (reply.kind == ReplyKind::kBody) body += reply.body;
  }
  EXPECT_EQ(body, chat_body("hello", R"(,"stream":true)"));

  answer_head(stream, "200");
  answer_piece(stream, "data: {\"choices\":[{\"delta\":{\"content\":\"Hi\"}}]}\n\n");
  ASSERT_TRUE(until([&] { return router_->inflight().total().unstarted == 0; }));
  EXPECT_EQ(router_->inflight().total().uncached_tokens, 0) << "prefill is over";
  EXPECT_EQ(router_->inflight().total().requests, 1);
  answer_piece(stream,
               "data: {\"choices\":[],\"usage\":{\"prompt_tokens\":7,\"completion_tokens\":2,"
               "\"total_tokens\":9,\"prompt_tokens_details\":{\"cached_tokens\":3}}}\n\n",
               true);
  client_->append(stream, {}, true);
  ASSERT_TRUE(until([&] { return closed(stream); }));
  EXPECT_EQ(router_->inflight().total().requests, 0);
  EXPECT_EQ(metric("llm_d_epp_request_total" + kLabels), 1);
  EXPECT_EQ(metric("llm_d_epp_request_running" + kLabels), 0);
  EXPECT_EQ(metric("inference_objective_running_requests{model_name=\"m\"}"), 0);
  EXPECT_EQ(metric("llm_d_epp_request_input_tokens_sum" + kLabels), 7);
  EXPECT_EQ(metric("llm_d_epp_request_output_tokens_sum" + kLabels), 2);
  EXPECT_EQ(metric("llm_d_epp_request_cached_tokens_sum" + kLabels), 3);
  EXPECT_EQ(metric("inference_objective_prompt_cached_tokens_sum{model_name=\"m\","
                   "target_model_name=\"m\"}"),
            3);
  EXPECT_EQ(metric("llm_d_epp_request_duration_seconds_count" + kLabels), 1);
  EXPECT_EQ(metric("fairlead_requests_total{route=\"chat_completions\",code=\"200\","
                   "outcome=\"completed\"}"),
            1);
  EXPECT_EQ(metric("fairlead_time_to_first_token_seconds_count{stream=\"true\"}"), 1);
  EXPECT_EQ(metric("fairlead_usage_tokens_total{kind=\"cached\"}"), 3);
  EXPECT_EQ(metric("llm_d_epp_extproc_streams_total{code=\"OK\"}"), 1);
  const std::string endpoint = fmt::format("engine-{}", told(stream)[7] - '1');
  EXPECT_EQ(metric("llm_d_epp_scheduler_attempts_total{status=\"success\",target_model_name=\"m\","
                   "endpoint_name=\"" +
                   endpoint + "\",namespace=\"default\",port=\"8000\"}"),
            1);
  EXPECT_EQ(metric("inference_extension_scheduler_e2e_duration_seconds_count"), 1);
  EXPECT_EQ(metric("inference_extension_prefix_indexer_hit_ratio_count"), 1);
}

TEST_F(ExtProcTest, AFallBackOfEnvoyTakesTheShareOver) {
  start(kThreeChoices);
  const std::int32_t stream = ask(chat_body());
  const std::string list = told(stream);
  ASSERT_EQ(list.size(), std::string("10.0.0.1:8000,10.0.0.2:8000,10.0.0.3:8000").size()) << list;
  const std::string last = list.substr(list.rfind(',') + 1);
  const auto slot = static_cast<std::uint32_t>(last[7] - '1');
  EXPECT_EQ(router_->inflight().read(slot).requests, 0);
  answer_head(stream, "200", last);
  ASSERT_TRUE(until([&] { return router_->inflight().read(slot).requests == 1; }));
  EXPECT_EQ(router_->inflight().total().requests, 1);
  EXPECT_EQ(metric("fairlead_extproc_rebinds_total"), 1);
  answer_piece(stream, "data: [DONE]\n\n", true);
  client_->append(stream, {}, true);
  ASSERT_TRUE(until([&] { return closed(stream); }));
  // A report of somebody who is not in the pool changes nothing.
  const std::int32_t next = ask(chat_body());
  answer_head(next, "200", "192.0.2.1:80");
  ASSERT_TRUE(until([&] { return metric("fairlead_extproc_unknown_servers_total") == 1; }));
  EXPECT_EQ(router_->inflight().total().requests, 1);
  answer_piece(next, "", true);
  client_->append(next, {}, true);
  ASSERT_TRUE(until([&] { return closed(next); }));
}

TEST_F(ExtProcTest, WithoutAnEndpointTheClientIsToldWhatToDo) {
  start("", 0);
  const std::int32_t stream = ask(chat_body());
  const auto all = replies(stream);
  ASSERT_EQ(all.size(), 1U);
  EXPECT_EQ(all[0].status, 503);
  EXPECT_EQ(all[0].header("x-llm-d-request-dropped-reason"), "rejected-no-endpoints");
  EXPECT_EQ(all[0].header("retry-after"), "1");
  EXPECT_NE(all[0].body.find("\"error\""), std::string::npos);
  EXPECT_EQ(
      metric("llm_d_epp_request_error_total{model_name=\"m\",target_model_name=\"m\","
             "fairness_id=\"default-flow\",priority=\"0\",error_code=\"ServiceUnavailable\"}"),
      1);
  EXPECT_EQ(metric("fairlead_replies_total{reason=\"no_endpoint\"}"), 1);
  EXPECT_EQ(metric("llm_d_epp_scheduler_attempts_total{status=\"failure\",target_model_name=\"m\","
                   "endpoint_name=\"\",namespace=\"\",port=\"\"}"),
            1);
}

TEST_F(ExtProcTest, WhatIsRefusedBeforeItsDecisionIsCountedToo) {
  start("epp: {requestBytesMax: 1Ki}");
  EXPECT_EQ(told(ask(R"({"model":)")), "400");
  EXPECT_EQ(told(ask(chat_body(std::string(2000, 'x')))), "413");
  EXPECT_EQ(metric("fairlead_requests_total{route=\"chat_completions\",code=\"400\","
                   "outcome=\"rejected\"}"),
            1);
  EXPECT_EQ(metric("fairlead_replies_total{reason=\"bad_request\"}"), 1);
  EXPECT_EQ(metric("fairlead_replies_total{reason=\"too_large\"}"), 1);
  EXPECT_EQ(metric("llm_d_epp_request_error_total{model_name=\"\",target_model_name=\"\","
                   "fairness_id=\"default-flow\",priority=\"0\",error_code=\"BadRequest\"}"),
            2);
}

TEST_F(ExtProcTest, AClientThatLeavesGivesBackItsShare) {
  start();
  const std::int32_t undecided = open();
  send(undecided, head());
  send(undecided, {.phase = ProcessingPhase::kRequestBody, .body = "{\"model\":"});
  const std::int32_t decided = ask(chat_body());
  EXPECT_EQ(router_->inflight().total().requests, 1);
  const std::int32_t answered = ask(chat_body());
  answer_head(answered, "200");
  answer_piece(answered, "data: {}\n\n");
  ASSERT_TRUE(until_replies(answered, 4));
  for (const std::int32_t stream : {undecided, decided, answered}) client_->reset(stream);
  ASSERT_TRUE(until([&] { return worker_->streams_running() == 0; }));
  EXPECT_EQ(router_->inflight().total().requests, 0);
  EXPECT_EQ(metric("fairlead_client_disconnects_total"), 3);
  EXPECT_EQ(metric("fairlead_grpc_calls_gone_total{how=\"reset\"}"), 3);
  EXPECT_EQ(metric("llm_d_epp_request_running" + kLabels), 0);
}

TEST_F(ExtProcTest, ASubsetHintIsHonouredToThePort) {
  start();
  for (int i = 0; i < 6; ++i) {
    const std::int32_t stream =
        ask(chat_body(), {}, envoy::subset_metadata({"10.0.0.2:8000", "10.0.0.3:9999"}));
    EXPECT_EQ(told(stream), "10.0.0.2:8000");
    finish(stream);
  }
  EXPECT_EQ(told(ask(chat_body(), {}, envoy::subset_metadata({}))), "503");
}

TEST_F(ExtProcTest, ObjectivesAndFairnessIdsAreLabels) {
  start("epp: {objectives: {batch: -1}}");
  const std::int32_t stream = ask(chat_body(), {{"x-llm-d-inference-objective", "batch"},
                                                {"x-gateway-inference-fairness-id", "tenant-a"}});
  finish(stream);
  EXPECT_EQ(metric("llm_d_epp_request_total{model_name=\"m\",target_model_name=\"m\","
                   "fairness_id=\"tenant-a\",priority=\"-1\"}"),
            1);
}

TEST_F(ExtProcTest, AnEnginesErrorsCountAgainstIt) {
  start();
  const std::int32_t stream = ask(chat_body());
  const std::string endpoint = told(stream);
  answer_head(stream, "503", "", "application/json");
  answer_piece(stream, "{}", true);
  client_->append(stream, {}, true);
  ASSERT_TRUE(until([&] { return closed(stream); }));
  EXPECT_EQ(metric("fairlead_upstream_failures_total{kind=\"server_error\"}"), 1);
  EXPECT_EQ(metric("fairlead_requests_total{route=\"chat_completions\",code=\"503\","
                   "outcome=\"upstream_failed\"}"),
            1);
  EXPECT_EQ(metric("llm_d_epp_request_error_total{model_name=\"m\",target_model_name=\"m\","
                   "fairness_id=\"default-flow\",priority=\"0\",error_code=\"ModelServerError\"}"),
            1);
  for (int i = 0; i < 4; ++i) {
    const std::int32_t next = ask(chat_body("other"));
    EXPECT_NE(told(next), endpoint) << "avoided for a moment";
    client_->reset(next);
  }
}

TEST_F(ExtProcTest, WhatEnvoyMustNotSendEndsTheStreamAlone) {
  start();
  const std::int32_t good = ask(chat_body());
  const std::int32_t bad = open();
  send(bad, {.phase = ProcessingPhase::kRequestBody, .body = "x", .protocol = kFullDuplex});
  const std::int32_t garbage = open();
  client_->append(garbage, net::testing::grpc_framed("\xff\xff\xff"));
  ASSERT_TRUE(until([&] { return closed(bad) && closed(garbage); }));
  EXPECT_EQ(client_->answer(bad).headers["grpc-status"], "3");
  EXPECT_EQ(metric("fairlead_extproc_faults_total{kind=\"body_before_headers\"}"), 1);
  EXPECT_EQ(metric("fairlead_extproc_faults_total{kind=\"malformed\"}"), 1);
  finish(good);
  const std::int32_t unknown =
      client_->request(net::testing::grpc_head("/envoy.service.ext_proc.v3.X/Y"), {}, false);
  ASSERT_TRUE(until([&] { return closed(unknown); }));
  EXPECT_EQ(client_->answer(unknown).headers["grpc-status"], "12");
}

TEST_F(ExtProcTest, AStreamKeepsTheGenerationThatItBeganWith) {
  const std::string policy =
      "apiVersion: llm-d.ai/v1alpha1\nkind: EndpointPickerConfig\n"
      "plugins: [{type: queue-scorer}, {type: kv-cache-utilization-scorer}]\n";
  start(policy);
  const std::int32_t before = ask(chat_body());
  router_->generation().publish(build(policy + "epp: {responseProcessing: none}\n"));
  const std::int32_t after = ask(chat_body());
  ASSERT_TRUE(until([&] { return closed(after); })) << "ends with its request";
  EXPECT_EQ(client_->answer(after).headers["grpc-status"], "0");
  EXPECT_EQ(metric("fairlead_extproc_closed_early_total"), 1);
  // Nothing is known of its answer, and nothing is said of it.
  EXPECT_EQ(metric("fairlead_requests_total{route=\"chat_completions\",code=\"0\","
                   "outcome=\"handed_over\"}"),
            1);
  EXPECT_EQ(metric("llm_d_epp_request_duration_seconds_count" + kLabels), 0);
  std::vector<model::Observation> seen;
  router_->inbox().drain(seen);
  EXPECT_TRUE(seen.empty()) << "no success that nobody saw";
  EXPECT_FALSE(closed(before));
  finish(before);
}

TEST_F(ExtProcTest, ADrainLetsRunningStreamsEndAndCutsOffTheRest) {
  start("epp: {drainTimeout: 300ms}");
  const std::int32_t ends = ask(chat_body());
  const std::int32_t stays = ask(chat_body());
  bool drained = false;
  worker_->drain([&] { drained = true; });
  finish(ends);
  EXPECT_FALSE(drained);
  EXPECT_TRUE(client_->got_goaway());
  ASSERT_TRUE(until([&] { return closed(stays); }));
  EXPECT_EQ(client_->answer(stays).headers["grpc-status"], "14") << "UNAVAILABLE";
  ASSERT_TRUE(until([&] { return drained; }));
}

TEST_F(ExtProcTest, ModelNamesThatClientsMakeUpTakeABoundedNumberOfLabels) {
  LabelBudget models(2);
  LabelBudget fairness(2);
  MetricRegistry registry;
  EppMetrics metrics(registry, models, fairness);
  for (const std::string model : {"a", "b", "c", "d", "a"}) {
    metrics.cells({model, model, "f", 0}).on_begin(1);
  }
  const std::string text = registry.expose();
  const auto line = [](const std::string& model, int count) {
    return fmt::format(
        "llm_d_epp_request_total{{model_name=\"{0}\",target_model_name=\"{0}\","
        "fairness_id=\"f\",priority=\"0\"}} {1}\n",
        model, count);
  };
  EXPECT_NE(text.find(line("a", 2)), std::string::npos) << text;
  EXPECT_NE(text.find(line("b", 1)), std::string::npos);
  EXPECT_NE(text.find(line("other", 2)), std::string::npos);
  EXPECT_EQ(text.find("model_name=\"c\""), std::string::npos);
}

TEST_F(ExtProcTest, LabelsThatWouldSpoilThePageAreOthers) {
  LabelBudget budget(10);
  LabelValues values(budget);
  EXPECT_EQ(values.admit("tenant-a"), "tenant-a");
  EXPECT_EQ(values.admit(""), "");
  EXPECT_EQ(values.admit(std::string(kLabelBytesMax, 'x')).size(), kLabelBytesMax);
  EXPECT_EQ(values.admit(std::string(kLabelBytesMax + 1, 'x')), kOtherLabel);
  EXPECT_EQ(values.admit("\xff"), kOtherLabel) << "not UTF-8";
  EXPECT_EQ(values.admit("a\nb"), kOtherLabel);
  EXPECT_EQ(values.admit("\xc3\xa9"), "\xc3\xa9");
}

TEST_F(ExtProcTest, ModelsThatNobodyServesTakeNoLabels) {
  start();
  const std::int32_t stream =
      ask(R"({"model":"made-up","messages":[{"role":"user","content":"x"}]})");
  EXPECT_EQ(told(stream), "404");
  EXPECT_EQ(metric("llm_d_epp_request_error_total{model_name=\"other\",target_model_name=\"other\","
                   "fairness_id=\"default-flow\",priority=\"0\",error_code=\"NotFound\"}"),
            1);
}

TEST_F(ExtProcTest, ABodyOfTheLargestSizeComesBackWhole) {
  start("epp: {requestBytesMax: 2Mi}");
  const std::string body = chat_body(std::string((2 << 20) - 100, 'x'));
  const std::int32_t stream = open();
  send(stream, head());
  for (std::size_t at = 0; at < body.size(); at += 60'000) {
    send(stream, {.phase = ProcessingPhase::kRequestBody, .body = body.substr(at, 60'000)});
  }
  send(stream, {.phase = ProcessingPhase::kRequestBody, .end = true});
  ASSERT_TRUE(until(
      [&] { return closed(stream) || client_->answer(stream).body.size() > body.size() + 1000; }));
  std::string back;
  for (const EnvoyReply& reply : replies(stream)) {
    if (reply.kind == ReplyKind::kBody) back += reply.body;
  }
  EXPECT_TRUE(back == body);
  finish(stream);
}

// The front with its threads, as the program starts it.
// `make bench T=epp_streams` does the same with ten thousand.
TEST_F(ExtProcTest, HundredsOfStreamsAreHeldWithinTheirAnswersAndNoneIsLost) {
  constexpr int kStreams = 300;
  const std::string first = "data: {\"choices\":[{\"delta\":{\"content\":\"Hi\"}}]}\n\n";
  const std::string last = "data: [DONE]\n\n";
  start(fmt::format("epp: {{streamsMax: {}}}", kStreams));
  std::vector<std::int32_t> streams;
  for (int i = 0; i < kStreams; ++i) {
    streams.push_back(ask(chat_body(fmt::format("prompt {}", i), R"(,"stream":true)")));
    answer_head(streams.back(), "200");
    answer_piece(streams.back(), first);
  }
  ASSERT_TRUE(until([&] { return router_->inflight().total().unstarted == 0; }));
  EXPECT_EQ(metric("fairlead_extproc_streams"), kStreams);
  net::testing::Http2Client other(*loop_, listener_->local_address());
  auto& refused = other.wait(other.request(net::testing::grpc_head(kProcessPath), {}, false));
  EXPECT_EQ(refused.headers["grpc-status"], "8") << "RESOURCE_EXHAUSTED";
  EXPECT_EQ(metric("fairlead_grpc_refusals_total{kind=\"too_many_calls\"}"), 1);
  for (const std::int32_t stream : streams) {
    answer_piece(stream, last, true);
    client_->append(stream, {}, true);
  }
  for (const std::int32_t stream : streams) {
    ASSERT_TRUE(until([&] { return closed(stream); }));
    EXPECT_EQ(client_->answer(stream).headers["grpc-status"], "0");
    std::string answer;
    for (const EnvoyReply& reply : replies(stream)) {
      if (reply.side == codec::ProcessingSide::kResponse) answer += reply.body;
    }
    ASSERT_EQ(answer, first + last);
  }
  EXPECT_EQ(router_->inflight().total().requests, 0);
  finish(ask(chat_body()));
}

TEST_F(ExtProcTest, WorkersShareTheConnectionsOfABurstAndDrainTogether) {
  start();
  listener_.reset();
  client_.reset();
  ExtProc front(*router_, {});
  const config::HostPort anywhere{"127.0.0.1", 0};
  ASSERT_TRUE(front.start(std::span(&anywhere, 1), 3).has_value());
  std::vector<std::unique_ptr<net::testing::Http2Client>> clients;
  for (int i = 0; i < 9; ++i) {
    clients.push_back(std::make_unique<net::testing::Http2Client>(
        *loop_, net::SocketAddress::loopback(front.ports().front())));
  }
  const auto all_until = [&](const std::function<bool()>& condition) {
    return net::testing::run_until(*loop_, [&] {
      for (const auto& one : clients) one->pump();
      return condition();
    });
  };
  std::vector<std::int32_t> streams;
  for (const auto& one : clients) {
    const std::int32_t stream = one->request(net::testing::grpc_head(kProcessPath), {}, false);
    streams.push_back(stream);
    EnvoyMessage get = head();
    get.end = true;
    one->append(stream, net::testing::grpc_framed(envoy::encode(get)));
  }
  ASSERT_TRUE(all_until([&] {
    return std::ranges::all_of(clients, [&](const auto& one) {
      return !one->answer(streams[static_cast<std::size_t>(&one - clients.data())]).body.empty();
    });
  })) << "whoever the worker is";
  EXPECT_EQ(front.connections(), 9U);
  EXPECT_EQ(router_->inflight().total().requests, 9);
  std::atomic<bool> drained{false};
  front.drain([&] { drained = true; });
  ASSERT_TRUE(all_until([&] { return clients.front()->got_goaway(); }));
  clients.clear();
  ASSERT_TRUE(net::testing::run_until(*loop_, [&] { return drained.load(); }));
  front.stop();
  EXPECT_EQ(router_->inflight().total().requests, 0);
}

TEST_F(ExtProcTest, AnAddressInUseStartsNothing) {
  start();
  ExtProc front(*router_, {});
  const config::HostPort taken{"127.0.0.1", listener_->local_address().port()};
  const auto started = front.start(std::span(&taken, 1), 2);
  ASSERT_FALSE(started.has_value());
  EXPECT_NE(started.error().message.find("epp.listen"), std::string::npos);
  EXPECT_TRUE(front.ports().empty());
}

TEST_F(ExtProcTest, HealthIsToldUntilTheEndIsAnnounced) {
  const auto generation = build("");
  // Nobody answers there.
  auto settings = std::make_shared<router::Generation>();
  settings->settings = generation->settings;
  settings->settings.fleet.endpoints[0].address = {"127.0.0.1", 1};
  router::Router router(settings, 1, log_, registry_);
  auto control = router::Control::create(router);
  ASSERT_TRUE(control.has_value()) << control.error().message;
  HealthServer health(**control, registry_);
  const config::HostPort anywhere{"127.0.0.1", 0};
  ASSERT_TRUE(health.listen(std::span(&anywhere, 1)).has_value());
  net::EventLoop& loop = (*control)->loop();
  net::testing::Http2Client client(loop, net::SocketAddress::loopback(health.port()));
  const auto check = [&](std::string_view service) {
    std::string request;
    if (!service.empty()) {
      request = "\x0a";
      request += static_cast<char>(service.size());
      request += service;
    }
    const std::int32_t id = client.request(net::testing::grpc_head("/grpc.health.v1.Health/Check"),
                                           net::testing::grpc_framed(request));
    client.wait(id);
    return client.answer(id).body.substr(net::testing::grpc_framed("").size());
  };
  const std::string serving = "\x08\x01";
  const std::string not_serving = "\x08\x02";
  EXPECT_EQ(check("liveness"), serving);
  EXPECT_EQ(check(""), not_serving) << "the pool is not known yet";
  ASSERT_TRUE(client.run_until([&] { return check("readiness") == serving; }))
      << "known after kPoolGrace, though nobody answers";
  EXPECT_EQ(check("inference-extension"), serving) << "a name that nobody knows";
  health.announce_end();
  EXPECT_EQ(check("envoy.service.ext_proc.v3.ExternalProcessor"), not_serving);
  EXPECT_EQ(check("liveness"), serving);
}

TEST_F(ExtProcTest, PoolFiguresAreOfFreshEndpointsAndEndWithTheirs) {
  start();
  PoolMetrics pool(*router_, "p");
  const Time now{std::chrono::seconds(100)};
  router_->load().write(0, {.waiting = 4, .running = 2, .kv_usage = 0.5F, .scraped_at = now});
  router_->load().write(1, {.waiting = 0, .running = 2, .kv_usage = 0.25F, .scraped_at = now});
  router_->load().write(
      2, {.waiting = 99, .running = 9, .kv_usage = 1, .scraped_at = now - std::chrono::seconds(9)});
  pool.refresh(now, std::chrono::seconds(2), {});
  EXPECT_EQ(metric("llm_d_epp_average_queue_size{name=\"p\"}"), 2);
  EXPECT_EQ(metric("llm_d_epp_std_dev_queue_size{name=\"p\"}"), 2);
  EXPECT_EQ(metric("inference_pool_average_kv_cache_utilization{name=\"p\"}"), 0.375);
  EXPECT_EQ(metric("llm_d_epp_std_dev_running_requests{name=\"p\"}"), 0);
  EXPECT_EQ(metric("inference_pool_ready_pods{name=\"p\"}"), 3);
  EXPECT_EQ(metric("inference_pool_per_pod_queue_size{name=\"p\",model_server_pod=\"engine-2\"}"),
            99);
  publish(2);
  pool.refresh(now, std::chrono::seconds(2), {});
  EXPECT_EQ(metric("llm_d_epp_ready_endpoints{name=\"p\"}"), 2);
  EXPECT_EQ(metric("inference_pool_per_pod_queue_size{name=\"p\",model_server_pod=\"engine-2\"}"),
            -1);
}

}  // namespace
}  // namespace fairlead::extproc
