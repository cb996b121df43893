// SPDX-License-Identifier: Apache-2.0
// The key lists are those of answers captured from vLLM 0.32.
#include <gtest/gtest.h>

#include "core/codec/json_text.h"
#include "core/codec/sse_scanner.h"
#include "core/codec/vllm_metrics.h"
#include "lab/engine/testing/engine_fixture.h"

namespace fairlead::engine {
namespace {

using Names = std::vector<std::string>;

class EngineWire : public EngineFixture {};

TEST_F(EngineWire, ChatAnswerHasTheKeysOfVllm) {
  start();
  const Json answer = json(chat(R"("max_tokens":6)"));
  EXPECT_EQ(keys(answer),
            (Names{"id", "object", "created", "model", "choices", "service_tier",
                   "system_fingerprint", "usage", "prompt_logprobs", "prompt_token_ids",
                   "prompt_text", "kv_transfer_params", "ec_transfer_params", "metrics"}));
  const Json& choice = answer["choices"][0];
  EXPECT_EQ(keys(choice), (Names{"index", "message", "logprobs", "finish_reason", "stop_reason",
                                 "token_ids", "routed_experts"}));
  EXPECT_EQ(keys(choice["message"]), (Names{"role", "content", "refusal", "annotations", "audio",
                                            "function_call", "reasoning"}));
  EXPECT_EQ(keys(answer["usage"]), (Names{"prompt_tokens", "total_tokens", "completion_tokens",
                                          "prompt_tokens_details", "completion_tokens_details"}));
  EXPECT_EQ(keys(answer["usage"]["prompt_tokens_details"]),
            (Names{"cached_tokens", "created_cache_tokens", "multimodal_tokens"}));
  EXPECT_EQ(answer["object"], "chat.completion");
  EXPECT_EQ(answer["model"], "tiny");
  EXPECT_EQ(choice["finish_reason"], "length");
  EXPECT_EQ(choice["message"]["content"].get<std::string>().size(), 24U);
  // Role, 15 bytes, end, role.
  EXPECT_EQ(answer["usage"]["prompt_tokens"], 7);
  EXPECT_EQ(answer["usage"]["total_tokens"], 13);
}

TEST_F(EngineWire, CompletionAnswerHasTheKeysOfVllm) {
  start();
  const Json answer = json(complete(R"("prompt":"import os","max_tokens":6)"));
  EXPECT_EQ(keys(answer), (Names{"id", "object", "created", "model", "choices", "service_tier",
                                 "system_fingerprint", "usage", "kv_transfer_params",
                                 "ec_transfer_params", "metrics"}));
  EXPECT_EQ(keys(answer["choices"][0]),
            (Names{"index", "text", "logprobs", "finish_reason", "stop_reason", "token_ids",
                   "prompt_logprobs", "prompt_token_ids", "routed_experts"}));
  EXPECT_EQ(answer["usage"]["prompt_tokens"], 3);
}

TEST_F(EngineWire, ChatStreamHasTheEventsOfVllm) {
  start();
  const ClientReply reply = chat(R"("max_tokens":6,"stream":true)");
  EXPECT_NE(reply.head.find("content-type: text/event-stream; charset=utf-8\n"), std::string::npos);
  EXPECT_NE(reply.head.find("transfer-encoding: chunked\n"), std::string::npos);
  const auto events = reply.events();
  ASSERT_EQ(events.size(), 8U) << reply.body;  // Role, 6 tokens, [DONE].
  EXPECT_EQ(reply.pieces, 8U);                 // A chunk each.
  const Json first = Json::parse(events[0]);
  EXPECT_EQ(keys(first), (Names{"id", "object", "created", "model", "choices", "prompt_token_ids",
                                "prompt_text"}));
  EXPECT_EQ(first["choices"][0].dump(), R"({"index":0,"delta":{"role":"assistant","content":""},)"
                                        R"("logprobs":null,"finish_reason":null})");
  const Json second = Json::parse(events[1]);
  EXPECT_EQ(keys(second), (Names{"id", "object", "created", "model", "choices"}));
  EXPECT_EQ(keys(second["choices"][0]),
            (Names{"index", "delta", "logprobs", "finish_reason", "token_ids"}));
  const Json last = Json::parse(events[6]);
  EXPECT_EQ(keys(last),
            (Names{"id", "object", "created", "model", "choices", "system_fingerprint"}));
  EXPECT_EQ(keys(last["choices"][0]),
            (Names{"index", "delta", "logprobs", "finish_reason", "stop_reason", "token_ids"}));
  EXPECT_EQ(last["choices"][0]["finish_reason"], "length");
  EXPECT_EQ(events[7], "[DONE]");
}

TEST_F(EngineWire, UsageEventsComeOnlyWhenAskedFor) {
  start();
  const auto usage =
      chat(R"("max_tokens":3,"stream":true,"stream_options":{"include_usage":true})");
  auto events = usage.events();
  ASSERT_EQ(events.size(), 6U);
  EXPECT_EQ(keys(Json::parse(events[3])), (Names{"id", "object", "created", "model", "choices"}));
  const Json last = Json::parse(events[4]);
  EXPECT_EQ(keys(last),
            (Names{"id", "object", "created", "model", "choices", "usage", "system_fingerprint"}));
  EXPECT_TRUE(last["choices"].empty());
  EXPECT_EQ(keys(last["usage"]["prompt_tokens_details"]),
            (Names{"cached_tokens", "created_cache_tokens"}));

  const auto reply =
      complete(R"("prompt":"import os","max_tokens":3,"stream":true,)"
               R"("stream_options":{"include_usage":true,"continuous_usage_stats":true})");
  events = reply.events();
  ASSERT_EQ(events.size(), 5U);
  EXPECT_EQ(Json::parse(events[1])["usage"].dump(),
            R"({"prompt_tokens":3,"total_tokens":5,"completion_tokens":2})");
  codec::SseScanner scanner;
  scanner.feed(reply.body);
  EXPECT_TRUE(scanner.facts().done);
  EXPECT_EQ(scanner.facts().usage->completion_tokens, 3U);
  EXPECT_EQ(scanner.facts().usage->cached_tokens, 0U);
}

TEST_F(EngineWire, StreamIntervalGathersTokensButNotTheFirst) {
  options_.stream_interval = 4;
  start();
  const auto events = complete(R"("prompt":"a","max_tokens":10,"stream":true)").events();
  ASSERT_EQ(events.size(), 5U);
  Names texts;
  for (std::size_t i = 0; i < 4; ++i) {
    texts.push_back(Json::parse(events[i])["choices"][0]["text"].get<std::string>());
  }
  EXPECT_EQ(texts[0].size(), 4U);
  EXPECT_EQ(texts[1].size(), 16U);
  EXPECT_EQ(texts[2].size(), 16U);
  EXPECT_EQ(texts[3].size(), 4U);
  EXPECT_EQ(
      texts[0] + texts[1] + texts[2] + texts[3],
      json(complete(R"("prompt":"a","max_tokens":10)"))["choices"][0]["text"].get<std::string>());
}

TEST_F(EngineWire, EveryPromptAndEveryNGivesAChoice) {
  start();
  const Json texts = json(complete(R"("prompt":["abcd","abcdefgh"],"n":2,"max_tokens":2)"));
  ASSERT_EQ(texts["choices"].size(), 4U);
  EXPECT_EQ(texts["choices"][3]["index"], 3);
  EXPECT_EQ(texts["usage"]["prompt_tokens"], 3);
  EXPECT_EQ(texts["usage"]["completion_tokens"], 8);
  EXPECT_NE(texts["choices"][0]["text"], texts["choices"][1]["text"]);
  EXPECT_EQ(json(complete(R"("prompt":[5,7360,28,462],"max_tokens":1)"))["usage"]["prompt_tokens"],
            4);
  const Json lists = json(complete(R"("prompt":[[1,2,3],[4]],"max_tokens":1)"));
  EXPECT_EQ(lists["choices"].size(), 2U);
  EXPECT_EQ(lists["usage"]["prompt_tokens"], 4);
}

TEST_F(EngineWire, SameSeedAndPromptSayTheSame) {
  start();
  const auto text = [&](const std::string& fields) {
    return json(
        complete(R"("prompt":"hello world","max_tokens":8,)" + fields))["choices"][0]["text"];
  };
  EXPECT_EQ(text(R"("seed":7)"), text(R"("seed":7)"));
  EXPECT_NE(text(R"("seed":7)"), text(R"("seed":8)"));
}

TEST_F(EngineWire, AnswerLengthFollowsTheLimits) {
  start();
  const Json drawn = json(complete(R"("prompt":"x")"));
  EXPECT_GE(drawn["usage"]["completion_tokens"], 16);
  EXPECT_LE(drawn["usage"]["completion_tokens"], 256);
  EXPECT_EQ(drawn["choices"][0]["finish_reason"], "stop");
  EXPECT_EQ(json(complete(R"("prompt":"x")"))["usage"], drawn["usage"]);
  const Json exact = json(chat(R"("max_completion_tokens":5,"ignore_eos":true)"));
  EXPECT_EQ(exact["usage"]["completion_tokens"], 5);
  // 8192 is the context.
  const std::string prompt(8000 * 4, 'a');
  const Json clamped = json(complete(R"("max_tokens":5000,"prompt":")" + prompt + '"'));
  EXPECT_EQ(clamped["usage"]["completion_tokens"], 192);
  EXPECT_EQ(clamped["choices"][0]["finish_reason"], "length");
}

TEST_F(EngineWire, NextTurnThatRepeatsTheAnswerHitsTheCache) {
  start();
  const std::string question(400, 'q');
  const Json first = json(chat(R"("max_tokens":64)", question));
  EXPECT_EQ(first["usage"]["prompt_tokens_details"]["cached_tokens"], 0);
  const std::string said = first["choices"][0]["message"]["content"];
  const auto turn = [&](const std::string& answer) {
    const Json body = {{"model", "tiny"},
                       {"max_tokens", 1},
                       {"messages",
                        {{{"role", "user"}, {"content", question}},
                         {{"role", "assistant"}, {"content", answer}},
                         {{"role", "user"}, {"content", "and then?"}}}}};
    return json(client_->post(port_, "/v1/chat/completions",
                              body.dump()))["usage"]["prompt_tokens_details"]["cached_tokens"]
        .get<int>();
  };
  // 103 tokens of prompt and 63 of the answer were computed: 10 blocks of 16.
  EXPECT_EQ(turn(said), 160);
  EXPECT_EQ(turn(std::string(256, 'z')), 96);
}

TEST_F(EngineWire, CacheSaltAndAdapterKeepPromptsApart) {
  options_.adapters = {"sql"};
  start();
  const auto cached = [&](const std::string& fields) {
    const std::string prompt(640, 'p');
    return json(client_->post(port_, "/v1/completions",
                              R"({"max_tokens":1,)" + fields + R"("prompt":")" + prompt +
                                  "\"}"))["usage"]["prompt_tokens_details"]["cached_tokens"]
        .get<int>();
  };
  EXPECT_EQ(cached(""), 0);
  EXPECT_EQ(cached(R"("model":"tiny",)"), 144);  // The last block is computed again.
  EXPECT_EQ(cached(R"("cache_salt":"a",)"), 0);
  EXPECT_EQ(cached(R"("model":"sql",)"), 0);
  EXPECT_EQ(cached(R"("model":"sql",)"), 144);
  EXPECT_EQ(client_->post(port_, "/reset_prefix_cache", "").status, 200);
  EXPECT_EQ(cached(""), 0);
}

TEST_F(EngineWire, ErrorsAreWordedAsByVllm) {
  start();
  const auto error = [&](const std::string& path, const std::string& body, int status) {
    const ClientReply reply = client_->post(port_, path, body);
    EXPECT_EQ(reply.status, status) << reply.body;
    const Json parsed = json(reply);
    EXPECT_EQ(keys(parsed["error"]), (Names{"message", "type", "param", "code"}));
    EXPECT_EQ(parsed["error"]["code"], status);
    return parsed["error"];
  };
  const std::string chat_path = "/v1/chat/completions";
  EXPECT_EQ(error(chat_path, R"({"model":"nope","messages":[]})", 404).dump(),
            R"({"message":"The model `nope` does not exist. Valid aliases: tiny.",)"
            R"("type":"NotFoundError","param":"model","code":404})");
  EXPECT_EQ(error(chat_path, R"({"model":"tiny","messages":[{"role":"user")", 400)["type"],
            "Bad Request");
  EXPECT_EQ(error(chat_path, "", 400)["param"], "body");
  EXPECT_EQ(error(chat_path, R"({"model":"tiny"})", 400)["param"], "body.messages");
  EXPECT_EQ(error(chat_path, R"({"messages":[],"max_tokens":"many"})", 400)["param"],
            "body.max_tokens");
  EXPECT_EQ(error(chat_path, R"({"messages":[],"temperature":-3})", 400)["param"], "temperature");
  EXPECT_EQ(error("/v1/completions", R"({"prompt":"x","max_tokens":0})", 400)["param"],
            "max_tokens");
  EXPECT_EQ(error("/v1/completions", R"({"prompt":"x","n":0})", 400)["param"], "n");
  EXPECT_EQ(error("/v1/completions", R"({"prompt":[]})", 400)["param"], "prompt");
  EXPECT_EQ(error("/v1/completions", R"({"prompt":"x","stream_options":{}})", 400)["param"],
            "stream_options");
  const std::string prompt(4 * 8192, 'a');
  const Json overflow = error("/v1/completions", R"({"prompt":")" + prompt + "\"}", 400);
  EXPECT_EQ(overflow["param"], "input_tokens");
  EXPECT_NE(overflow["message"].get<std::string>().find("your prompt contains 8192 input tokens"),
            std::string::npos);
}

TEST_F(EngineWire, UnknownPathsAndMethodsAreRefusedAsByVllm) {
  start();
  EXPECT_EQ(client_->post(port_, "/v1/nothing", "{}").body, R"({"detail":"Not Found"})");
  const ClientReply reply = client_->get(port_, "/v1/chat/completions");
  EXPECT_EQ(reply.status, 405);
  EXPECT_EQ(reply.body, R"({"detail":"Method Not Allowed"})");
  EXPECT_NE(reply.head.find("allow: POST\n"), std::string::npos);
}

TEST_F(EngineWire, SmallRoutesAnswer) {
  start();
  EXPECT_EQ(client_->get(port_, "/health").status, 200);
  EXPECT_EQ(client_->get(port_, "/ping").status, 200);
  EXPECT_EQ(client_->get(port_, "/version").body, R"({"version":"0.32.0"})");
  EXPECT_EQ(client_->get(port_, "/load").body, R"({"server_load":0})");
  EXPECT_EQ(client_->post(port_, "/tokenize", R"({"prompt":"abcdefg"})").body,
            R"({"count":2,"max_model_len":8192,"tokens":[1684234849,4284966501],)"
            R"("token_strs":null})");
  EXPECT_EQ(client_->post(port_, "/detokenize", R"({"tokens":[1684234849,4284966501]})").body,
            R"({"prompt":"abcdefg"})");
  const ClientReply chat_tokens =
      client_->post(port_, "/tokenize", R"({"messages":[{"role":"user","content":"abcd"}]})");
  EXPECT_EQ(json(chat_tokens)["count"], 4);
}

TEST_F(EngineWire, ApiKeyIsAskedForBelowV1) {
  options_.api_key = "secret";
  start();
  EXPECT_EQ(client_->get(port_, "/v1/models").status, 401);
  EXPECT_EQ(client_->get(port_, "/health").status, 200);
  EXPECT_EQ(client_->call(port_, "GET", "/v1/models", "", "Authorization: Bearer no\r\n").status,
            401);
  EXPECT_EQ(
      client_->call(port_, "GET", "/v1/models", "", "Authorization: Bearer secret\r\n").status,
      200);
}

TEST_F(EngineWire, AdaptersComeAndGo) {
  options_.adapters = {"sql"};
  start();
  const auto names = [&] {
    Names ids;
    const auto models = codec::parse_model_list(client_->get(port_, "/v1/models").body);
    for (const auto& card : *models) ids.push_back(card.id + "<" + card.parent);
    return ids;
  };
  EXPECT_EQ(names(), (Names{"tiny<", "sql<tiny"}));
  const std::string chat_lora = R"({"lora_name":"chat","lora_path":"/loras/chat"})";
  EXPECT_EQ(client_->post(port_, "/v1/load_lora_adapter", chat_lora).body,
            "Success: LoRA adapter 'chat' added successfully.");
  EXPECT_EQ(client_->post(port_, "/v1/load_lora_adapter", chat_lora).status, 400);
  EXPECT_EQ(client_->post(port_, "/v1/unload_lora_adapter", R"({"lora_name":"sql"})").status, 200);
  EXPECT_EQ(client_->post(port_, "/v1/unload_lora_adapter", R"({"lora_name":"sql"})").status, 404);
  EXPECT_EQ(names(), (Names{"tiny<", "chat<tiny"}));
  EXPECT_EQ(complete(R"("prompt":"x","max_tokens":1)").status, 200);
  EXPECT_EQ(client_->post(port_, "/v1/completions", R"({"model":"sql","prompt":"x"})").status, 404);
  const auto running = client_->begin(port_, "POST", "/v1/completions",
                                      R"({"model":"chat","prompt":"x","max_tokens":4000})");
  ASSERT_TRUE(client_->wait([&] {
    const auto metrics = codec::parse_engine_metrics(client_->get(port_, "/metrics").body);
    return metrics.lora && metrics.lora->running == Names{"chat"};
  }));
}

TEST_F(EngineWire, MetricsAreReadBack) {
  start();
  const std::string prompt(640, 'p');
  for (int i = 0; i < 2; ++i) complete(R"("max_tokens":4,"prompt":")" + prompt + '"');
  const std::string page = client_->get(port_, "/metrics").body;
  const auto metrics = codec::parse_engine_metrics(page);
  EXPECT_EQ(metrics.running, 0);
  EXPECT_EQ(metrics.waiting, 0);
  EXPECT_EQ(metrics.kv_usage, 0);
  EXPECT_EQ(metrics.prefix_queries, 320);
  EXPECT_EQ(metrics.prefix_hits, 144);
  EXPECT_EQ(metrics.block_size, 16U);
  EXPECT_EQ(metrics.num_gpu_blocks, 4096U);
  ASSERT_TRUE(metrics.process_start_time.has_value());
  const auto has = [&](std::string_view line) {
    EXPECT_NE(page.find(line), std::string::npos) << line << "\n" << page;
  };
  has("vllm:prompt_tokens_total{engine=\"0\",model_name=\"tiny\"} 320\n");
  has("vllm:generation_tokens_total{engine=\"0\",model_name=\"tiny\"} 8\n");
  has("vllm:request_success_total{engine=\"0\",model_name=\"tiny\",finished_reason=\"length\"} "
      "2\n");
  has("vllm:time_to_first_token_seconds_count{engine=\"0\",model_name=\"tiny\"} 2\n");
  has("vllm:inter_token_latency_seconds_count{engine=\"0\",model_name=\"tiny\"} 6\n");
  has("vllm:e2e_request_latency_seconds_bucket{engine=\"0\",model_name=\"tiny\",le=\"+Inf\"} 2\n");
  has("vllm:gpu_cache_usage_perc{");
  has("fairlead_engine_step_seconds_count{");
  EXPECT_EQ(page.find("fairlead_engine_step_seconds_sum{engine=\"0\",model_name=\"tiny\"} 0\n"),
            std::string::npos);
  has("fairlead_engine_lag_seconds_count{");

  const double started = *metrics.process_start_time;
  EXPECT_EQ(client_->post(port_, "/reset", "").status, 200);
  const auto fresh = codec::parse_engine_metrics(client_->get(port_, "/metrics").body);
  EXPECT_EQ(fresh.prefix_queries, 0);
  EXPECT_GT(fresh.process_start_time, started);
}

TEST_F(EngineWire, InstantEngineAnswersWithTheSameShapes) {
  start();
  const Json slow = json(chat(R"("max_tokens":6)"));
  const auto slow_events = chat(R"("max_tokens":6,"stream":true)").events();
  options_.profile = instant_profile();
  start();
  const Json quick = json(chat(R"("max_tokens":6)"));
  EXPECT_EQ(keys(quick), keys(slow));
  EXPECT_EQ(quick["usage"], slow["usage"]);
  const auto quick_events = chat(R"("max_tokens":6,"stream":true)").events();
  ASSERT_EQ(quick_events.size(), slow_events.size());
  for (std::size_t i = 0; i + 1 < quick_events.size(); ++i) {
    EXPECT_EQ(keys(Json::parse(quick_events[i])), keys(Json::parse(slow_events[i])));
  }
  EXPECT_EQ(engine().metrics().count(Count::kGenerationTokens), 12U);
}

TEST_F(EngineWire, MaxWaitingRefusesWith429) {
  options_.max_waiting = 1;
  options_.profile.max_num_seqs = 1;
  start();
  const std::string body = R"({"prompt":"x","max_tokens":8000})";
  const auto running = client_->begin(port_, "POST", "/v1/completions", body);
  ASSERT_TRUE(client_->wait([&] { return engine().running_requests() == 1; }));
  ASSERT_TRUE(client_->wait([&] {
    return codec::parse_engine_metrics(client_->get(port_, "/metrics").body).running == 1;
  }));
  const auto waiting = client_->begin(port_, "POST", "/v1/completions", body);
  ASSERT_TRUE(client_->wait([&] { return engine().running_requests() == 2; }));
  EXPECT_EQ(client_->post(port_, "/v1/completions", body).status, 429);
}

TEST_F(EngineWire, ClientThatLeavesFreesItsSequence) {
  start();
  auto running = client_->begin(port_, "POST", "/v1/completions",
                                R"({"prompt":"x","max_tokens":8000,"stream":true})");
  ASSERT_TRUE(client_->wait([&] { return !running->reply().body.empty(); }));
  EXPECT_EQ(client_->get(port_, "/load").body, R"({"server_load":1})");
  running.reset();
  ASSERT_TRUE(client_->wait([&] {
    return codec::parse_engine_metrics(client_->get(port_, "/metrics").body).running == 0;
  }));
  EXPECT_EQ(engine().metrics().count(Count::kClientsGone), 1U);
  EXPECT_EQ(engine().metrics().count(Count::kFinishedAbort), 1U);
  EXPECT_EQ(engine().running_requests(), 0U);
}

TEST_F(EngineWire, SpeedShortensAnAnswerByItsFactor) {
  options_.profile.step_floor_s = 0.02;
  const auto measure = [&](double speed) {
    options_.speed = speed;
    start();
    return to_seconds(complete(R"("prompt":"x","max_tokens":10)").elapsed);
  };
  // 10 steps of 20 ms and 0.2 ms of overhead, in model time: never sooner.
  EXPECT_GE(measure(1), 0.2002);
  const double quick = measure(20);
  EXPECT_GE(quick, 0.01001);
  EXPECT_LT(quick, 0.2);
}

TEST_F(EngineWire, DrainLetsTheRunningAnswerEnd) {
  start();
  const auto running = client_->begin(port_, "POST", "/v1/completions",
                                      R"({"prompt":"x","max_tokens":50,"stream":true})");
  ASSERT_TRUE(client_->wait([&] { return !running->reply().body.empty(); }));
  bool drained = false;
  fleet_->drain([&] { drained = true; });
  ASSERT_TRUE(client_->wait([&] { return drained && running->done(); }));
  EXPECT_EQ(running->reply().events().back(), "[DONE]");
  EXPECT_EQ(client_->get(port_, "/health").failure, net::UpstreamFailure::kConnectRefused);
}

TEST(EngineFleetOptions, WrongOnesAreRefusedByName) {
  auto loop = std::move(*net::EventLoop::create());
  FleetOptions good;
  good.profile.name = good.profile.model = "tiny";
  good.profile.kv_tokens = 4096;
  good.profile.max_model_len = 1024;
  const auto message = [&](const std::function<void(FleetOptions&)>& change) {
    FleetOptions options = good;
    change(options);
    const auto fleet = EngineFleet::create(*loop, options);
    return fleet ? std::string("accepted") : fleet.error().message;
  };
  EXPECT_EQ(message([](FleetOptions& o) { o.engines = 3; }), "accepted");
  EXPECT_NE(message([](FleetOptions& o) { o.engines = 0; }).find("engines"), std::string::npos);
  EXPECT_NE(message([](FleetOptions& o) { o.speed = 0; }).find("speed"), std::string::npos);
  EXPECT_NE(message([](FleetOptions& o) { o.base_port = 65535, o.engines = 2; }).find("base-port"),
            std::string::npos);
  EXPECT_NE(message([](FleetOptions& o) { o.adapters = {"tiny"}; }).find("twice"),
            std::string::npos);
  EXPECT_NE(message([](FleetOptions& o) { o.stream_interval = 0; }).find("stream-interval"),
            std::string::npos);
  EXPECT_NE(
      message([](FleetOptions& o) { o.faults = {{.engine = 1, .fault = {}}}; }).find("engine 1"),
      std::string::npos);
}

}  // namespace
}  // namespace fairlead::engine
