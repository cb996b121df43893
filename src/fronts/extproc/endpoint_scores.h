// SPDX-License-Identifier: Apache-2.0
// EndpointScores: the totals of all endpoints that a decision rated, named as a proxy knows them,
// for --emit-endpoint-scores. Reuses its memory. Units: as the policy's scorers give them; a policy
// of costs has negative totals. Threads: the worker's thread.
#pragma once

#include <cstddef>
#include <span>
#include <string>
#include <vector>

#include "core/codec/ext_proc.h"
#include "core/picker/picker.h"

namespace fairlead::extproc {

class EndpointScores {
 public:
  // Valid until the next call.
  std::span<const codec::NamedNumber> read(const picker::Rated& rated);

 private:
  std::string name_;
  std::string text_;  // The names, one behind the other.
  std::vector<std::size_t> ends_;
  std::vector<codec::NamedNumber> numbers_;
};

}  // namespace fairlead::extproc
