// SPDX-License-Identifier: Apache-2.0
// Registry: the plugin types a program offers, looked up by the name used in configuration.
// An ordinary object: the composition root fills it (catalog.h) and passes it on; no static
// initialisers. Thread-compatible while filled, immutable afterwards.
#pragma once

#include <string_view>
#include <vector>

#include "base/result.h"
#include "core/scheduling/plugin.h"

namespace fairlead::scheduling {

class Registry {
 public:
  // A type name is an error when its kind has it already. One type may be of several kinds: a
  // profile that names it gets each of them.
  Result<void> add(const FilterSpec& spec);
  Result<void> add(const ScorerSpec& spec);
  Result<void> add(const PickerSpec& spec);
  Result<void> add(const AdmitterSpec& spec);
  Result<void> add(const ReporterSpec& spec);

  const FilterSpec* filter(std::string_view type) const;
  const ScorerSpec* scorer(std::string_view type) const;
  const PickerSpec* picker(std::string_view type) const;
  const AdmitterSpec* admitter(std::string_view type) const;
  const ReporterSpec* reporter(std::string_view type) const;

  const std::vector<FilterSpec>& filters() const { return filters_; }
  const std::vector<ScorerSpec>& scorers() const { return scorers_; }
  const std::vector<PickerSpec>& pickers() const { return pickers_; }
  const std::vector<AdmitterSpec>& admitters() const { return admitters_; }
  const std::vector<ReporterSpec>& reporters() const { return reporters_; }

 private:
  std::vector<FilterSpec> filters_;
  std::vector<ScorerSpec> scorers_;
  std::vector<PickerSpec> pickers_;
  std::vector<AdmitterSpec> admitters_;
  std::vector<ReporterSpec> reporters_;
};

}  // namespace fairlead::scheduling
