// SPDX-License-Identifier: Apache-2.0
// Flight: one request on the wire, from its bytes to its record. Reused for one request after
// another. Times are read from the clock at each event, not once a loop turn, so that the
// generator's own work is not measured as the server's speed.
// A pooled connection that the server closed just as it was used is tried again once, as HTTP
// clients do. Threads: the loop's thread.
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "core/codec/sse_scanner.h"
#include "io/net/http1_client.h"
#include "io/net/steady_clock.h"
#include "lab/load/model/accounting.h"
#include "lab/load/target.h"

namespace fairlead::load {

class Flight;

class FlightOwner {
 public:
  // The record is whole; the flight may begin() anew in this call.
  virtual void on_flight_end(Flight& flight) = 0;
  // Text came that had waited for `lag` since the loop saw it.
  virtual void on_text(Duration lag) = 0;

 protected:
  ~FlightOwner() = default;
};

struct FlightSettings {
  net::SocketAddress address;
  Duration connect_timeout{};
  Duration total_timeout{};
};

class Flight final : private net::UpstreamObserver {
 public:
  Flight(net::UpstreamPool& pool, FlightOwner& owner, const FlightSettings& settings);

  // `record` names the request: index, stage, scheduled time, planned prompt tokens.
  void begin(const RequestWriter& writer, std::span<const PromptPart> prompt,
             std::uint32_t output_tokens, RequestRecord record);
  // Ends it with kCancelled, without a call to the owner.
  void cancel();
  bool active() const { return request_.active(); }

  RequestRecord take_record() { return std::move(record_); }
  // As the server named it; empty when it did not.
  const std::string& endpoint() const { return endpoint_; }

 private:
  void on_response_head(const codec::Http1ResponseHead& head) override;
  void on_body(std::string_view raw, std::span<const std::string_view> payload) override;
  void on_complete() override;
  void on_failed(const net::UpstreamError& error) override;

  void send();
  void note_events();
  void settle(Outcome outcome);
  Outcome judge() const;

  net::UpstreamPool& pool_;
  FlightOwner& owner_;
  const FlightSettings& settings_;
  net::SteadyClock clock_;
  net::UpstreamRequest request_;
  codec::SseScanner scanner_;
  RequestRecord record_;
  std::string endpoint_;
  std::string head_;
  std::string body_;
  std::vector<ChunkArrival> arrivals_;
  std::uint64_t events_seen_ = 0;
  bool usage_seen_ = false;
  int attempts_ = 0;
};

}  // namespace fairlead::load
