// SPDX-License-Identifier: Apache-2.0
// Units: what arrives at one time and may send several requests: one request, a session, an
// agent's run, a visit to a document. One maker for each kind of prompts.
// The n-th unit is the same whenever it starts. Thread-compatible. Pure.
#pragma once

#include <cstdint>
#include <memory>

#include "lab/load/model/draft.h"
#include "lab/load/model/workload_spec.h"

namespace fairlead::load {

// Keeps one source's texts and draws apart from another's.
struct Scope {
  std::uint64_t seed = 1;
  double size = 1;  // Tokens over those of the specification, prefix sets apart.
};

class Units {
 public:
  virtual ~Units() = default;
  // Adds the requests of the n-th unit, the first at `at_s`; it may stop once the draft is over.
  virtual void add(std::uint64_t n, double at_s, Draft& draft) = 0;
  // Requests a unit, where neither the context's end nor the run's cuts it.
  virtual double mean_requests() const = 0;
};

// The specification must outlive them.
std::unique_ptr<Units> make_units(const Prompts& prompts, Scope scope);
std::unique_ptr<Units> make_agent_units(const AgentLoops& agents, Scope scope);

}  // namespace fairlead::load
