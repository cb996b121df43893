// SPDX-License-Identifier: Apache-2.0
// Our index as the driver uses it: pods divided among lanes, operations applied to them, prompts
// looked up. apply() of different lanes may run on different threads; the rest as in kv_lane.h.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <vector>

#include "core/prefix/kv_index.h"
#include "core/prefix/kv_lane.h"
#include "core/prefix/token_keys.h"
#include "ops.h"

namespace fairlead::bench {

class Fleet {
 public:
  static constexpr std::uint64_t kSeed = 0x6b76'696e'6465'78;

  static constexpr std::uint64_t kBudgetBytes = std::uint64_t{1} << 30;

  Fleet(std::uint32_t pods, std::uint32_t lanes, std::uint64_t budget_bytes = kBudgetBytes)
      : keys_(kSeed), slots_(pods) {
    std::vector<const prefix::KvLane*> views;
    for (std::uint32_t lane = 0; lane < lanes; ++lane) {
      prefix::KvLaneOptions options;
      options.seed = kSeed;
      options.budget_bytes = budget_bytes;
      options.slots_max = (pods + lanes - 1) / lanes;
      lanes_.push_back(std::make_unique<prefix::KvLane>(options));
      views.push_back(lanes_.back().get());
    }
    index_.emplace(views);
    for (std::uint32_t pod = 0; pod < pods; ++pod) slots_[pod] = *lane_of(pod).open(0);
  }

  std::uint32_t lanes() const { return static_cast<std::uint32_t>(lanes_.size()); }
  std::uint32_t pods() const { return static_cast<std::uint32_t>(slots_.size()); }
  const prefix::KvIndex& index() const { return *index_; }
  const prefix::KvLane& lane(std::size_t number) const { return *lanes_[number]; }

  // How many operations before its turn one is announced.
  static constexpr std::size_t kAhead = 3;
  void expect(const Op& op) {
    if (op.engines.empty()) return;
    lane_of(op.pod).expect(slots_[op.pod], op.parent == 0 ? op.engines[0] : op.parent,
                           op.engines[0]);
  }
  void apply(const Op& op) {
    prefix::KvLane& lane = lane_of(op.pod);
    if (op.kind == OpKind::kRemove) {
      lane.remove(slots_[op.pod], op.engines);
      return;
    }
    const auto parent = op.parent == 0 ? std::nullopt : std::optional(op.parent);
    lane.store(slots_[op.pod], root(), parent, op.engines, op.contents);
  }

  void retire(std::uint32_t pod) { lane_of(pod).retire(slots_[pod]); }
  // After retire(): sweeps, and the pod may be used again.
  void reopen(std::uint32_t pod) {
    prefix::KvLane& lane = lane_of(pod);
    while (lane.sweep(std::size_t{1} << 20) != 0) {
    }
    lane.recycle(slots_[pod]);
    slots_[pod] = *lane.open(0);
  }

  std::vector<std::uint64_t> keys(std::span<const std::uint64_t> contents) const {
    std::vector<std::uint64_t> out;
    std::uint64_t key = root();
    for (const std::uint64_t content : contents) out.push_back(key = keys_.chain(key, content));
    return out;
  }
  std::size_t row(std::uint32_t pod) const {
    return index_->first_row(pod % lanes()) + slots_[pod];
  }

  std::uint64_t memory_bytes() const {
    std::uint64_t sum = 0;
    for (const auto& lane : lanes_) sum += lane->memory_bytes();
    return sum;
  }

 private:
  prefix::KvLane& lane_of(std::uint32_t pod) { return *lanes_[pod % lanes_.size()]; }
  std::uint64_t root() const { return root_; }

  prefix::TokenKeys keys_;
  std::uint64_t root_ = keys_.root({.model = "m", .adapter = {}, .cache_salt = {}});
  std::vector<std::unique_ptr<prefix::KvLane>> lanes_;
  std::optional<prefix::KvIndex> index_;
  std::vector<prefix::KvSlot> slots_;
};

}  // namespace fairlead::bench
