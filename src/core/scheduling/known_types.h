// SPDX-License-Identifier: Apache-2.0
// The plugin types of llm-d's endpoint picker (v0.10) that no registry here offers: those whose
// work is built into this program, with the parameters they take there, and those still missing.
// They make the difference between "not supported yet" and "unknown" in a problem message. Source:
// github.com/llm-d/llm-d-router. Constant tables; pure functions.
#pragma once

#include <cstdint>
#include <span>
#include <string_view>

namespace fairlead::scheduling {

enum class Role : std::uint8_t { kProducer, kSource, kExtractor, kParser, kHandler };

enum class Unhonoured : std::uint8_t {
  kWarn,    // Tunes what is done differently here; the effect is the same in kind.
  kRefuse,  // Would change what happens; only `accepted`, what is done here, may be written.
};

struct ParameterRule {
  std::string_view name;
  Unhonoured otherwise;
  std::string_view accepted;  // The value that needs no remark.
};

// A type that configuration may name, but that makes no plugin: its work is always done.
struct BuiltInType {
  std::string_view type;
  Role role;
  std::string_view done_here;  // For messages: how this program does that work.
  std::span<const ParameterRule> parameters;
};

std::span<const BuiltInType> built_in_types();
const BuiltInType* built_in_type(std::string_view type);

// Every other type of llm-d. A registry is asked first, so one that offers a type makes it known.
std::span<const std::string_view> other_types();

}  // namespace fairlead::scheduling
