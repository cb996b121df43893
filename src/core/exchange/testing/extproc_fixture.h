// SPDX-License-Identifier: Apache-2.0
// ExtProcTest: an ExtProcStream whose Envoy says what a test has it say, and whose owner decides at
// once, or, on the second stream, when told. Threads: one owner.
#pragma once

#include <gtest/gtest.h>

#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "core/codec/ext_proc_envoy.h"
#include "core/exchange/extproc_stream.h"
#include "core/exchange/testing/recording_port.h"

namespace fairlead::exchange {

using codec::BodySendMode;
using codec::ProcessingPhase;
using codec::ProcessingSide;
using codec::envoy::BodyReplyKind;
using codec::envoy::EnvoyMessage;
using codec::envoy::EnvoyReply;
using codec::envoy::HeaderList;
using codec::envoy::ReplyKind;
using testing::RecordingPort;

inline constexpr std::string_view kBody =
    R"({"seed":12345678901234567890,"model":"small","z":1.50,)"
    R"("messages":[{"role":"user","content":"hi"}]})";

class ExtProcTest : public ::testing::Test {
 protected:
  ExtProcTest() {
    port_.attach(stream_);
    later_.attach(stream_later_);
  }

  void begin(BodySendMode request, BodySendMode response) {
    modes_ = {request, response};
    first_ = true;
    stream_.begin(settings_);
  }
  void begin() { begin(BodySendMode::kFullDuplexStreamed, BodySendMode::kFullDuplexStreamed); }
  void say(EnvoyMessage message) {
    if (first_) message.protocol = modes_;
    first_ = false;
    stream_.on_message(codec::envoy::encode(message));
  }
  void request_headers(HeaderList more = {}, bool end = false,
                       std::string path = "/v1/chat/completions", std::string metadata = {}) {
    HeaderList headers = {{":method", end ? "GET" : "POST"}, {":path", std::move(path)}};
    headers.insert(headers.end(), more.begin(), more.end());
    say({.phase = ProcessingPhase::kRequestHeaders,
         .headers = headers,
         .end = end,
         .metadata = std::move(metadata)});
  }
  void request_body(std::string_view body, bool end) {
    say({.phase = ProcessingPhase::kRequestBody, .body = std::string(body), .end = end});
  }
  void response_headers(std::string status = "200", std::string type = "text/event-stream",
                        bool end = false, std::string metadata = {}) {
    say({.phase = ProcessingPhase::kResponseHeaders,
         .headers = {{":status", std::move(status)}, {"content-type", std::move(type)}},
         .end = end,
         .metadata = std::move(metadata)});
  }
  void response_body(std::string_view body, bool end) {
    say({.phase = ProcessingPhase::kResponseBody, .body = std::string(body), .end = end});
  }
  std::vector<EnvoyReply> replies() {
    std::vector<EnvoyReply> all;
    for (const std::string& message : port_.messages) {
      EXPECT_TRUE(codec::envoy::decode(message, all.emplace_back()));
    }
    port_.messages.clear();
    return all;
  }
  // A whole request in full duplex, as Envoy sends it.
  void whole_request() {
    request_headers();
    request_body(kBody, false);
    request_body({}, true);
  }
  std::uint64_t faults(ExtProcFault fault) const {
    return counters_.faults[static_cast<std::size_t>(fault)];
  }
  void expect_fault(ExtProcFault fault, StreamStatus status = StreamStatus::kInvalidArgument) {
    EXPECT_EQ(faults(fault), 1U) << to_string(fault);
    EXPECT_EQ(port_.finished, status);
    EXPECT_EQ(port_.ends, 1);
    EXPECT_FALSE(stream_.running());
  }

  ExtProcSettings settings_;
  ReadingDesk desk_{std::size_t{8} << 20};
  BodyStore store_;
  ExtProcCounters counters_;
  RecordingPort port_;
  RecordingPort later_{RecordingPort::Decide::kLater};
  ExtProcStream stream_{{desk_, store_, counters_}, port_};
  ExtProcStream stream_later_{{desk_, store_, counters_}, later_};
  codec::ProtocolConfiguration modes_;
  bool first_ = true;
};

}  // namespace fairlead::exchange
