// SPDX-License-Identifier: Apache-2.0
// HealthMachine: the health of one endpoint, from probes and from what workers saw.
//
//   unknown ─good probe─▶ healthy ─failures in a row─▶ ejected ─time, then a good probe─▶ returning
//                            ▲                             ▲───────────── any failure ───────┤
//                            └──────────────────── the ramp is over ─────────────────────────┘
//
// Probes and requests have a row of failures each, and the two together eject: an engine that fails
// every request but answers its probes must not hide behind them. A served request ends both rows.
// An ejection lasts `eject`, and twice as long each time it follows a return that did not last;
// a healthy spell of eject_max forgets them. While returning the endpoint takes a share of its
// traffic that grows from kFirstShare to 1 over the ramp. Pure; thread-compatible.
#pragma once

#include <cstdint>

#include "base/time.h"
#include "core/config/settings.h"
#include "core/model/endpoint.h"

namespace fairlead::fleet {

enum class Witness : std::uint8_t { kProbe, kRequest };

class HealthMachine {
 public:
  static constexpr double kFirstShare = 0.1;

  // A probe was answered well: ends a row of failed probes, and an ejection whose time is over.
  void on_probe_success(const config::HealthSettings& settings, Time now);
  // A request was answered: ends both rows of failures, but no ejection.
  void on_request_success();
  void on_failure(Witness witness, const config::HealthSettings& settings, Time now);
  // Moves on what time alone moves.
  void tick(const config::HealthSettings& settings, Time now);

  model::Health state() const { return state_; }
  // Quantised to tenths, so that a ramp republishes the pool ten times and not at every tick.
  double admit_share(const config::HealthSettings& settings, Time now) const;
  std::uint64_t ejections() const { return ejections_; }

 private:
  void eject(const config::HealthSettings& settings, Time now);

  model::Health state_ = model::Health::kUnknown;
  std::uint32_t failed_probes_ = 0;    // In a row.
  std::uint32_t failed_requests_ = 0;  // In a row.
  std::uint32_t relapses_ = 0;         // Ejections without a long healthy spell in between.
  std::uint64_t ejections_ = 0;        // Ever.
  Time until_{};                       // Ejected: when a probe may end it.
  Time since_{};                       // Returning or healthy: since when.
};

}  // namespace fairlead::fleet
