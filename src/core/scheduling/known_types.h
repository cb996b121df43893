// SPDX-License-Identifier: Apache-2.0
// The plugin types of llm-d's endpoint picker (v0.10) that no registry here offers: those whose
// work is built into this program, with the parameters they take there, and those still missing.
// A registry is asked first, so one that offers a type makes its row here meaningless.
// Source: github.com/llm-d/llm-d-router. Constant tables; pure functions.
#pragma once

#include <cstdint>
#include <span>
#include <string_view>

#include "core/config/section.h"

namespace fairlead::scheduling {

enum class Role : std::uint8_t {
  kFilter,
  kScorer,
  kPicker,
  kProducer,
  kSource,
  kExtractor,
  kParser,
  kHandler,
  kDiscovery,
  kDetector,
  kAdmitter,
  kResponse,
};
std::string_view to_string(Role role);

// How a parameter is written.
enum class Form : std::uint8_t { kText, kNumber, kCount, kFlag, kDuration, kTextMap, kAny };

enum class Unhonoured : std::uint8_t {
  kQuiet,   // Honoured, or covered by the remark on its type.
  kWarn,    // Tunes what is done differently here; the effect is the same in kind.
  kRefuse,  // Would change what happens; only `accepted`, what is done here, may be written.
};

struct ParameterRule {
  std::string_view name;  // Below the type's parameters; a.b is inside a mapping, a[].b in a list.
  Form form;
  Unhonoured otherwise;
  std::string_view accepted;  // The value that needs no remark.
};

// A type that configuration may name, but that makes no plugin: its work is always done.
struct BuiltInType {
  std::string_view type;
  Role role;
  std::string_view done_here;  // For messages: how this program does that work.
  std::span<const ParameterRule> parameters;
  std::string_view remark = {};  // A warning wherever the type is declared.
  std::string_view reads = {};   // The type of source that it may be an extractor of.
  void (*check)(config::Section& parameters) = nullptr;  // What concerns several parameters.
};

std::span<const BuiltInType> built_in_types();
const BuiltInType* built_in_type(std::string_view type);

// Reports what is wrong with the parameters, and what of them has no effect. Finishes them.
void check_parameters(const BuiltInType& type, config::Section& parameters);

// A type that llm-d has superseded. `stands_for` is what makes it here; empty: nothing does.
struct DeprecatedType {
  std::string_view type;
  std::string_view replacement;  // For the warning.
  std::string_view stands_for;
  // Its own parameters; null: those of what it stands for.
  const BuiltInType* own = nullptr;
};

const DeprecatedType* deprecated_type(std::string_view type);

struct MissingType {
  std::string_view type;
  std::string_view capability;  // That it belongs to and that is missing as a whole, or nothing.
};

std::span<const MissingType> missing_types();
const MissingType* missing_type(std::string_view type);

}  // namespace fairlead::scheduling
