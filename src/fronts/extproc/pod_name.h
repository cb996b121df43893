// SPDX-License-Identifier: Apache-2.0
// PodName: an endpoint's name as llm-d's metrics tell it, in two labels. Endpoints of
// file-discovery are named namespace/name; all others are of the namespace "default". Pure.
#pragma once

#include <string_view>

namespace fairlead::extproc {

struct PodName {
  std::string_view name_space;
  std::string_view name;
};

inline PodName pod_name(std::string_view endpoint) {
  const std::size_t slash = endpoint.find('/');
  if (slash == std::string_view::npos) return {"default", endpoint};
  return {endpoint.substr(0, slash), endpoint.substr(slash + 1)};
}

}  // namespace fairlead::extproc
