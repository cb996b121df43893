// SPDX-License-Identifier: Apache-2.0
#include "lab/plan/static_partition.h"

#include <algorithm>
#include <unordered_map>
#include <vector>

namespace fairlead::plan {
namespace {

using SlotOfPrefix = std::unordered_map<std::uint64_t, std::uint32_t>;

class PartitionScorer final : public scheduling::Scorer {
 public:
  explicit PartitionScorer(SlotOfPrefix slots) : slots_(std::move(slots)) {}
  void score(const model::InferenceRequest& request, const scheduling::Candidates& table,
             std::span<const std::uint32_t> rows, std::span<float> out) const override {
    if (request.keys.empty()) return;
    const auto found = slots_.find(request.keys.front());
    if (found == slots_.end()) return;
    for (std::size_t i = 0; i < rows.size(); ++i) {
      out[i] = table.endpoint[rows[i]]->ref.slot == found->second ? 1.0F : 0.0F;
    }
  }

 private:
  SlotOfPrefix slots_;
};

class FirstBest final : public scheduling::Picker {
 public:
  scheduling::Ranking pick(std::span<const std::uint32_t>, std::span<const float> totals,
                           const scheduling::Candidates&,
                           scheduling::DecisionContext&) const override {
    return scheduling::Ranking(
        static_cast<std::size_t>(std::ranges::max_element(totals) - totals.begin()));
  }
};

struct Group {
  std::uint32_t number = load::kNoGroup;
  std::uint64_t prefix = 0;
  std::uint64_t work = 0;  // Tokens.
};

std::optional<std::vector<Group>> groups_of(const world::PreparedWorkload& prepared) {
  const load::Workload& workload = prepared.workload();
  std::vector<Group> groups(workload.group_count);
  for (std::uint32_t i = 0; i < workload.requests.size(); ++i) {
    const load::PlannedRequest& request = workload.requests[i];
    const std::vector<std::uint64_t>& keys = prepared.keys(i).router;
    if (request.group >= groups.size() || keys.empty()) return std::nullopt;
    Group& group = groups[request.group];
    if (group.number == load::kNoGroup) group = {request.group, keys.front(), 0};
    if (group.prefix != keys.front()) return std::nullopt;
    group.work += request.output_tokens;
  }
  std::erase_if(groups, [](const Group& group) { return group.number == load::kNoGroup; });
  return groups;
}

std::optional<SlotOfPrefix> place(std::vector<Group> groups, std::uint32_t engines) {
  std::ranges::sort(groups, [](const Group& a, const Group& b) {
    return a.work != b.work ? a.work > b.work : a.number < b.number;
  });
  std::vector<std::uint64_t> burden(engines);
  SlotOfPrefix slots;
  for (const Group& group : groups) {
    const auto least = std::ranges::min_element(burden);
    *least += group.work;
    const auto slot = static_cast<std::uint32_t>(least - burden.begin());
    if (!slots.emplace(group.prefix, slot).second) return std::nullopt;
  }
  return slots;
}

}  // namespace

std::optional<scheduling::Profile> static_partition(const world::PreparedWorkload& prepared,
                                                    std::uint32_t engines) {
  if (prepared.workload().group_count == 0) return std::nullopt;
  auto groups = groups_of(prepared);
  if (!groups) return std::nullopt;
  auto slots = place(std::move(*groups), engines);
  if (!slots) return std::nullopt;
  scheduling::Profile profile;
  profile.name = kStaticPartition;
  profile.scorers.push_back({"partition", std::make_unique<PartitionScorer>(std::move(*slots)), 1});
  profile.picker_name = "first-best";
  profile.picker = std::make_unique<FirstBest>();
  return profile;
}

}  // namespace fairlead::plan
