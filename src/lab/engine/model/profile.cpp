// SPDX-License-Identifier: Apache-2.0
#include "lab/engine/model/profile.h"

#include <yaml-cpp/yaml.h>

#include <algorithm>
#include <array>
#include <charconv>
#include <cmath>
#include <iterator>
#include <map>
#include <utility>
#include <variant>
#include <vector>

namespace fairlead::engine {
namespace {

enum class Need { kRequired, kOptional };

struct Field {
  std::string_view key;
  std::variant<std::string EngineProfile::*, std::int64_t EngineProfile::*, double EngineProfile::*>
      member;
  Need need = Need::kRequired;
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
    Field{"step_floor_s", &EngineProfile::step_floor_s},
    Field{"per_token_s", &EngineProfile::per_token_s},
    Field{"attention_s", &EngineProfile::attention_s},
    Field{"kv_read_s", &EngineProfile::kv_read_s},
    Field{"per_sequence_s", &EngineProfile::per_sequence_s},
    Field{"host_overhead_s", &EngineProfile::host_overhead_s},
    Field{"noise_sigma", &EngineProfile::noise_sigma, Need::kOptional},
};

// Keeps token counts and their products exact in 64 bits, and blocks within 32.
constexpr std::int64_t kMaxTokens = 4'000'000'000;
// Longer than any one coefficient can be; keeps a step within a Duration.
constexpr double kMaxSeconds = 3600;

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
    } else {
      const double value = profile.*std::get<double EngineProfile::*>(field.member);
      if (value >= 0 && value <= kMaxSeconds) continue;
      faults.push_back({field.key, fmt::format("must be in 0..{}, not {}", kMaxSeconds, value)});
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
  if (profile.noise_sigma > 2) faults.push_back({"noise_sigma", "must be in 0..2"});
  return faults;
}

template <class Number>
bool read_number(std::string_view text, Number& value) {
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  return error == std::errc() && end == text.data() + text.size();
}

class Reader {
 public:
  explicit Reader(std::string_view place) : place_(place) {}

  Result<EngineProfile> read(const YAML::Node& root) {
    if (!root.IsMap()) {
      return fail(ErrorCode::kInvalidArgument, "{}:1: an engine profile is a map of settings",
                  place_);
    }
    for (const auto& entry : root) read_entry(entry.first, entry.second);
    for (const Field& field : kFields) {
      if (field.need == Need::kRequired && !lines_.contains(field.key)) {
        add_error(1, fmt::format("{} is missing", field.key));
      }
    }
    if (errors_.empty()) {
      for (const Fault& fault : find_faults(profile_)) {
        const auto line = lines_.find(fault.key);
        add_error(line == lines_.end() ? 1 : line->second,
                  fmt::format("{} {}", fault.key, fault.text));
      }
    }
    if (errors_.empty()) return std::move(profile_);
    std::stable_sort(errors_.begin(), errors_.end(),
                     [](const auto& a, const auto& b) { return a.first < b.first; });
    std::string message;
    for (const auto& [line, text] : errors_) {
      if (!message.empty()) message += '\n';
      fmt::format_to(std::back_inserter(message), "{}:{}: {}", place_, line, text);
    }
    return fail(ErrorCode::kInvalidArgument, "{}", message);
  }

 private:
  void add_error(int line, std::string text) { errors_.emplace_back(line, std::move(text)); }

  void read_entry(const YAML::Node& key_node, const YAML::Node& value_node) {
    const int line = key_node.Mark().line + 1;
    if (!key_node.IsScalar()) return add_error(line, "a setting's name must be plain text");
    const std::string& key = key_node.Scalar();
    const auto* field = std::find_if(kFields.begin(), kFields.end(),
                                     [&](const Field& known) { return known.key == key; });
    if (field == kFields.end()) return add_error(line, fmt::format("unknown setting '{}'", key));
    if (!lines_.emplace(field->key, line).second) {
      return add_error(line, fmt::format("{} is set twice", key));
    }
    if (!value_node.IsScalar()) return add_error(line, fmt::format("{} needs one value", key));
    const std::string& value = value_node.Scalar();
    if (const auto* text = std::get_if<std::string EngineProfile::*>(&field->member)) {
      profile_.** text = value;
    } else if (const auto* count = std::get_if<std::int64_t EngineProfile::*>(&field->member)) {
      if (read_number(value, profile_.**count)) return;
      add_error(line, fmt::format("{} must be a whole number, not '{}'", key, value));
    } else if (!read_number(value, profile_.*std::get<double EngineProfile::*>(field->member))) {
      add_error(line, fmt::format("{} must be a number, not '{}'", key, value));
    }
  }

  std::string_view place_;
  EngineProfile profile_;
  std::map<std::string_view, int> lines_;
  std::vector<std::pair<int, std::string>> errors_;
};

}  // namespace

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

Result<EngineProfile> parse_profile(std::string_view text, std::string_view place) {
  try {
    return Reader(place).read(YAML::Load(std::string(text)));
  } catch (const YAML::Exception& error) {
    return fail(ErrorCode::kInvalidArgument, "{}:{}: not YAML: {}", place, error.mark.line + 1,
                error.msg);
  }
}

}  // namespace fairlead::engine
