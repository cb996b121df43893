// SPDX-License-Identifier: Apache-2.0
// Ledger: what a simulated world knows for certain of each request, from both ends: what engines
// sent, and what clients got. The checkers that compare the two are here; what the router believes
// is checked where it is known (router_node.h, kv_follower.h). The first finding is kept, because
// the others usually follow from it.
// Threads: thread-compatible.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "core/codec/sse_scanner.h"
#include "lab/sim/agenda.h"

namespace fairlead::sim {

enum class ClientEnd : std::uint8_t {
  kOpen,
  kComplete,    // A whole answer, as an HTTP client sees it.
  kRefused,     // An error reply, and no byte of an answer.
  kBroken,      // Cut off after its first bytes.
  kLost,        // The router's process ended under it.
  kLeft,        // The client went away itself.
  kTurnedAway,  // No router took the request.
};
std::string_view to_string(ClientEnd end);

using ClientId = std::uint32_t;
using FlowId = std::uint32_t;

struct Client {
  std::uint32_t prompt = 0;
  Time arrived{};
  std::optional<Time> ended{};
  ClientEnd end = ClientEnd::kOpen;
  std::string received{};
  std::optional<FlowId> flow{};  // The last one.
  std::uint32_t usages = 0;      // Times that the router told what it used.
  codec::Usage usage{};
};

// What an engine did for one try of a request.
struct SentAnswer {
  std::string bytes;
  bool whole = false;
  std::uint32_t output_tokens = 0;
  std::uint32_t cached_tokens = 0;
};

struct Finding {
  Time at{};
  std::string checker;
  std::string what;
};

class Ledger {
 public:
  explicit Ledger(const Agenda& agenda) : agenda_(agenda) {}

  void found(std::string_view checker, std::string what);
  const std::optional<Finding>& finding() const { return finding_; }

  ClientId arrive(std::uint32_t prompt);
  // A client whose router ended before it got anything, or was away, asks anew. False: it did get
  // something, or nobody was lost.
  bool ask_again(ClientId client);
  Client& client(ClientId id) { return clients_[id]; }
  const std::vector<Client>& clients() const { return clients_; }
  std::size_t open() const { return open_; }

  FlowId begin_flow(ClientId client);
  SentAnswer& sent(FlowId flow) { return flows_[flow]; }

  void receive(ClientId client, std::string_view bytes);
  void end(ClientId client, ClientEnd how);
  void tell_usage(ClientId client, const codec::Usage& usage);

  // After the last event.
  void check_end(Duration longest);

 private:
  void check_answer(ClientId id);

  const Agenda& agenda_;
  std::vector<Client> clients_;
  std::vector<SentAnswer> flows_;
  std::size_t open_ = 0;
  std::optional<Finding> finding_;
};

}  // namespace fairlead::sim
