// SPDX-License-Identifier: Apache-2.0
// A scripted Envoy: thousands of ext_proc streams in full duplex over a few HTTP/2 connections,
// every reply checked against what was sent.
//
//   epp_streams_client PORT STREAMS CONNECTIONS MORE
//
// It says what it has reached in a line, and goes on when it is given one:
//   held N      Streams that have their decision, their request back, and their answer's first
//   part. refused N   Of MORE streams beside them, how many were ended with RESOURCE_EXHAUSTED.
//   finished N  Streams that got their answer's last part and the status OK.
//   asked N     As many again, every second one without a decision yet.
//   {...}       All of those were reset at once, and then each connection served one more stream.
// What is not as it should be is lost, and the first of it is shown.
#include <fmt/format.h>

#include <algorithm>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <functional>
#include <memory>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "core/codec/ext_proc_envoy.h"
#include "io/net/event_loop.h"
#include "io/net/testing/grpc_messages.h"

namespace fairlead::net {
namespace {

namespace envoy = codec::envoy;
using codec::BodySendMode;
using codec::ProcessingPhase;
using envoy::EnvoyMessage;
using envoy::EnvoyReply;
using envoy::ReplyKind;
using testing::Http2Client;

constexpr std::string_view kPath = "/envoy.service.ext_proc.v3.ExternalProcessor/Process";
constexpr codec::ProtocolConfiguration kFullDuplex{BodySendMode::kFullDuplexStreamed,
                                                   BodySendMode::kFullDuplexStreamed};
constexpr std::string_view kFirst = "data: {\"choices\":[{\"delta\":{\"content\":\"Hi\"}}]}\n\n";
constexpr std::string_view kLast =
    "data: {\"choices\":[],\"usage\":{\"prompt_tokens\":7,\"completion_tokens\":2,"
    "\"total_tokens\":9}}\n\ndata: [DONE]\n\n";
constexpr std::size_t kOpenedPerTurn = 50;
constexpr Duration kTurn = std::chrono::milliseconds(5);
constexpr Duration kLook = std::chrono::milliseconds(100);
constexpr Duration kPatience = std::chrono::seconds(60);

struct Stream {
  Http2Client* client;
  std::int32_t id;
  std::string request;  // Its body.

  Http2Client::Answer& answer() const { return client->answer(id); }
  void send(const EnvoyMessage& message, bool last = false) const {
    client->append(id, testing::grpc_framed(envoy::encode(message)), last);
  }
};

class Peer {
 public:
  Peer(EventLoop& loop, std::uint16_t port, std::size_t connections) : loop_(loop) {
    for (std::size_t i = 0; i < connections; ++i) {
      clients_.push_back(std::make_unique<Http2Client>(loop, SocketAddress::loopback(port)));
    }
  }

  // How far a stream is to be brought before the answer.
  enum class Until : std::uint8_t { kAsked, kPartOfRequest };

  Stream open(Until until = Until::kAsked) {
    Http2Client& client = *clients_[opened_ % clients_.size()];
    const std::string body = fmt::format(
        R"({{"model":"m","stream":true,"messages":[{{"role":"user","content":"prompt {}"}}]}})",
        opened_++);
    const Stream stream{&client, client.request(testing::grpc_head(kPath), {}, false), body};
    stream.send({.phase = ProcessingPhase::kRequestHeaders,
                 .headers = {{":method", "POST"},
                             {":path", "/v1/chat/completions"},
                             {"content-type", "application/json"}},
                 .protocol = kFullDuplex});
    if (until == Until::kPartOfRequest) {
      stream.send({.phase = ProcessingPhase::kRequestBody, .body = body.substr(0, 20)});
      return stream;
    }
    stream.send({.phase = ProcessingPhase::kRequestBody, .body = body});
    stream.send({.phase = ProcessingPhase::kRequestBody, .end = true});
    return stream;
  }

  void turn() {
    for (const auto& client : clients_) client->pump();
    loop_.run_turn(kTurn);
  }
  // Until `enough` of the streams satisfy `holds`, looked at now and then; how many do at the end.
  std::size_t wait(const std::vector<Stream>& streams,
                   const std::function<bool(const Stream&)>& holds) {
    const Time end = loop_.now() + kPatience;
    for (Time look = loop_.now();;) {
      turn();
      if (loop_.now() < look) continue;
      const auto count = static_cast<std::size_t>(std::ranges::count_if(streams, holds));
      if (count == streams.size() || loop_.now() > end) return count;
      look = loop_.now() + kLook;
    }
  }
  // A few each turn, as clients of Envoy come.
  std::vector<Stream> open_many(std::size_t count, const std::function<Until(std::size_t)>& until) {
    std::vector<Stream> streams;
    while (streams.size() < count) {
      for (std::size_t i = 0; i < kOpenedPerTurn && streams.size() < count; ++i) {
        streams.push_back(open(until(streams.size())));
      }
      turn();
    }
    return streams;
  }

  std::size_t connections() const { return clients_.size(); }
  std::size_t connections_lost() const {
    return static_cast<std::size_t>(std::ranges::count_if(
        clients_, [](const auto& one) { return one->ended() || one->got_goaway(); }));
  }

 private:
  EventLoop& loop_;
  std::vector<std::unique_ptr<Http2Client>> clients_;
  std::size_t opened_ = 0;
};

std::vector<EnvoyReply> replies_of(const Stream& stream) {
  std::vector<EnvoyReply> replies;
  for (const std::string& message : testing::grpc_messages(stream.answer().body)) {
    replies.emplace_back();
    if (!envoy::decode(message, replies.back())) return {};
  }
  return replies;
}

// The bytes of the body's pieces of one side.
std::string body_of(const std::vector<EnvoyReply>& replies, codec::ProcessingSide side) {
  std::string body;
  for (const EnvoyReply& reply : replies) {
    if (reply.kind == ReplyKind::kBody && reply.side == side) body += reply.body;
  }
  return body;
}

bool placed(const Stream& stream) {
  if (stream.answer().closed) return false;
  const auto replies = replies_of(stream);
  return !replies.empty() && !replies.front().header("x-gateway-destination-endpoint").empty() &&
         body_of(replies, codec::ProcessingSide::kRequest) == stream.request;
}

bool answered_with(const Stream& stream, std::string_view text) {
  const auto replies = replies_of(stream);
  return body_of(replies, codec::ProcessingSide::kRequest) == stream.request &&
         body_of(replies, codec::ProcessingSide::kResponse) == text;
}

bool held(const Stream& stream) { return !stream.answer().closed && answered_with(stream, kFirst); }

bool whole(const Stream& stream) {
  return stream.answer().closed && stream.answer().ended &&
         stream.answer().headers["grpc-status"] == "0" &&
         answered_with(stream, std::string(kFirst).append(kLast));
}

bool refused(const Stream& stream) {
  return stream.answer().closed && stream.answer().headers["grpc-status"] == "8" &&
         !stream.answer().headers["grpc-message"].empty();
}

void begin_answer(const Stream& stream) {
  stream.send({.phase = ProcessingPhase::kResponseHeaders,
               .headers = {{":status", "200"}, {"content-type", "text/event-stream"}}});
  stream.send({.phase = ProcessingPhase::kResponseBody, .body = std::string(kFirst)});
}

void end_answer(const Stream& stream) {
  stream.send({.phase = ProcessingPhase::kResponseBody, .body = std::string(kLast), .end = true},
              true);
}

struct Tally {
  std::uint64_t lost = 0;
  std::string problem{};

  void expect(std::string_view what, const std::vector<Stream>& streams,
              const std::function<bool(const Stream&)>& holds) {
    for (const Stream& stream : streams) {
      if (holds(stream) || lost++ > 0) continue;
      Http2Client::Answer& answer = stream.answer();
      problem =
          fmt::format("not {}: status {}, grpc-status {}, reset {}, {} bytes", what, answer.status,
                      answer.headers["grpc-status"], answer.reset, answer.body.size());
    }
  }
};

// Says how far it is, and waits for the word to go on.
void report(std::string_view what, std::size_t count) {
  fmt::print("{} {}\n", what, count);
  std::fflush(stdout);
  int c = 0;
  while ((c = std::getchar()) != '\n' && c != EOF) {
  }
}

void hold_and_finish(Peer& peer, Tally& tally, std::size_t count, std::size_t more) {
  const auto whole_request = [](std::size_t) { return Peer::Until::kAsked; };
  const auto streams = peer.open_many(count, whole_request);
  peer.wait(streams, placed);
  tally.expect("placed", streams, placed);
  for (const Stream& stream : streams) begin_answer(stream);
  const std::size_t running = peer.wait(streams, held);
  tally.expect("held", streams, held);
  report("held", running);

  const auto beside = peer.open_many(more, whole_request);
  const std::size_t turned_away = peer.wait(beside, refused);
  tally.expect("refused", beside, refused);
  report("refused", turned_away);

  for (const Stream& stream : streams) end_answer(stream);
  const std::size_t ended = peer.wait(streams, whole);
  tally.expect("whole", streams, whole);
  report("finished", ended);
}

void reset_all_at_once(Peer& peer, Tally& tally, std::size_t count) {
  const auto streams = peer.open_many(count, [](std::size_t i) {
    return i % 2 == 0 ? Peer::Until::kAsked : Peer::Until::kPartOfRequest;
  });
  std::vector<Stream> asked;
  for (std::size_t i = 0; i < streams.size(); i += 2) asked.push_back(streams[i]);
  peer.wait(asked, placed);
  tally.expect("placed", asked, placed);
  report("asked", streams.size());
  for (const Stream& stream : streams) stream.client->reset(stream.id);

  const auto after =
      peer.open_many(peer.connections(), [](std::size_t) { return Peer::Until::kAsked; });
  peer.wait(after, placed);
  for (const Stream& stream : after) begin_answer(stream);
  for (const Stream& stream : after) end_answer(stream);
  const std::size_t served = peer.wait(after, whole);
  tally.expect("whole after the resets", after, whole);
  fmt::print(R"({{"served_after":{},"connections_lost":{},"lost":{},"problem":"{}"}})"
             "\n",
             served, peer.connections_lost(), tally.lost, tally.problem);
}

}  // namespace
}  // namespace fairlead::net

int main(int count, char** arguments) {
  using namespace fairlead::net;
  const auto number = [&](int at) { return static_cast<std::size_t>(std::atoll(arguments[at])); };
  auto loop = EventLoop::create();
  if (!loop || count != 5 || number(3) == 0) {
    std::fputs("usage: epp_streams_client PORT STREAMS CONNECTIONS MORE\n", stderr);
    return 2;
  }
  Peer peer(**loop, static_cast<std::uint16_t>(number(1)), number(3));
  Tally tally;
  hold_and_finish(peer, tally, number(2), number(4));
  reset_all_at_once(peer, tally, number(2));
  return 0;
}
