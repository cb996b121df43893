// SPDX-License-Identifier: Apache-2.0
#include "core/scheduling/policy_builder.h"

#include <fmt/format.h>

#include <algorithm>
#include <set>

#include "core/config/wording.h"

namespace fairlead::scheduling {
namespace {

using config::did_you_mean;
using config::in_quotes;
using config::Section;

constexpr double kMaxWeight = 1e6;
constexpr std::string_view kDefaultPicker = "max-score-picker";

std::string_view to_string(Role role) {
  switch (role) {
    case Role::kProducer:
      return "data producer";
    case Role::kSource:
      return "data source";
    case Role::kExtractor:
      return "extractor";
    case Role::kParser:
      return "parser";
    case Role::kHandler:
      return "profile handler";
  }
  return "plugin";
}

std::string_view to_string(ScoreKind kind) {
  return kind == ScoreKind::kTokens ? "a cost in tokens" : "a score in [0, 1]";
}

// What an operator wrote for a built-in type has no object to go to, so each parameter is either
// what is done anyway, or remarked on, or refused.
void check_built_in(const BuiltInType& type, Section& parameters) {
  for (const ParameterRule& rule : type.parameters) {
    const bool given = parameters.has(rule.name);
    const bool is_accepted = !rule.accepted.empty() && given &&
                             parameters.text(rule.name, rule.accepted) == rule.accepted;
    parameters.skip(rule.name);
    if (!given || is_accepted) continue;
    if (rule.otherwise == Unhonoured::kRefuse) {
      parameters.error(rule.name, fmt::format("not supported yet{}{}: {}",
                                              rule.accepted.empty() ? "" : ", other than ",
                                              rule.accepted, type.done_here));
    } else {
      parameters.warning(rule.name, fmt::format("has no effect: {}", type.done_here));
    }
  }
  parameters.finish();
}

// A factory that gives up has said why; this covers one that has not.
template <class Spec, class Plugin>
void run_factory(const Spec& spec, Section& parameters, std::unique_ptr<Plugin>& plugin) {
  plugin = spec.create(parameters);
  parameters.finish();
  if (!plugin) parameters.error("", fmt::format("{} cannot be made of these", spec.type));
}

}  // namespace

bool PolicyBuilder::Declared::refused() const {
  return filter_spec == nullptr && scorer_spec == nullptr && picker_spec == nullptr &&
         built_in == nullptr;
}

PolicyBuilder::Declared* PolicyBuilder::find(std::string_view name) {
  const auto found = std::ranges::find(plugins_, name, &Declared::name);
  return found == plugins_.end() ? nullptr : &*found;
}

const PolicyBuilder::Declared* PolicyBuilder::find(std::string_view name) const {
  const auto found = std::ranges::find(plugins_, name, &Declared::name);
  return found == plugins_.end() ? nullptr : &*found;
}

void PolicyBuilder::look_up(Declared& plugin) const {
  plugin.filter_spec = registry_.filter(plugin.type);
  plugin.scorer_spec = registry_.scorer(plugin.type);
  plugin.picker_spec = registry_.picker(plugin.type);
  if (plugin.refused()) plugin.built_in = built_in_type(plugin.type);
  if (plugin.refused() && !plugin.type.empty()) report_unknown(plugin);
}

void PolicyBuilder::report_unknown(const Declared& plugin) const {
  if (std::ranges::find(other_types(), plugin.type) != other_types().end()) {
    plugin.section.error("type", fmt::format("not supported yet: {}", plugin.type));
    return;
  }
  std::vector<std::string_view> known;
  for (const FilterSpec& spec : registry_.filters()) known.push_back(spec.type);
  for (const ScorerSpec& spec : registry_.scorers()) known.push_back(spec.type);
  for (const PickerSpec& spec : registry_.pickers()) known.push_back(spec.type);
  for (const BuiltInType& built_in : built_in_types()) known.push_back(built_in.type);
  known.insert(known.end(), other_types().begin(), other_types().end());
  plugin.section.error("type", fmt::format("unknown plugin type {}{}", in_quotes(plugin.type),
                                           did_you_mean(plugin.type, known)));
}

void PolicyBuilder::read_plugins(Section& document) {
  for (Section& section : document.children("plugins")) {
    Declared plugin(section);
    plugin.type = section.required_text("type");
    plugin.name = section.text("name", plugin.type);
    look_up(plugin);
    if (!plugin.name.empty() && find(plugin.name) != nullptr) {
      section.error(section.has("name") ? "name" : "type",
                    fmt::format("a second plugin with the name {}", in_quotes(plugin.name)));
      plugin.name.clear();
    }
    plugins_.push_back(std::move(plugin));
  }
  for (Declared& plugin : plugins_) create(plugin);
}

void PolicyBuilder::create(Declared& plugin) {
  Section parameters = plugin.section.child("parameters");
  plugin.section.finish();
  if (plugin.refused()) return;
  if (plugin.built_in != nullptr) {
    check_built_in(*plugin.built_in, parameters);
  } else if (plugin.filter_spec != nullptr) {
    run_factory(*plugin.filter_spec, parameters, plugin.filter);
  } else if (plugin.scorer_spec != nullptr) {
    run_factory(*plugin.scorer_spec, parameters, plugin.scorer);
  } else {
    run_factory(*plugin.picker_spec, parameters, plugin.picker);
  }
  if (plugin.built_in == nullptr) check_producers(parameters);
}

// Factories read the names of data producers and leave them here, where the producers are known.
void PolicyBuilder::check_producers(Section& parameters) const {
  for (const std::string& key : parameters.keys()) {
    if (!key.ends_with("ProducerName")) continue;
    const std::string name = parameters.text(key, "");
    const Declared* declared = find(name);
    const BuiltInType* type = declared != nullptr ? declared->built_in : built_in_type(name);
    const bool is_producer = type != nullptr && type->role == Role::kProducer;
    const bool is_reported = declared != nullptr && declared->refused();
    if (name.empty() || is_producer || is_reported) continue;
    parameters.error(key, fmt::format("{} is no declared data producer", in_quotes(name)));
  }
}

bool PolicyBuilder::check_reference(Section& holder, Role role) const {
  const std::string name = holder.required_text("pluginRef");
  if (name.empty()) return false;
  const Declared* declared = find(name);
  if (declared != nullptr && declared->refused()) return false;
  const BuiltInType* type = declared != nullptr ? declared->built_in : built_in_type(name);
  if (type != nullptr && type->role == role) return true;
  const auto others = other_types();
  if (declared != nullptr || type != nullptr) {
    holder.error("pluginRef", fmt::format("{} is no {}", in_quotes(name), to_string(role)));
  } else if (std::ranges::find(others, name) != others.end()) {
    holder.error("pluginRef", fmt::format("not supported yet: {}", name));
  } else {
    holder.error("pluginRef", fmt::format("no plugin is named {}", in_quotes(name)));
  }
  return false;
}

void PolicyBuilder::check_columns(const Section& at, std::string_view key, const Declared& plugin,
                                  Columns reads, Profile& profile) const {
  profile.reads = profile.reads | reads;
  const Columns missing = reads.missing_from(filled_);
  if (missing.none()) return;
  at.error(key, fmt::format("{} reads {}, which nothing here measures", in_quotes(plugin.name),
                            scheduling::to_string(missing)));
}

void PolicyBuilder::add_scorer(const Section& at, std::string_view key, Declared& plugin,
                               float weight, Profile& profile) {
  const ScoreKind kind = plugin.scorer_spec->kind;
  if (profile.scorers.empty()) {
    profile.kind = kind;
  } else if (profile.kind != kind) {
    at.error(key, fmt::format("{} gives {}, but {} gives {}; one profile adds up one kind only",
                              in_quotes(plugin.name), to_string(kind),
                              in_quotes(profile.scorers.front().name), to_string(profile.kind)));
  }
  profile.scorers.push_back({plugin.name, std::move(plugin.scorer), weight});
}

void PolicyBuilder::add(const Section& at, std::string_view key, Declared& plugin, float weight,
                        Profile& profile) {
  plugin.used = true;
  if (plugin.scorer_spec != nullptr) {
    check_columns(at, key, plugin, plugin.scorer_spec->reads, profile);
    add_scorer(at, key, plugin, weight, profile);
    return;
  }
  if (at.has("weight")) {
    at.warning("weight", fmt::format("has no effect: {} is not a scorer", in_quotes(plugin.name)));
  }
  if (plugin.filter_spec != nullptr) {
    check_columns(at, key, plugin, plugin.filter_spec->reads, profile);
    profile.filters.push_back({plugin.name, std::move(plugin.filter)});
  } else if (!profile.picker_name.empty()) {
    at.error(key, fmt::format("a second picker, {}; the profile has {}", in_quotes(plugin.name),
                              in_quotes(profile.picker_name)));
  } else {
    check_columns(at, key, plugin, plugin.picker_spec->reads, profile);
    profile.picker_name = plugin.name;
    profile.picker = std::move(plugin.picker);
  }
}

void PolicyBuilder::read_members(Section& section, Profile& profile) {
  std::vector<std::string_view> names;
  for (const Declared& plugin : plugins_) names.push_back(plugin.name);
  for (Section& member : section.children("plugins")) {
    const std::string name = member.required_text("pluginRef");
    const double weight = member.number("weight", 1, 0, kMaxWeight);
    member.finish();
    if (name.empty()) continue;
    Declared* plugin = find(name);
    if (plugin == nullptr) {
      member.error("pluginRef", fmt::format("no plugin is named {}{}", in_quotes(name),
                                            did_you_mean(name, names)));
    } else if (plugin->built_in != nullptr) {
      member.error("pluginRef",
                   fmt::format("{} is a {}; a profile has filters, scorers and a picker",
                               in_quotes(name), to_string(plugin->built_in->role)));
    } else if (plugin->used) {
      member.error("pluginRef", fmt::format("{} is in the profile already", in_quotes(name)));
    } else if (!plugin->refused()) {
      add(member, "pluginRef", *plugin, static_cast<float>(weight), profile);
    }
  }
}

void PolicyBuilder::add_default_picker(const Section& at, Profile& profile) {
  if (!profile.picker_name.empty()) return;
  for (Declared& plugin : plugins_) {
    if (plugin.picker_spec != nullptr && !plugin.used) {
      return add(plugin.section, "type", plugin, 1, profile);
    }
  }
  const PickerSpec* spec = registry_.picker(kDefaultPicker);
  if (spec == nullptr) {
    at.error("", fmt::format("has no picker, and there is no {} to fall back on", kDefaultPicker));
    return;
  }
  Declared plugin(at);
  plugin.name = kDefaultPicker;
  plugin.picker_spec = spec;
  Section parameters = Section::empty(problems_, at.path());
  plugin.picker = spec->create(parameters);
  add(at, "", plugin, 1, profile);
}

void PolicyBuilder::warn_of_unused() const {
  for (const Declared& plugin : plugins_) {
    if (plugin.used || plugin.refused() || plugin.built_in != nullptr) continue;
    plugin.section.warning("", fmt::format("{} is in no profile", in_quotes(plugin.name)));
  }
}

// The highest of no scores is a draw, which nobody asks for by that picker.
void PolicyBuilder::warn_of_chance(const Section& document, const Profile& profile) const {
  const bool is_custom = document.has("schedulingProfiles") || !plugins_.empty();
  const Declared* picker = find(profile.picker_name);
  const bool is_random = picker == nullptr || picker->type == kDefaultPicker;
  if (!is_custom || !is_random || !profile.scorers.empty() || problems_.has_errors()) return;
  document.warning(document.has("schedulingProfiles") ? "schedulingProfiles" : "plugins",
                   "no scorer: every endpoint has the same chance; write random-picker if you want "
                   "that");
}

std::unique_ptr<Profile> PolicyBuilder::read_profiles(Section& document) {
  auto profile = std::make_unique<Profile>();
  profile->name = "default";
  std::vector<Section> sections = document.children("schedulingProfiles");
  if (sections.empty()) {
    for (Declared& plugin : plugins_) {
      if (plugin.refused() || plugin.built_in != nullptr) continue;
      add(plugin.section, "type", plugin, 1, *profile);
    }
    add_default_picker(document, *profile);
    warn_of_chance(document, *profile);
    return profile;
  }
  profile->name = sections.front().required_text("name");
  read_members(sections.front(), *profile);
  sections.front().finish();
  add_default_picker(sections.front(), *profile);
  std::set<std::string, std::less<>> names{profile->name};
  for (std::size_t i = 1; i < sections.size(); ++i) {
    const std::string name = sections[i].required_text("name");
    sections[i].error("name",
                      names.insert(name).second
                          ? "not supported yet: a second profile; one decides every request"
                          : fmt::format("a second profile with the name {}", in_quotes(name)));
  }
  if (sections.size() == 1) warn_of_unused();
  warn_of_chance(document, *profile);
  return profile;
}

}  // namespace fairlead::scheduling
