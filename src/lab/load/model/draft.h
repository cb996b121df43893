// SPDX-License-Identifier: Apache-2.0
// Draft: requests of a run in the making, in any order. What lies outside the run is left out; what
// exceeds the bounds makes it full, and an error at the end. Thread-compatible.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <vector>

#include "base/result.h"
#include "lab/load/model/workload.h"

namespace fairlead::load {

class Draft {
 public:
  static constexpr std::size_t kRequestsMax = 2'000'000;
  static constexpr std::size_t kPartsMax = 8'000'000;

  // A prompt whose parts are kept; several requests may send it.
  struct Prompt {
    std::uint32_t first_part = 0;
    std::uint32_t part_count = 0;
    std::uint32_t answer_parts = 0;
    std::uint32_t tokens = 0;
  };

  explicit Draft(double length_s) : length_s_(length_s) {}

  // Nothing later can be of this run, or of any.
  bool over(double at_s) const { return at_s >= length_s_ || full(); }
  // The last `answer_parts` of the parts are the answer. Parts without tokens are left out.
  Prompt keep(std::span<const PromptPart> parts, std::uint32_t answer_parts);
  // Ignored unless 0 <= at_s < length.
  void add(double at_s, const Prompt& prompt, std::uint32_t output_tokens, std::uint32_t group);
  // keep() and add(), for a prompt that is sent once.
  void add_once(double at_s, std::span<const PromptPart> parts, std::uint32_t answer_parts,
                std::uint32_t output_tokens, std::uint32_t group);
  // The first of `count` new groups.
  std::uint32_t new_groups(std::uint32_t count);

  // One stage of the first `limit` requests by time; those of one time in the order of adding.
  Result<Workload> finish(std::string name, std::size_t limit) &&;

 private:
  bool full() const {
    return workload_.requests.size() >= kRequestsMax || workload_.parts.size() >= kPartsMax;
  }
  bool within(double at_s) const { return at_s >= 0 && at_s < length_s_; }

  double length_s_;
  Workload workload_;
};

}  // namespace fairlead::load
