// SPDX-License-Identifier: Apache-2.0
// ResponseHolders: which endpoint made an answer of the Responses API, by the hash of its id
// (core/codec/answer_id.h), because that endpoint alone can continue it.
//
// Bounds: kEntriesMax, of which each id may stand in one of kWays places, where it replaces the
// one used longest ago; kLifetime after its last use. Memory is taken with the first entry, once.
// Threads: thread-compatible. Time is an argument.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <vector>

#include "base/time.h"
#include "core/model/endpoint.h"

namespace fairlead::fleet {

class ResponseHolders {
 public:
  static constexpr std::size_t kEntriesMax = 64 * 1024;
  static constexpr std::size_t kWays = 8;
  static constexpr Duration kLifetime = std::chrono::hours(24);

  struct Figures {
    std::uint64_t held = 0;     // Those beyond their lifetime too, until they are replaced.
    std::uint64_t evicted = 0;  // Replaced within their lifetime.
  };

  // `id` is not 0.
  void note(std::uint64_t id, model::EndpointRef endpoint, Time now);
  std::optional<model::EndpointRef> find(std::uint64_t id, Time now);
  const Figures& figures() const { return figures_; }

 private:
  struct Entry {
    std::uint64_t id = 0;  // 0: free.
    model::EndpointRef endpoint;
    Time used{};
  };
  std::span<Entry> ways(std::uint64_t id);

  std::vector<Entry> entries_;
  Figures figures_;
};

}  // namespace fairlead::fleet
