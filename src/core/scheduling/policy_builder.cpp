// SPDX-License-Identifier: Apache-2.0
#include "core/scheduling/policy_builder.h"

#include <fmt/format.h>

#include <algorithm>
#include <set>

#include "core/config/wording.h"
#include "core/scheduling/plugins/admitter/kv_room_admitter.h"

namespace fairlead::scheduling {
namespace {

using config::did_you_mean;
using config::in_quotes;
using config::Section;

constexpr double kMaxWeight = 1e6;
constexpr Duration kShortestInterval = std::chrono::milliseconds(1);
constexpr std::string_view kDefaultPicker = "max-score-picker";
constexpr std::string_view kEventsProducer = "precise-prefix-cache-producer";
constexpr std::string_view kEventsScorer = "precise-prefix-cache-scorer";

std::string_view to_string(ScoreKind kind) {
  return kind == ScoreKind::kTokens ? "a cost in tokens" : "a score in [0, 1]";
}

// "not supported yet: TYPE, a part of CAPABILITY".
std::string refusal(const MissingType& missing) {
  return fmt::format("not supported yet: {}{}{}", missing.type,
                     missing.capability.empty() ? "" : ", a part of ", missing.capability);
}

MetricsPlace read_place(Section& parameters) {
  MetricsPlace place;
  place.path = parameters.text("path", place.path);
  if (!place.path.starts_with('/')) parameters.error("path", "begins with a slash");
  place.port = static_cast<std::uint16_t>(parameters.integer("port", 0, 0, 65535));
  return place;
}

// Reads and finishes the parameters of a type that makes no plugin.
PolicyBuilder::Values read_built_in(const BuiltInType& type, Section& parameters) {
  PolicyBuilder::Values values;
  if (type.role == Role::kDiscovery) {
    values.discovery = FileDiscovery{parameters.required_text("path"),
                                     parameters.boolean("watchFile").value_or(false)};
  } else {
    if (type.type == "metrics-data-source" && !parameters.text("interval", "").empty()) {
      values.interval = parameters.duration("interval", kShortestInterval, kShortestInterval,
                                            std::chrono::hours(1));
    }
    const std::size_t before = parameters.problem_count();
    if (type.type == "metrics-data-source") values.place = read_place(parameters);
    check_parameters(type, parameters);
    if ((type.type == kEventsProducer || type.type == kEventsScorer) &&
        parameters.problem_count() == before) {
      values.events = read_kv_event_settings(parameters);
    }
    return values;
  }
  parameters.finish();
  return values;
}

// A factory that gives up has said why; this covers one that has not.
template <class Spec, class Plugin>
void run_factory(const Spec& spec, Section& parameters, std::unique_ptr<Plugin>& plugin) {
  plugin = spec.create(parameters);
  parameters.finish();
  if (!plugin) parameters.error("", fmt::format("{} cannot be made of these", spec.type));
}

}  // namespace

bool PolicyBuilder::Declared::is_member() const {
  return filter_spec != nullptr || scorer_spec != nullptr || picker_spec != nullptr;
}

Role PolicyBuilder::Declared::role() const {
  if (admitter_spec != nullptr) {
    return admitter_spec->when == AdmitsWhen::kNamedDetector ? Role::kDetector : Role::kAdmitter;
  }
  if (reporter_spec != nullptr) return Role::kResponse;
  if (scorer_spec != nullptr) return Role::kScorer;
  if (filter_spec != nullptr) return Role::kFilter;
  return picker_spec != nullptr ? Role::kPicker : built_in->role;
}

PolicyBuilder::Declared* PolicyBuilder::find(std::string_view name) {
  const auto found = std::ranges::find(plugins_, name, &Declared::name);
  return found == plugins_.end() ? nullptr : &*found;
}

const PolicyBuilder::Declared* PolicyBuilder::find(std::string_view name) const {
  const auto found = std::ranges::find(plugins_, name, &Declared::name);
  return found == plugins_.end() ? nullptr : &*found;
}

void PolicyBuilder::find_makers(Declared& plugin, std::string_view type) const {
  plugin.filter_spec = registry_.filter(type);
  plugin.scorer_spec = registry_.scorer(type);
  plugin.picker_spec = registry_.picker(type);
  plugin.admitter_spec = registry_.admitter(type);
  plugin.reporter_spec = registry_.reporter(type);
  plugin.built_in = built_in_type(type);
}

// References that nobody declared mean types by their names, so such a name must not mislead.
bool PolicyBuilder::has_foreign_name(const Declared& plugin) const {
  if (plugin.name == plugin.type || plugin.refused()) return false;
  Declared named(plugin.section);
  find_makers(named, plugin.name);
  if (named.refused()) return false;
  return named.role() != plugin.role();
}

void PolicyBuilder::look_up(Declared& plugin) const {
  if (plugin.type.empty()) return;
  find_makers(plugin, plugin.type);
  plugin.deprecated = deprecated_type(plugin.type);
  if (plugin.refused() && plugin.deprecated != nullptr) {
    find_makers(plugin, plugin.deprecated->stands_for);
  }
  if (plugin.refused()) return report_unknown(plugin);
  check_stability(plugin);
  if (plugin.deprecated != nullptr) {
    plugin.section.warning("type",
                           fmt::format("deprecated; write {}", plugin.deprecated->replacement));
  }
  // Only a proxy asks what an answer used.
  if (plugin.reporter_spec != nullptr && rules_.front == Front::kGateway) {
    plugin.section.warning("type", "has no effect: it is for `fairlead epp`");
  }
  if (plugin.type == kKvRoomAdmitter && rules_.front == Front::kEnvoy) {
    plugin.section.warning("type", "has no effect: behind Envoy no request waits");
  }
  const BuiltInType* own = plugin.deprecated == nullptr ? nullptr : plugin.deprecated->own;
  for (const BuiltInType* type : {plugin.built_in, own}) {
    if (type != nullptr && !type->remark.empty()) plugin.section.warning("type", type->remark);
  }
}

void PolicyBuilder::check_stability(Declared& plugin) const {
  if (rules_.experimental == Experimental::kAllowed) return;
  const auto is_alpha = [](const auto* spec) {
    return spec != nullptr && spec->stability == Stability::kAlpha;
  };
  if (!is_alpha(plugin.filter_spec) && !is_alpha(plugin.scorer_spec) &&
      !is_alpha(plugin.picker_spec) && !is_alpha(plugin.admitter_spec) &&
      !is_alpha(plugin.reporter_spec)) {
    return;
  }
  plugin.section.error("type", fmt::format("{} is experimental; allow it with "
                                           "--allow-experimental-plugins, or choose another",
                                           plugin.type));
}

void PolicyBuilder::report_unknown(const Declared& plugin) const {
  if (const MissingType* missing = missing_type(plugin.type)) {
    plugin.section.error("type", refusal(*missing));
    return;
  }
  std::vector<std::string_view> known;
  for (const FilterSpec& spec : registry_.filters()) known.push_back(spec.type);
  for (const ScorerSpec& spec : registry_.scorers()) known.push_back(spec.type);
  for (const PickerSpec& spec : registry_.pickers()) known.push_back(spec.type);
  for (const AdmitterSpec& spec : registry_.admitters()) known.push_back(spec.type);
  for (const ReporterSpec& spec : registry_.reporters()) known.push_back(spec.type);
  for (const BuiltInType& built_in : built_in_types()) known.push_back(built_in.type);
  for (const MissingType& missing : missing_types()) known.push_back(missing.type);
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
    } else if (has_foreign_name(plugin)) {
      section.error("name", fmt::format("{} is the name of a type of another kind; choose another",
                                        in_quotes(plugin.name)));
    }
    plugins_.push_back(std::move(plugin));
  }
  for (Declared& plugin : plugins_) create(plugin);
  check_handlers();
}

void PolicyBuilder::create(Declared& plugin) {
  Section parameters = plugin.section.child("parameters");
  plugin.section.finish();
  if (plugin.refused()) return;
  plugin.parameters = parameters.flow_yaml();
  const std::size_t before = problems_.list().size();
  if (plugin.built_in != nullptr) plugin.values = read_built_in(*plugin.built_in, parameters);
  if (plugin.deprecated != nullptr && plugin.deprecated->own != nullptr) {
    plugin.values = read_built_in(*plugin.deprecated->own, parameters);
    parameters = Section::empty(problems_, parameters.path());
  }
  // What a first reader of the parameters reports, a second one would report again.
  const auto is_clean = [&] { return problems_.list().size() == before; };
  if (plugin.filter_spec != nullptr && is_clean()) {
    run_factory(*plugin.filter_spec, parameters, plugin.filter);
  }
  if (plugin.scorer_spec != nullptr && is_clean()) {
    run_factory(*plugin.scorer_spec, parameters, plugin.scorer);
  }
  if (plugin.picker_spec != nullptr && is_clean()) {
    run_factory(*plugin.picker_spec, parameters, plugin.picker);
  }
  if (plugin.admitter_spec != nullptr && is_clean()) {
    run_factory(*plugin.admitter_spec, parameters, plugin.admitter);
  }
  if (plugin.reporter_spec != nullptr && is_clean()) {
    run_factory(*plugin.reporter_spec, parameters, plugin.reporter);
  }
  check_producers(parameters);
}

void PolicyBuilder::check_handlers() const {
  const Declared* first = nullptr;
  for (const Declared& plugin : plugins_) {
    if (plugin.built_in == nullptr || plugin.built_in->role != Role::kHandler) continue;
    if (first != nullptr) {
      plugin.section.error(
          "type", fmt::format("a second profile handler beside {}", in_quotes(first->name)));
    }
    first = &plugin;
  }
}

// Factories know no producers, so the names of these are checked here.
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

std::optional<PolicyBuilder::Referent> PolicyBuilder::reference(Section& holder, Role role) const {
  const std::string name = holder.required_text("pluginRef");
  if (name.empty()) return std::nullopt;
  const Declared* declared = find(name);
  if (declared != nullptr && declared->refused()) return std::nullopt;
  const BuiltInType* type = declared != nullptr ? declared->built_in : built_in_type(name);
  const bool has_role =
      type != nullptr && (type->role == role || (role == Role::kExtractor && !type->reads.empty()));
  if (declared != nullptr && has_role) return Referent{name, type, declared->values};
  if (has_role && role == Role::kDiscovery) {
    holder.error("pluginRef", fmt::format("{} has to be declared under plugins, with its path",
                                          in_quotes(name)));
  } else if (has_role) {
    Section none = Section::empty(problems_, name);
    return Referent{name, type, read_built_in(*type, none)};
  } else if (declared != nullptr || type != nullptr) {
    holder.error("pluginRef",
                 fmt::format("{} is no {}", in_quotes(name), scheduling::to_string(role)));
  } else if (const MissingType* missing = missing_type(name)) {
    holder.error("pluginRef", refusal(*missing));
  } else {
    holder.error("pluginRef", fmt::format("no plugin is named {}", in_quotes(name)));
  }
  return std::nullopt;
}

std::optional<KvEventSettings> PolicyBuilder::declared_events() const {
  if (const Values* const values = declared_values(kEventsProducer)) return values->events;
  for (const Declared& plugin : plugins_) {
    if (plugin.values.events) return plugin.values.events;
  }
  return std::nullopt;
}

const PolicyBuilder::Values* PolicyBuilder::declared_values(std::string_view type) const {
  for (const Declared& plugin : plugins_) {
    if (plugin.built_in != nullptr && plugin.built_in->type == type) return &plugin.values;
  }
  return nullptr;
}

std::vector<PluginUse> PolicyBuilder::uses() const {
  std::vector<PluginUse> uses;
  for (const Declared& plugin : plugins_) {
    if (plugin.refused()) continue;
    uses.push_back({plugin.name, plugin.type, plugin.role(), plugin.parameters, plugin.reads});
  }
  return uses;
}

std::string PolicyBuilder::detector(Section& holder) const {
  std::string name = holder.required_text("pluginRef");
  const Declared* declared = find(name);
  if (name.empty() || (declared != nullptr && declared->refused())) return {};
  const AdmitterSpec* spec =
      declared != nullptr ? declared->admitter_spec : registry_.admitter(name);
  if (spec != nullptr && spec->when == AdmitsWhen::kNamedDetector) return name;
  holder.error("pluginRef", declared != nullptr
                                ? fmt::format("{} is no saturation detector", in_quotes(name))
                                : fmt::format("no plugin is named {}", in_quotes(name)));
  return {};
}

void PolicyBuilder::add_standing(Profile& profile) {
  for (Declared& plugin : plugins_) {
    if (plugin.refused()) continue;
    if (plugin.role() == Role::kAdmitter) {
      check_columns(plugin.section, "type", plugin, plugin.admitter_spec->reads, profile);
      profile.admitters.push_back({plugin.name, std::move(plugin.admitter)});
    } else if (plugin.reporter_spec != nullptr) {
      profile.reporters.push_back({plugin.name, std::move(plugin.reporter)});
    }
  }
}

void PolicyBuilder::add_detector(const std::string& name, Profile& profile) {
  Declared* plugin = find(name);
  if (plugin == nullptr) {
    plugin = &plugins_.emplace_back(Section::empty(problems_, name));
    plugin->name = name;
    plugin->type = name;
    plugin->parameters = "{}";
    find_makers(*plugin, name);
    if (plugin->admitter_spec == nullptr) return;
    create(*plugin);
  }
  if (plugin->admitter_spec == nullptr) return;
  check_columns(plugin->section, "type", *plugin, plugin->admitter_spec->reads, profile);
  profile.admitters.push_back({plugin->name, std::move(plugin->admitter)});
  for (const Declared& other : plugins_) {
    if (other.refused() || other.role() != Role::kDetector || other.used || other.name == name) {
      continue;
    }
    other.section.warning("", fmt::format("{} is in no profile and is not the saturation detector",
                                          in_quotes(other.name)));
  }
}

bool PolicyBuilder::has_members() const {
  return std::ranges::any_of(
      plugins_, [](const Declared& plugin) { return plugin.is_member() && !plugin.is_standing(); });
}

void PolicyBuilder::check_columns(const Section& at, std::string_view key, Declared& plugin,
                                  Columns reads, Profile& profile) const {
  plugin.reads = plugin.reads | reads;
  profile.reads = profile.reads | reads;
  const Columns missing = reads.missing_from(rules_.filled);
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

void PolicyBuilder::add_picker(const Section& at, std::string_view key, Declared& plugin,
                               Profile& profile) {
  if (!profile.picker_name.empty()) {
    at.error(key, fmt::format("a second picker, {}; the profile has {}", in_quotes(plugin.name),
                              in_quotes(profile.picker_name)));
    return;
  }
  check_columns(at, key, plugin, plugin.picker_spec->reads, profile);
  profile.picker_name = plugin.name;
  profile.picker = std::move(plugin.picker);
}

// A type that is several things is added as each of them.
void PolicyBuilder::add(const Section& at, std::string_view key, Declared& plugin, float weight,
                        Profile& profile) {
  plugin.used = true;
  if (plugin.filter_spec != nullptr) {
    check_columns(at, key, plugin, plugin.filter_spec->reads, profile);
    profile.filters.push_back({plugin.name, std::move(plugin.filter)});
  }
  if (plugin.scorer_spec != nullptr) {
    check_columns(at, key, plugin, plugin.scorer_spec->reads, profile);
    add_scorer(at, key, plugin, weight, profile);
  } else if (at.has("weight")) {
    at.warning("weight", fmt::format("has no effect: {} is not a scorer", in_quotes(plugin.name)));
  }
  if (plugin.picker_spec != nullptr) add_picker(at, key, plugin, profile);
}

// Without a profile the member is only checked.
void PolicyBuilder::read_member(Section& member, Profile* profile) {
  const std::string name = member.required_text("pluginRef");
  const double weight = member.number("weight", 1, 0, kMaxWeight);
  member.finish();
  if (name.empty()) return;
  Declared* plugin = find(name);
  if (plugin == nullptr) {
    std::vector<std::string_view> names;
    for (const Declared& declared : plugins_) names.push_back(declared.name);
    member.error("pluginRef", fmt::format("no plugin is named {}{}", in_quotes(name),
                                          did_you_mean(name, names)));
  } else if (plugin->refused()) {
    return;
  } else if (!plugin->is_member()) {
    member.error("pluginRef",
                 fmt::format("{} is a {}; a profile has filters, scorers and a picker",
                             in_quotes(name), scheduling::to_string(plugin->built_in->role)));
  } else if (profile != nullptr && plugin->used) {
    member.error("pluginRef", fmt::format("{} is in the profile already", in_quotes(name)));
  } else if (profile != nullptr) {
    add(member, "pluginRef", *plugin, static_cast<float>(weight), *profile);
  }
}

void PolicyBuilder::read_members(Section& section, Profile* profile) {
  for (Section& member : section.children("plugins")) read_member(member, profile);
  section.finish();
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
    // A detector may be a filter too, and need not.
    if (plugin.used || !plugin.is_member() || plugin.is_standing()) continue;
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
      if (plugin.is_member()) add(plugin.section, "type", plugin, 1, *profile);
    }
    add_default_picker(document, *profile);
    warn_of_chance(document, *profile);
    return profile;
  }
  profile->name = sections.front().required_text("name");
  read_members(sections.front(), profile.get());
  add_default_picker(sections.front(), *profile);
  if (sections.size() == 1) warn_of_unused();
  read_more_profiles(sections);
  warn_of_chance(document, *profile);
  return profile;
}

void PolicyBuilder::read_more_profiles(std::vector<Section>& sections) {
  std::set<std::string, std::less<>> names;
  for (Section& section : sections) {
    if (names.empty()) {
      names.insert(section.text("name", ""));
      continue;
    }
    const std::string name = section.required_text("name");
    const bool is_new = names.insert(name).second;
    section.error("name", is_new
                              ? "not supported yet: a second profile; one decides every request"
                              : fmt::format("a second profile with the name {}", in_quotes(name)));
    read_members(section, nullptr);
  }
}

}  // namespace fairlead::scheduling
