// SPDX-License-Identifier: Apache-2.0
#include "lab/sim/ledger.h"

#include <fmt/format.h>

#include <utility>

namespace fairlead::sim {

std::string_view to_string(ClientEnd end) {
  switch (end) {
    case ClientEnd::kOpen:
      return "open";
    case ClientEnd::kComplete:
      return "complete";
    case ClientEnd::kRefused:
      return "refused";
    case ClientEnd::kBroken:
      return "broken";
    case ClientEnd::kLost:
      return "lost";
    case ClientEnd::kLeft:
      return "left";
    case ClientEnd::kTurnedAway:
      return "turned away";
  }
  return "unknown";
}

void Ledger::found(std::string_view checker, std::string what) {
  if (!finding_) finding_ = {agenda_.now(), std::string(checker), std::move(what)};
}

ClientId Ledger::arrive(std::uint32_t prompt) {
  clients_.push_back({.prompt = prompt, .arrived = agenda_.now()});
  ++open_;
  return static_cast<ClientId>(clients_.size() - 1);
}

bool Ledger::ask_again(ClientId client) {
  Client& mine = clients_[client];
  const bool lost = mine.end == ClientEnd::kLost || mine.end == ClientEnd::kTurnedAway;
  if (!lost || !mine.received.empty()) return false;
  mine = {.prompt = mine.prompt, .arrived = agenda_.now()};
  ++open_;
  return true;
}

FlowId Ledger::begin_flow(ClientId client) {
  if (!clients_[client].received.empty()) {
    found("no retry after a byte",
          fmt::format("request {} was sent on after its client had {} bytes", client,
                      clients_[client].received.size()));
  }
  flows_.emplace_back();
  const auto flow = static_cast<FlowId>(flows_.size() - 1);
  clients_[client].flow = flow;
  return flow;
}

void Ledger::receive(ClientId client, std::string_view bytes) {
  if (clients_[client].end != ClientEnd::kOpen) {
    found("answered once", fmt::format("request {} got bytes behind its end", client));
  }
  clients_[client].received += bytes;
}

void Ledger::end(ClientId client, ClientEnd how) {
  Client& mine = clients_[client];
  if (mine.end != ClientEnd::kOpen) {
    return found("answered once", fmt::format("request {} ended twice, {} and {}", client,
                                              to_string(mine.end), to_string(how)));
  }
  mine.end = how;
  mine.ended = agenda_.now();
  --open_;
  if (how == ClientEnd::kComplete) check_answer(client);
}

void Ledger::tell_usage(ClientId client, const codec::Usage& usage) {
  ++clients_[client].usages;
  clients_[client].usage = usage;
}

// What looks complete to the client is what one engine sent, whole, and is counted once.
void Ledger::check_answer(ClientId id) {
  const Client& client = clients_[id];
  if (!client.flow) return found("whole answers", fmt::format("request {}: by nobody", id));
  const SentAnswer& sent = flows_[*client.flow];
  if (!sent.whole || client.received != sent.bytes) {
    found("whole answers",
          fmt::format("request {} looks complete with {} bytes; the engine sent {}{}", id,
                      client.received.size(), sent.bytes.size(), sent.whole ? "" : " so far"));
  }
}

void Ledger::check_end(Duration longest) {
  for (std::size_t id = 0; id < clients_.size(); ++id) {
    const Client& client = clients_[id];
    if (client.end == ClientEnd::kOpen) {
      found("nothing lost", fmt::format("request {} never ended", id));
    } else if (*client.ended - client.arrived > longest) {
      found("no starvation", fmt::format("request {} took {:.3f} s", id,
                                         to_seconds(*client.ended - client.arrived)));
    }
    if (client.end != ClientEnd::kComplete || !client.flow) continue;
    const SentAnswer& sent = flows_[*client.flow];
    const bool right = client.usages == 1 && client.usage.completion_tokens == sent.output_tokens &&
                       client.usage.cached_tokens == sent.cached_tokens;
    if (!right) {
      found("usage once",
            fmt::format("request {}: told {} times, {} output and {} cached tokens; the engine "
                        "said {} and {}",
                        id, client.usages, client.usage.completion_tokens.value_or(0),
                        client.usage.cached_tokens.value_or(0), sent.output_tokens,
                        sent.cached_tokens));
    }
  }
}

}  // namespace fairlead::sim
