// SPDX-License-Identifier: Apache-2.0
#include "lab/sim/replica_wire.h"

#include <fmt/format.h>

#include <utility>

#include "lab/sim/engine_host.h"

namespace fairlead::sim {
namespace {

constexpr double kBatchLostShare = 0.05;
constexpr double kBatchLateShare = 0.1;
constexpr double kBatchLateSeconds = 0.06;
constexpr double kBatchTwiceShare = 0.05;
constexpr double kBatchChangedShare = 0.03;

}  // namespace

ReplicaWire::ReplicaWire(Agenda& agenda, Ledger& ledger, std::uint64_t seed)
    : agenda_(agenda), ledger_(ledger), random_(seed) {}

const replication::ReplicaSecret& ReplicaWire::secret() {
  static const auto made = *replication::ReplicaSecret::derive("a secret of all simulated routers");
  return made;
}

std::uint64_t ReplicaWire::join(ReplicaPort& port, RouterLoop& loop) {
  members_[++names_] = {&port, &loop, {}};
  return names_;
}

void ReplicaWire::leave(std::uint64_t name) { members_.erase(name); }

void ReplicaWire::send(const replication::BatchHead& head, const std::string& message,
                       const replication::Seal& seal) {
  for (const auto& [name, member] : members_) send_to(name, head, message, seal);
}

void ReplicaWire::send_to(std::uint64_t to, const replication::BatchHead& head,
                          const std::string& message, const replication::Seal& seal) {
  if (random_.uniform() < kBatchLostShare) return;
  const bool late = random_.uniform() < kBatchLateShare;
  const Duration delay = late ? from_seconds(kBatchLateSeconds * random_.uniform()) : Duration{};
  const bool is_empty = message.size() == replication::PlacementWriter().finish(head).size();
  const Shape intact = is_empty ? Shape::kEmpty : Shape::kWhole;
  if (random_.uniform() < kBatchTwiceShare) deliver(to, head, message, seal, intact, delay);
  if (random_.uniform() >= kBatchChangedShare) {
    return deliver(to, head, message, seal, intact, delay);
  }
  std::string changed = message;
  const std::uint64_t bit = random_.below(8 * changed.size());
  changed[bit / 8] = static_cast<char>(changed[bit / 8] ^ (1 << bit % 8));
  const bool is_marked = replication::looks_like_batch(changed);
  deliver(to, head, changed, seal, is_marked ? Shape::kChanged : Shape::kMarkGone, delay);
}

void ReplicaWire::deliver(std::uint64_t to, const replication::BatchHead& head,
                          const std::string& message, const replication::Seal& seal, Shape shape,
                          Duration late) {
  RouterLoop& loop = *members_.at(to).loop;
  agenda_.after(kWire + late, loop.wrap([this, to, head, message, seal, shape] {
    const auto member = members_.find(to);
    if (member == members_.end()) return;
    const replication::BatchResult expected = due(member->second, to, head, shape);
    const std::string_view bytes(reinterpret_cast<const char*>(seal.data()), seal.size());
    const replication::BatchResult made = member->second.port->take_batch(message, bytes);
    if (made == expected) return;
    ledger_.found("what routers tell each other",
                  fmt::format("batch {} of process {} is {} to process {}, and was {}", head.number,
                              head.sender, replication::to_string(made), to,
                              replication::to_string(expected)));
  }));
}

replication::BatchResult ReplicaWire::due(Member& member, std::uint64_t to,
                                          const replication::BatchHead& head, Shape shape) {
  using replication::BatchResult;
  if (shape == Shape::kMarkGone) return BatchResult::kMalformed;
  if (shape == Shape::kChanged) return BatchResult::kUnsealed;
  if (head.sender == to) return BatchResult::kOwn;
  const auto known = member.heard.find(head.sender);
  const bool is_new = known == member.heard.end() || head.number > known->second ||
                      (shape == Shape::kEmpty && head.number == known->second);
  if (!is_new) return BatchResult::kRepeated;
  member.heard[head.sender] = head.number;
  return head.block_bytes == member.port->block_bytes() ? BatchResult::kTaken
                                                        : BatchResult::kOtherBlocks;
}

}  // namespace fairlead::sim
