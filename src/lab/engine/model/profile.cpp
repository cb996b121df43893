// SPDX-License-Identifier: Apache-2.0
#include "lab/engine/model/profile.h"

#include <array>
#include <iterator>
#include <variant>
#include <vector>

#include "core/config/section.h"

namespace fairlead::engine {
namespace {

// Keeps token counts and their products exact in 64 bits, and blocks within 32.
constexpr std::int64_t kMaxTokens = 4'000'000'000;
// Longer than any one coefficient can be; keeps a step within a Duration.
constexpr double kMaxSeconds = 3600;

enum class Need { kRequired, kOptional };

struct Field {
  std::string_view key;
  std::variant<std::string EngineProfile::*, std::int64_t EngineProfile::*, double EngineProfile::*,
               bool EngineProfile::*>
      member;
  Need need = Need::kRequired;
  double max = kMaxSeconds;  // Of a number.
};

constexpr std::array kFields{
    Field{"name", &EngineProfile::name},
    Field{"model", &EngineProfile::model},
    Field{"kv_tokens", &EngineProfile::kv_tokens},
    Field{"block_size", &EngineProfile::block_size, Need::kOptional},
    Field{"max_batched_tokens", &EngineProfile::max_batched_tokens, Need::kOptional},
    Field{"max_num_seqs", &EngineProfile::max_num_seqs, Need::kOptional},
    Field{"max_model_len", &EngineProfile::max_model_len},
    Field{"max_loras", &EngineProfile::max_loras, Need::kOptional},
    Field{"async_scheduling", &EngineProfile::async_scheduling, Need::kOptional},
    Field{"step_floor_s", &EngineProfile::step_floor_s},
    Field{"per_token_s", &EngineProfile::per_token_s},
    Field{"attention_s", &EngineProfile::attention_s},
    Field{"kv_read_s", &EngineProfile::kv_read_s},
    Field{"per_sequence_s", &EngineProfile::per_sequence_s},
    Field{"host_overhead_s", &EngineProfile::host_overhead_s},
    Field{"noise_sigma", &EngineProfile::noise_sigma, Need::kOptional, 2},
};

struct Fault {
  std::string_view key;
  std::string text;
};

std::vector<Fault> find_faults(const EngineProfile& profile) {
  std::vector<Fault> faults;
  for (const Field& field : kFields) {
    if (const auto* text = std::get_if<std::string EngineProfile::*>(&field.member)) {
      if ((profile.**text).empty()) faults.push_back({field.key, "must not be empty"});
    } else if (const auto* count = std::get_if<std::int64_t EngineProfile::*>(&field.member)) {
      const std::int64_t value = profile.**count;
      if (value >= 1 && value <= kMaxTokens) continue;
      faults.push_back({field.key, fmt::format("must be in 1..{}, not {}", kMaxTokens, value)});
    } else if (const auto* number = std::get_if<double EngineProfile::*>(&field.member)) {
      const double value = profile.**number;
      if (value >= 0 && value <= field.max) continue;
      faults.push_back({field.key, fmt::format("must be in 0..{}, not {}", field.max, value)});
    }
  }
  if (!faults.empty()) return faults;
  const std::int64_t usable = profile.kv_tokens / profile.block_size * profile.block_size;
  if (profile.max_model_len > usable) {
    faults.push_back(
        {"max_model_len", fmt::format("a request of {} tokens can never fit the {} tokens of whole "
                                      "blocks in kv_tokens; lower it or raise kv_tokens",
                                      profile.max_model_len, usable)});
  }
  return faults;
}

void read_field(config::Section& root, const Field& field, EngineProfile& profile) {
  if (!root.has(field.key)) {
    if (field.need == Need::kRequired) root.error("", fmt::format("{} is missing", field.key));
    root.skip(field.key);
  } else if (const auto* text = std::get_if<std::string EngineProfile::*>(&field.member)) {
    profile.** text = root.required_text(field.key);
  } else if (const auto* count = std::get_if<std::int64_t EngineProfile::*>(&field.member)) {
    profile.** count = root.integer(field.key, profile.**count, 1, kMaxTokens);
  } else if (const auto* number = std::get_if<double EngineProfile::*>(&field.member)) {
    profile.** number = root.number(field.key, profile.**number, 0, field.max);
  } else {
    bool& value = profile.*std::get<bool EngineProfile::*>(field.member);
    value = root.boolean(field.key).value_or(value);
  }
}

}  // namespace

EngineProfile at_speed(EngineProfile profile, double speed) {
  for (double* const seconds : {&profile.step_floor_s, &profile.per_token_s, &profile.attention_s,
                                &profile.kv_read_s, &profile.per_sequence_s}) {
    *seconds /= speed;
  }
  return profile;
}

Result<void> validate(const EngineProfile& profile) {
  std::string message;
  for (const Fault& fault : find_faults(profile)) {
    if (!message.empty()) message += '\n';
    fmt::format_to(std::back_inserter(message), "engine profile '{}': {} {}", profile.name,
                   fault.key, fault.text);
  }
  if (message.empty()) return {};
  return fail(ErrorCode::kInvalidArgument, "{}", message);
}

Result<EngineProfile> parse_profile(std::string_view text, std::string_view file) {
  config::Problems problems;
  config::Section root = config::Section::parse(text, file, problems);
  EngineProfile profile;
  for (const Field& field : kFields) read_field(root, field, profile);
  root.finish();
  if (!problems.has_errors()) {
    for (const Fault& fault : find_faults(profile)) root.error(fault.key, fault.text);
  }
  if (!problems.has_errors()) return profile;
  std::string message = problems.to_string();
  while (message.ends_with('\n')) message.pop_back();
  return fail(ErrorCode::kInvalidArgument, "{}", message);
}

}  // namespace fairlead::engine
