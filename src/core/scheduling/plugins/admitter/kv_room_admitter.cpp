// SPDX-License-Identifier: Apache-2.0
#include "core/scheduling/plugins/admitter/kv_room_admitter.h"

namespace fairlead::scheduling {
namespace {

struct Room {
  float kv_share;
  float queue_tokens;
  float growth_tokens;
};

class KvRoomAdmitter final : public Admitter {
 public:
  explicit KvRoomAdmitter(Room room) : room_(room) {}

  Admission admit(const model::InferenceRequest&, const Candidates& table, Random&) const override {
    for (std::size_t row = 0; row < table.size(); ++row) {
      if (has_room(table, row)) return Admission::kAdmitted;
    }
    return Admission::kLater;
  }

 private:
  bool has_room(const Candidates& table, std::size_t row) const {
    if (table.inflight_requests[row] == 0) return true;
    if (table.inflight_tokens[row] > room_.queue_tokens) return false;
    const float capacity = table.kv_tokens[row];
    if (capacity == 0) return true;
    const float needed = table.kv_usage[row] * capacity + table.inflight_tokens[row] +
                         table.own_uncached_tokens[row] +
                         room_.growth_tokens * (table.inflight_requests[row] + 1);
    return needed <= room_.kv_share * capacity;
  }

  Room room_;
};

std::unique_ptr<Admitter> create_kv_room_admitter(config::Section& parameters) {
  const auto read = [&](std::string_view key, double fallback, double most) {
    return static_cast<float>(parameters.number(key, fallback, 0, most));
  };
  return std::make_unique<KvRoomAdmitter>(Room{
      read("kvShare", 0.95, 1), read("queueTokens", 16384, 1e9), read("growthTokens", 0, 1e6)});
}

}  // namespace

AdmitterSpec kv_room_admitter_spec() {
  return {kKvRoomAdmitter,
          Stability::kBeta,
          {Column::kInFlightRequests, Column::kInFlightTokens, Column::kOwnUncachedTokens,
           Column::kKvUsage, Column::kKvTokens},
          AdmitsWhen::kDeclared,
          create_kv_room_admitter};
}

}  // namespace fairlead::scheduling
