// SPDX-License-Identifier: Apache-2.0
#include <gtest/gtest.h>

#include "core/codec/vllm_metrics.h"
#include "lab/engine/testing/engine_fixture.h"

namespace fairlead::engine {
namespace {

class EngineFault : public EngineFixture {
 protected:
  std::string kinds() {
    std::string out;
    const Json page = json(client_->get(port_, "/admin/fault"));
    for (const Json& fault : page["faults"]) {
      out += fault["kind"].get<std::string>() + " ";
    }
    return out;
  }
  ClientReply stream() { return complete(R"("prompt":"x","max_tokens":8,"stream":true)"); }
};

TEST_F(EngineFault, StallAcceptsAndAnswersOnlyWhenCleared) {
  start();
  fault(R"({"kind":"stall"})");
  const auto stuck = client_->begin(port_, "POST", "/v1/completions",
                                    R"({"prompt":"x","max_tokens":8,"stream":true})");
  ASSERT_TRUE(client_->wait([&] { return stuck->reply().status == 200; }));
  EXPECT_EQ(client_->get(port_, "/health").status, 200);
  EXPECT_TRUE(stuck->reply().body.empty());
  EXPECT_EQ(client_->call(port_, "DELETE", "/admin/fault?kind=stall").status, 200);
  ASSERT_TRUE(client_->wait([&] { return stuck->done(); }));
  EXPECT_EQ(stuck->reply().events().back(), "[DONE]");
}

TEST_F(EngineFault, StallEndsAfterItsDuration) {
  options_.profile = instant_profile();
  start();
  const Time posted = loop_->now();
  fault(R"({"kind":"stall","duration_s":0.05})");
  const ClientReply reply = stream();
  EXPECT_EQ(reply.events().back(), "[DONE]");
  EXPECT_GE(to_seconds(loop_->now() - posted), 0.05);
  EXPECT_EQ(kinds(), "");
}

TEST_F(EngineFault, SlowStartRefusesForItsDuration) {
  auto parsed = parse_fault_option("kind=slow_start,duration_s=0.1,engine=0");
  ASSERT_TRUE(parsed.has_value());
  options_.faults = {*parsed};
  start();
  EXPECT_EQ(client_->get(port_, "/health").status, 503);
  EXPECT_EQ(complete(R"("prompt":"x")").status, 503);
  EXPECT_EQ(client_->get(port_, "/metrics").status, 200);
  EXPECT_TRUE(client_->wait([&] { return client_->get(port_, "/health").status == 200; }));
}

TEST_F(EngineFault, AbortMidStreamResetsAfterItsEvents) {
  start();
  fault(R"({"kind":"abort_mid_stream","events":3,"count":1})");
  const ClientReply cut = stream();
  EXPECT_EQ(cut.status, 200);
  EXPECT_TRUE(cut.failure == net::UpstreamFailure::kResetMidReply ||
              cut.failure == net::UpstreamFailure::kTruncated);
  EXPECT_LE(cut.events().size(), 3U);
  EXPECT_EQ(engine().running_requests(), 0U);
  EXPECT_EQ(engine().metrics().count(Count::kFinishedAbort), 1U);
  EXPECT_EQ(stream().events().back(), "[DONE]");  // It was the only one.
}

TEST_F(EngineFault, AbortOfAWholeAnswerLeavesNoByte) {
  start();
  fault(R"({"kind":"abort_mid_stream"})");
  const ClientReply reply = complete(R"("prompt":"x","max_tokens":2)");
  EXPECT_EQ(reply.status, 0);
  EXPECT_TRUE(reply.failure.has_value());
}

TEST_F(EngineFault, RefuseClosesTheListenerAndOpensItAgain) {
  start();
  fault(R"({"kind":"refuse","duration_s":0.1})");
  ASSERT_TRUE(client_->wait([&] {
    return client_->get(port_, "/health").failure == net::UpstreamFailure::kConnectRefused;
  }));
  ASSERT_TRUE(client_->wait([&] { return client_->get(port_, "/health").status == 200; }));
  EXPECT_EQ(kinds(), "");
}

TEST_F(EngineFault, RefuseLetsARunningAnswerEnd) {
  start();
  const auto running = client_->begin(port_, "POST", "/v1/completions",
                                      R"({"prompt":"x","max_tokens":100,"stream":true})");
  ASSERT_TRUE(client_->wait([&] { return !running->reply().body.empty(); }));
  fault(R"({"kind":"refuse","duration_s":0.02})");
  ASSERT_TRUE(client_->wait([&] { return running->done(); }));
  EXPECT_EQ(running->reply().events().back(), "[DONE]");
  ASSERT_TRUE(client_->wait([&] { return client_->get(port_, "/health").status == 200; }));
}

TEST_F(EngineFault, ErrorsComeAsOftenAsAsked) {
  options_.profile = instant_profile();
  start();
  fault(R"({"kind":"error_500","count":2})");
  fault(R"({"kind":"error_503","probability":0})");
  EXPECT_EQ(complete(R"("prompt":"x")").status, 500);
  const ClientReply second = complete(R"("prompt":"x")");
  EXPECT_EQ(second.status, 500);
  EXPECT_EQ(json(second)["error"]["type"], "InternalServerError");
  EXPECT_EQ(complete(R"("prompt":"x")").status, 200);
  fault(R"({"kind":"error_503","probability":0.5})");
  int refused = 0;
  for (int i = 0; i < 100; ++i) refused += complete(R"("prompt":"x")").status == 503 ? 1 : 0;
  EXPECT_GT(refused, 25);
  EXPECT_LT(refused, 75);
}

TEST_F(EngineFault, PartialWriteFallsSilentInsideAnEvent) {
  start();
  fault(R"({"kind":"partial_write","events":2,"count":2})");
  auto cut = client_->begin(port_, "POST", "/v1/completions",
                            R"({"prompt":"x","max_tokens":8,"stream":true})");
  // Computed to the end, and what was written has come.
  ASSERT_TRUE(client_->wait([&] {
    return engine().metrics().count(Count::kFinishedLength) == 1 &&
           cut->reply().events().size() == 2 && !cut->reply().body.ends_with("\n\n");
  }));
  EXPECT_FALSE(cut->done());
  cut.reset();
  ASSERT_TRUE(client_->wait([&] { return engine().running_requests() == 0; }));

  const auto whole =
      client_->begin(port_, "POST", "/v1/completions", R"({"prompt":"x","max_tokens":8})");
  ASSERT_TRUE(client_->wait([&] { return !whole->reply().body.empty(); }));
  EXPECT_FALSE(whole->done());
  EXPECT_TRUE(Json::parse(whole->reply().body, nullptr, false).is_discarded());
  EXPECT_EQ(stream().events().back(), "[DONE]");
}

TEST_F(EngineFault, DelayHoldsTheFirstByteBack) {
  start();
  fault(R"({"kind":"delay_first_byte","duration_s":0.1})");
  const ClientReply late = stream();
  EXPECT_GE(to_seconds(late.first_byte), 0.1);
  EXPECT_EQ(late.events().size(), 2U);  // All that came meanwhile, and [DONE].
  EXPECT_GE(to_seconds(complete(R"("prompt":"x","max_tokens":2)").elapsed), 0.1);
}

TEST_F(EngineFault, ClientMayLeaveWhileTheFirstByteIsHeldBack) {
  start();
  fault(R"({"kind":"delay_first_byte","duration_s":0.03,"count":1})");
  auto waiting = client_->begin(port_, "POST", "/v1/completions",
                                R"({"prompt":"x","max_tokens":8000,"stream":true})");
  ASSERT_TRUE(client_->wait([&] { return engine().running_requests() == 1; }));
  waiting.reset();
  ASSERT_TRUE(client_->wait([&] { return engine().running_requests() == 0; }));
  EXPECT_GE(to_seconds(stream().elapsed), 0);
}

TEST_F(EngineFault, LyingMetricsReplaceTheTruth) {
  start();
  fault(R"({"kind":"lying_metrics","waiting":7,"kv_usage":0.5})");
  auto metrics = codec::parse_engine_metrics(client_->get(port_, "/metrics").body);
  EXPECT_EQ(metrics.waiting, 7);
  EXPECT_EQ(metrics.running, 0);
  EXPECT_EQ(metrics.kv_usage, 0.5);
  EXPECT_EQ(client_->call(port_, "DELETE", "/admin/fault").body, R"({"faults":[]})");
  metrics = codec::parse_engine_metrics(client_->get(port_, "/metrics").body);
  EXPECT_EQ(metrics.waiting, 0);
}

TEST_F(EngineFault, CrashDropsAllAndComesBackAsNew) {
  start();
  const std::string prompt(640, 'p');
  complete(R"("max_tokens":1,"prompt":")" + prompt + '"');
  const auto before = codec::parse_engine_metrics(client_->get(port_, "/metrics").body);
  const auto running = client_->begin(port_, "POST", "/v1/completions",
                                      R"({"prompt":"x","max_tokens":8000,"stream":true})");
  ASSERT_TRUE(client_->wait([&] { return !running->reply().body.empty(); }));
  fault(R"({"kind":"crash","duration_s":0.05})");
  ASSERT_TRUE(client_->wait([&] { return running->done(); }));
  EXPECT_TRUE(running->reply().failure.has_value());
  ASSERT_TRUE(client_->wait([&] { return client_->get(port_, "/health").status == 200; }));
  const auto after = codec::parse_engine_metrics(client_->get(port_, "/metrics").body);
  EXPECT_GT(after.process_start_time, before.process_start_time);
  EXPECT_EQ(after.prefix_queries, 0);
  EXPECT_EQ(after.running, 0);
  EXPECT_EQ(json(complete(R"("max_tokens":1,"prompt":")" + prompt +
                          '"'))["usage"]["prompt_tokens_details"]["cached_tokens"],
            0);
}

TEST(FaultText, EveryKindIsDescribedAndAMissingOneIsSaidToBe) {
  const std::string text = describe_fault_kinds();
  EXPECT_NE(text.find("  crash             duration_s\n"), std::string::npos) << text;
  EXPECT_NE(text.find("  error_500         [probability] [count]\n"), std::string::npos) << text;
  EXPECT_EQ(std::count(text.begin(), text.end(), '\n'), kFaultKindCount);
  for (const auto* body : {"{}", R"({"probability": 1})", R"({"kind": 3})"}) {
    const auto fault = parse_fault_json(body);
    ASSERT_FALSE(fault.has_value());
    EXPECT_NE(fault.error().message.find("kind is missing"), std::string::npos) << body;
  }
}

TEST(FaultParsing, JsonAndOptionSayTheSame) {
  const auto option = parse_fault_option("kind=error_500,probability=0.25,count=3,engine=2");
  ASSERT_TRUE(option.has_value()) << option.error().message;
  EXPECT_EQ(option->engine, 2U);
  std::string text;
  append_fault_json(text, option->fault);
  EXPECT_EQ(text, R"({"kind":"error_500","probability":0.25,"count":3})");
  const auto back = parse_fault_json(text);
  ASSERT_TRUE(back.has_value());
  EXPECT_EQ(back->probability, 0.25);
  EXPECT_EQ(back->count, 3U);
}

TEST(FaultParsing, IsStrict) {
  const auto message = [](std::string_view body) {
    const auto fault = parse_fault_json(body);
    return fault ? std::string("accepted") : fault.error().message;
  };
  EXPECT_EQ(message(R"({"kind":"stall"})"), "accepted");
  EXPECT_NE(message("[]").find("JSON object"), std::string::npos);
  EXPECT_NE(message(R"({"kind":"sleep"})").find("unknown fault kind `sleep`"), std::string::npos);
  EXPECT_NE(message(R"({"kind":"stall","events":1})").find("unknown parameter `events`"),
            std::string::npos);
  EXPECT_NE(message(R"({"kind":"crash"})").find("duration_s is missing"), std::string::npos);
  EXPECT_NE(message(R"({"kind":"error_500","probability":1.5})").find("in 0..1"),
            std::string::npos);
  EXPECT_NE(message(R"({"kind":"error_500","count":"3"})").find("must be a number"),
            std::string::npos);
  EXPECT_NE(message(R"({"kind":"error_500","count":0})").find("at least 1"), std::string::npos);
  EXPECT_NE(message(R"({"kind":"abort_mid_stream","events":1.5})").find("whole number"),
            std::string::npos);
  EXPECT_NE(message(R"({"kind":"lying_metrics"})").find("at least one"), std::string::npos);
  EXPECT_FALSE(parse_fault_option("stall").has_value());
  EXPECT_FALSE(parse_fault_option("kind=stall,engine=-1").has_value());
}

}  // namespace
}  // namespace fairlead::engine
