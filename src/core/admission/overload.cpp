// SPDX-License-Identifier: Apache-2.0
#include "core/admission/overload.h"

namespace fairlead::admission {
namespace {

// An action is taken for the resources that it gives back. Closing connections costs clients new
// handshakes, so a late event loop is no reason for it; and beyond limits.connections a client is
// told, which helps it more than to wait outside. A body beyond limits.bufferedBytes is refused by
// itself: to shed all requests for it would let whoever uploads slowly shut out everybody.
constexpr bool helps(OverloadAction action, Resource resource) {
  switch (action) {
    case OverloadAction::kStopKeepalive:
    case OverloadAction::kDropIdle:
      return resource == Resource::kConnections || resource == Resource::kDescriptors ||
             resource == Resource::kMemory;
    case OverloadAction::kTightenBuffers:
      return resource == Resource::kMemory;
    case OverloadAction::kShedRequests:
      return resource != Resource::kConnections && resource != Resource::kBufferedBytes;
    case OverloadAction::kRefuseConnections:
      return resource == Resource::kDescriptors || resource == Resource::kMemory;
  }
  return false;
}

double threshold_of(OverloadAction action, const config::OverloadSettings& settings) {
  switch (action) {
    case OverloadAction::kStopKeepalive:
      return settings.stop_keepalive;
    case OverloadAction::kTightenBuffers:
      return settings.tighten_buffers;
    case OverloadAction::kDropIdle:
      return settings.drop_idle;
    case OverloadAction::kShedRequests:
      return settings.shed_requests;
    case OverloadAction::kRefuseConnections:
      return settings.refuse_connections;
  }
  return 1;
}

}  // namespace

std::string_view to_string(Resource resource) {
  switch (resource) {
    case Resource::kConnections:
      return "connections";
    case Resource::kDescriptors:
      return "descriptors";
    case Resource::kBufferedBytes:
      return "buffered_bytes";
    case Resource::kMemory:
      return "memory";
    case Resource::kLoopLag:
      return "loop_lag";
  }
  return "unknown";
}

std::string_view to_string(OverloadAction action) {
  switch (action) {
    case OverloadAction::kStopKeepalive:
      return "stop_keepalive";
    case OverloadAction::kTightenBuffers:
      return "tighten_buffers";
    case OverloadAction::kDropIdle:
      return "drop_idle";
    case OverloadAction::kShedRequests:
      return "shed_requests";
    case OverloadAction::kRefuseConnections:
      return "refuse_connections";
  }
  return "unknown";
}

Pressures pressures_of(const Readings& readings) {
  Pressures pressures{};
  for (std::size_t i = 0; i < kResourceCount; ++i) {
    const Use& use = readings[i];
    if (use.limit == 0) continue;
    pressures[i] = static_cast<double>(use.used) / static_cast<double>(use.limit);
  }
  return pressures;
}

Resource cause_of(OverloadAction action, const Pressures& pressures) {
  Resource worst = Resource::kMemory;  // Which every action helps.
  for (std::size_t i = 0; i < kResourceCount; ++i) {
    const auto resource = static_cast<Resource>(i);
    if (helps(action, resource) && pressures[i] > pressures[static_cast<std::size_t>(worst)]) {
      worst = resource;
    }
  }
  return worst;
}

OverloadActions next_actions(OverloadActions now, const Pressures& pressures,
                             const config::OverloadSettings& settings) {
  OverloadActions next;
  for (std::size_t i = 0; i < kOverloadActionCount; ++i) {
    const auto action = static_cast<OverloadAction>(i);
    const double worst = pressures[static_cast<std::size_t>(cause_of(action, pressures))];
    const double begin = threshold_of(action, settings);
    const double end = begin - settings.hysteresis;
    if (worst >= (now.has(action) ? end : begin)) next = next.with(action);
  }
  return next;
}

}  // namespace fairlead::admission
