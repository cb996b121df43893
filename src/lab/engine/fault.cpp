// SPDX-License-Identifier: Apache-2.0
#include "lab/engine/fault.h"

#include <algorithm>
#include <array>
#include <charconv>
#include <cmath>
#include <iterator>
#include <nlohmann/json.hpp>
#include <utility>
#include <vector>

#include "core/codec/json_text.h"

namespace fairlead::engine {
namespace {

enum class Need : std::uint8_t { kNo, kOptional, kRequired };

struct KindRow {
  std::string_view name;
  Need duration = Need::kNo;
  Need chance = Need::kNo;  // probability and count.
  Need events = Need::kNo;
  Need lies = Need::kNo;
};

// By FaultKind.
constexpr std::array<KindRow, kFaultKindCount> kKinds{{
    {"stall", Need::kOptional},
    {"slow_start", Need::kRequired},
    {"refuse", Need::kRequired},
    {"crash", Need::kRequired},
    {"error_500", Need::kNo, Need::kOptional},
    {"error_503", Need::kNo, Need::kOptional},
    {"abort_mid_stream", Need::kNo, Need::kOptional, Need::kOptional},
    {"partial_write", Need::kNo, Need::kOptional, Need::kOptional},
    {"delay_first_byte", Need::kRequired, Need::kOptional},
    {"lose_events", Need::kNo, Need::kOptional},
    {"lying_metrics", Need::kNo, Need::kNo, Need::kNo, Need::kOptional},
}};

struct Parameter {
  std::string_view name;
  Need KindRow::* need;
  double max;
  std::optional<double> Fault::* number = nullptr;
  std::optional<std::uint64_t> Fault::* integer = nullptr;
};

constexpr double kLongest = 86'400;
constexpr double kMost = 1e9;
constexpr std::array<Parameter, 7> kParameters{{
    {"duration_s", &KindRow::duration, kLongest, &Fault::duration_s},
    {"probability", &KindRow::chance, 1, &Fault::probability},
    {"count", &KindRow::chance, kMost, nullptr, &Fault::count},
    {"events", &KindRow::events, kMost, nullptr, &Fault::events},
    {"waiting", &KindRow::lies, kMost, &Fault::waiting},
    {"running", &KindRow::lies, kMost, &Fault::running},
    {"kv_usage", &KindRow::lies, 1, &Fault::kv_usage},
}};

struct Given {
  std::string name;
  std::optional<double> number;  // Nothing: not a number.
};

const KindRow& row_of(FaultKind kind) { return kKinds[static_cast<std::size_t>(kind)]; }

std::string parameter_names(const KindRow& row) {
  std::string names;
  for (const Parameter& parameter : kParameters) {
    if (row.*parameter.need == Need::kNo) continue;
    if (!names.empty()) names += ", ";
    names += parameter.name;
  }
  return names;
}

std::string kind_names() {
  std::string names;
  for (const KindRow& row : kKinds) {
    if (!names.empty()) names += ", ";
    names += row.name;
  }
  return names;
}

Result<void> set_parameter(Fault& fault, const Given& given) {
  const KindRow& row = row_of(fault.kind);
  const auto found = std::find_if(kParameters.begin(), kParameters.end(),
                                  [&](const Parameter& p) { return p.name == given.name; });
  if (found == kParameters.end() || row.*found->need == Need::kNo) {
    return fail(ErrorCode::kInvalidArgument, "fault {}: unknown parameter `{}`; it takes {}",
                row.name, given.name, parameter_names(row));
  }
  if (!given.number || !(*given.number >= 0 && *given.number <= found->max)) {
    return fail(ErrorCode::kInvalidArgument, "fault {}: {} must be a number in 0..{}", row.name,
                given.name, found->max);
  }
  if (found->number != nullptr) {
    fault.*found->number = given.number;
    return {};
  }
  if (*given.number != std::floor(*given.number)) {
    return fail(ErrorCode::kInvalidArgument, "fault {}: {} must be a whole number", row.name,
                given.name);
  }
  fault.*found->integer = static_cast<std::uint64_t>(*given.number);
  return {};
}

Result<Fault> make_fault(std::string_view kind_name, const std::vector<Given>& parameters) {
  if (kind_name.empty()) {
    return fail(ErrorCode::kInvalidArgument, "kind is missing; known: {}", kind_names());
  }
  const auto kind = parse_fault_kind(kind_name);
  if (!kind) return tl::unexpected(kind.error());
  Fault fault;
  fault.kind = *kind;
  const KindRow& row = row_of(*kind);
  for (const Given& given : parameters) {
    if (const auto set = set_parameter(fault, given); !set) return tl::unexpected(set.error());
  }
  if (row.duration == Need::kRequired && !fault.duration_s) {
    return fail(ErrorCode::kInvalidArgument, "fault {}: duration_s is missing", row.name);
  }
  if (row.lies != Need::kNo && !fault.waiting && !fault.running && !fault.kv_usage) {
    return fail(ErrorCode::kInvalidArgument, "fault {}: give at least one of {}", row.name,
                parameter_names(row));
  }
  if (fault.count == 0U) {
    return fail(ErrorCode::kInvalidArgument, "fault {}: count must be at least 1", row.name);
  }
  return fault;
}

}  // namespace

std::string_view to_string(FaultKind kind) { return row_of(kind).name; }

Result<FaultKind> parse_fault_kind(std::string_view name) {
  for (std::size_t i = 0; i < kKinds.size(); ++i) {
    if (kKinds[i].name == name) return static_cast<FaultKind>(i);
  }
  return fail(ErrorCode::kInvalidArgument, "unknown fault kind `{}`; known: {}", name,
              kind_names());
}

std::string describe_fault_kinds() {
  std::string text;
  for (const KindRow& row : kKinds) {
    std::string parameters;
    for (const Parameter& parameter : kParameters) {
      const Need need = row.*parameter.need;
      if (need == Need::kNo) continue;
      parameters += need == Need::kRequired ? fmt::format(" {}", parameter.name)
                                            : fmt::format(" [{}]", parameter.name);
    }
    text += fmt::format("  {:<17}{}\n", row.name, parameters);
  }
  return text;
}

Result<Fault> parse_fault_json(std::string_view body) {
  const auto json = nlohmann::json::parse(body, nullptr, false);
  if (!json.is_object()) {
    return fail(ErrorCode::kInvalidArgument, "a fault is a JSON object such as {}",
                R"({"kind": "error_500", "probability": 0.1})");
  }
  std::string kind;
  std::vector<Given> parameters;
  for (const auto& [name, value] : json.items()) {
    if (name == "kind") {
      if (value.is_string()) kind = value.get<std::string>();
    } else if (value.is_number()) {
      parameters.push_back({name, value.get<double>()});
    } else {
      parameters.push_back({name, std::nullopt});
    }
  }
  return make_fault(kind, parameters);
}

Result<FaultOption> parse_fault_option(std::string_view text) {
  FaultOption option;
  std::string_view kind;
  std::vector<Given> parameters;
  for (std::size_t at = 0; at <= text.size();) {
    const std::size_t end = std::min(text.find(',', at), text.size());
    const std::string_view item = text.substr(at, end - at);
    at = end + 1;
    const std::size_t equals = item.find('=');
    if (equals == std::string_view::npos) {
      return fail(ErrorCode::kInvalidArgument,
                  "fault option `{}`: `{}` is not name=value; an example: kind=stall,engine=0",
                  text, item);
    }
    const std::string_view name = item.substr(0, equals);
    const std::string_view value = item.substr(equals + 1);
    double number = 0;
    const auto read = std::from_chars(value.data(), value.data() + value.size(), number);
    const bool numeric = read.ec == std::errc{} && read.ptr == value.data() + value.size();
    if (name == "kind") {
      kind = value;
    } else if (name == "engine") {
      if (!numeric || number < 0 || number != std::floor(number) || number > kMost) {
        return fail(ErrorCode::kInvalidArgument,
                    "fault option `{}`: engine must be a number from 0", text);
      }
      option.engine = static_cast<std::size_t>(number);
    } else {
      parameters.push_back({std::string(name), numeric ? std::optional(number) : std::nullopt});
    }
  }
  auto fault = make_fault(kind, parameters);
  if (!fault) return with_context(fault.error(), fmt::format("fault option `{}`", text));
  option.fault = *fault;
  return option;
}

void append_fault_json(std::string& out, const Fault& fault) {
  codec::JsonWriter json(out);
  json.begin_object().key("kind").string(to_string(fault.kind));
  for (const Parameter& parameter : kParameters) {
    if (parameter.number != nullptr && fault.*parameter.number) {
      json.key(parameter.name).number(*(fault.*parameter.number));
    } else if (parameter.integer != nullptr && fault.*parameter.integer) {
      json.key(parameter.name).number(*(fault.*parameter.integer));
    }
  }
  json.end_object();
}

}  // namespace fairlead::engine
