// SPDX-License-Identifier: Apache-2.0
// What a router tells the others of its placements, and takes of theirs: router::ReplicaExchange
// without threads and sockets.
#include <fmt/format.h>

#include <algorithm>

#include "lab/sim/router_node.h"

namespace fairlead::sim {
namespace {

constexpr Duration kTellEvery = std::chrono::milliseconds(5);
constexpr Duration kHeartbeat = std::chrono::seconds(1);

}  // namespace

void RouterNode::join_replicas() {
  if (world_.replicas == nullptr) return;
  name_ = world_.replicas->join(*this, world_.loop);
  inbox_.emplace(ReplicaWire::secret(), name_);
  beat();
}

void RouterNode::leave_replicas() {
  if (world_.replicas != nullptr) world_.replicas->leave(name_);
}

void RouterNode::beat() {
  tell();
  inbox_->forget_silent(now());
  world_.loop.after(kHeartbeat, [this] { beat(); });
}

void RouterNode::tell_placement(const model::Endpoint& endpoint,
                                std::span<const std::uint64_t> keys) {
  if (world_.replicas == nullptr || keys.empty()) return;
  const bool is_first = placements_told_.size() == 0;
  placements_told_.add({ReplicaWire::secret().endpoint_id(endpoint.name), keys});
  if (is_first) world_.loop.after(kTellEvery, [this] { tell(); });
}

void RouterNode::tell() {
  if (placements_told_.size() > 0) ++batches_told_;
  const replication::BatchHead head{name_, batches_told_, block_bytes()};
  const std::string message = placements_told_.finish(head);
  world_.replicas->send(head, message,
                        ReplicaWire::secret().seal({}, replication::digest_of(message)));
}

replication::BatchResult RouterNode::take_batch(std::string_view message, std::string_view seal) {
  const auto result = inbox_->take({}, message, seal, block_bytes(), now());
  if (result != replication::BatchResult::kTaken) return result;
  for (const replication::Placement& placement : inbox_->placements()) {
    const auto endpoint = std::ranges::find_if(pool_->endpoints, [&](const auto& one) {
      return ReplicaWire::secret().endpoint_id(one.name) == placement.endpoint;
    });
    if (endpoint != pool_->endpoints.end()) take_placement(*endpoint, placement.keys);
  }
  return result;
}

void RouterNode::take_placement(const model::Endpoint& endpoint,
                                std::span<const std::uint64_t> keys) {
  const std::uint32_t slot = endpoint.ref.slot;
  history_.record(slot, keys);
  history_lives_.try_emplace(slot, engine_of(endpoint).lives());
  std::vector<prefix::MatchedBlocks> matched(slot + 1);
  history_.match(keys, matched);
  if (matched[slot] > 0) return;
  world_.ledger.found("what routers tell each other",
                      fmt::format("{} has nothing of a prompt of {} blocks that was just told",
                                  endpoint.name, keys.size()));
}

// Every other process has told something since, and no one that ended counts.
void RouterNode::check_replicas() {
  if (world_.replicas == nullptr) return;
  const std::size_t living = inbox_->living(now());
  if (living + 1 == world_.replicas->members()) return;
  world_.ledger.found("recovery", fmt::format("a router hears {} others of {} long after the last "
                                              "fault",
                                              living, world_.replicas->members() - 1));
}

}  // namespace fairlead::sim
