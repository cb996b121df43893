// SPDX-License-Identifier: Apache-2.0
// ProfileBoard: what `fairlead serve --profile` knows of each worker, and what that means in words.
// Threads: report() from any; each worker's row is written by its thread.
#pragma once

#include <atomic>
#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "io/net/loop_profile.h"

namespace fairlead::gateway {

struct WorkerProfile {
  net::LoopProfile loop;
  std::atomic<std::uint64_t> connections{0};  // Of clients, open now.
};

// As a report needs it.
struct WorkerShares {
  std::array<double, net::kLoopPartCount> seconds{};  // By net::LoopPart.
  std::uint64_t connections = 0;
};

class ProfileBoard {
 public:
  explicit ProfileBoard(std::uint32_t workers);
  WorkerProfile& worker(std::uint32_t number) { return *workers_[number]; }
  // `exposition` is the router's metrics as text.
  std::string report(std::string_view exposition) const;

 private:
  std::vector<std::unique_ptr<WorkerProfile>> workers_;
};

// The sum of a metric's cells in a Prometheus text.
double sum_of(std::string_view exposition, std::string_view name);
// A table of the workers, then hints, each a line.
std::string profile_text(const std::vector<WorkerShares>& workers, std::string_view exposition);

}  // namespace fairlead::gateway
