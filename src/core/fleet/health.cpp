// SPDX-License-Identifier: Apache-2.0
#include "core/fleet/health.h"

#include <algorithm>
#include <cmath>

#include "base/mutant.h"

namespace fairlead::fleet {

using model::Health;

void HealthMachine::on_probe_success(const config::HealthSettings& settings, Time now) {
  tick(settings, now);
  switch (state_) {
    case Health::kUnknown:
      state_ = Health::kHealthy;
      since_ = now;
      break;
    case Health::kEjected:
      if (now < until_) return;
      state_ = Health::kReturning;
      since_ = now;
      break;
    default:
      break;
  }
  failed_probes_ = 0;
}

void HealthMachine::on_request_success() {
  if (state_ == Health::kHealthy || state_ == Health::kReturning) {
    failed_probes_ = failed_requests_ = 0;
  }
}

void HealthMachine::on_failure(Witness witness, const config::HealthSettings& settings, Time now) {
  tick(settings, now);
  switch (state_) {
    case Health::kUnknown:
      break;
    case Health::kHealthy:
      if (planted(Mutant::kHiddenFailures) && witness == Witness::kRequest) break;
      ++(witness == Witness::kProbe ? failed_probes_ : failed_requests_);
      if (planted(Mutant::kMissedEjection)) break;
      if (failed_probes_ + failed_requests_ >= settings.unhealthy_after) eject(settings, now);
      break;
    case Health::kReturning:
      eject(settings, now);
      break;
    case Health::kEjected:
      // Still down after its time: wait once more, for the shortest time, as it relapsed into
      // nothing. Requests from before the ejection may fail late and say nothing new.
      if (witness != Witness::kProbe || now < until_) break;
      until_ = now + (planted(Mutant::kLateReturn) ? 2 * settings.eject_max : settings.eject);
      break;
  }
}

void HealthMachine::eject(const config::HealthSettings& settings, Time now) {
  Duration length = settings.eject;
  for (std::uint32_t i = 0; i < relapses_ && length < settings.eject_max; ++i) length *= 2;
  until_ = now + std::min(length, settings.eject_max);
  state_ = Health::kEjected;
  failed_probes_ = failed_requests_ = 0;
  ++relapses_;
  ++ejections_;
}

void HealthMachine::tick(const config::HealthSettings& settings, Time now) {
  if (state_ == Health::kReturning && now >= since_ + settings.return_ramp) {
    state_ = Health::kHealthy;
    since_ = now;
  }
  if (state_ == Health::kHealthy && now >= since_ + settings.eject_max) relapses_ = 0;
}

double HealthMachine::admit_share(const config::HealthSettings& settings, Time now) const {
  if (state_ != Health::kReturning) return 1;
  const double done = settings.return_ramp > Duration{}
                          ? to_seconds(now - since_) / to_seconds(settings.return_ramp)
                          : 1;
  const double share = kFirstShare + (1 - kFirstShare) * std::clamp(done, 0.0, 1.0);
  return std::max(kFirstShare, std::floor(share * 10) / 10);
}

}  // namespace fairlead::fleet
