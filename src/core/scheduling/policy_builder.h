// SPDX-License-Identifier: Apache-2.0
// PolicyBuilder: the `plugins` and `schedulingProfiles` of one document, read and joined to a
// Profile. Private to policy_config.cpp, which reads the rest of the document.
// Every problem is reported at its place and building goes on. Used once, by one thread.
#pragma once

#include <list>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "core/config/section.h"
#include "core/scheduling/known_types.h"
#include "core/scheduling/picker_config.h"
#include "core/scheduling/policy_config.h"
#include "core/scheduling/profile.h"
#include "core/scheduling/registry.h"

namespace fairlead::scheduling {

class PolicyBuilder {
 public:
  // What the parameters of a built-in type say, where they say anything.
  struct Values {
    std::optional<FileDiscovery> discovery;
    std::optional<Duration> interval;
    std::optional<KvEventSettings> events;
    MetricsPlace place;
  };
  // What a `pluginRef` names.
  struct Referent {
    std::string name;
    const BuiltInType* type;
    Values values;
  };

  PolicyBuilder(const Registry& registry, const PolicyRules& rules, config::Problems& problems)
      : registry_(registry), rules_(rules), problems_(problems) {}

  void read_plugins(config::Section& document);
  // After read_plugins(). The profile is whole only if no error was reported.
  std::unique_ptr<Profile> read_profiles(config::Section& document);
  // Whether some declared plugin belongs into a profile; a detector need not.
  bool has_members() const;
  // Reads `pluginRef`, which must name a declared or built-in plugin of this role.
  std::optional<Referent> reference(config::Section& holder, Role role) const;
  // The same for a saturation detector; empty when it names none.
  std::string detector(config::Section& holder) const;
  // Whoever works without being in a profile: declared admitters and reporters.
  void add_standing(Profile& profile);
  // The admitter of the detector of that name, which is its type when nobody declared it.
  void add_detector(const std::string& name, Profile& profile);
  // A declared plugin of this built-in type, the first one; null when there is none.
  // Of the producer, or of the scorer that has one of its own; nothing: engines are not heard.
  std::optional<KvEventSettings> declared_events() const;
  const Values* declared_values(std::string_view type) const;
  // Every plugin that was not refused, in the order of the document.
  std::vector<PluginUse> uses() const;

 private:
  // One entry of `plugins`; without a spec and a built-in type when it was refused.
  struct Declared {
    explicit Declared(config::Section at) : section(std::move(at)) {}

    config::Section section;
    std::string name;
    std::string type;
    std::string parameters;  // As written.
    const DeprecatedType* deprecated = nullptr;
    const FilterSpec* filter_spec = nullptr;
    const ScorerSpec* scorer_spec = nullptr;
    const PickerSpec* picker_spec = nullptr;
    const AdmitterSpec* admitter_spec = nullptr;
    const ReporterSpec* reporter_spec = nullptr;
    const BuiltInType* built_in = nullptr;
    std::unique_ptr<Filter> filter;
    std::unique_ptr<Scorer> scorer;
    std::unique_ptr<Picker> picker;
    std::unique_ptr<Admitter> admitter;
    std::unique_ptr<Reporter> reporter;
    Values values;
    Columns reads;  // Once it is used.
    bool used = false;

    bool is_member() const;
    bool is_standing() const { return admitter_spec != nullptr || reporter_spec != nullptr; }
    bool refused() const { return !is_member() && !is_standing() && built_in == nullptr; }
    Role role() const;
  };

  Declared* find(std::string_view name);
  const Declared* find(std::string_view name) const;
  void find_makers(Declared& plugin, std::string_view type) const;
  bool has_foreign_name(const Declared& plugin) const;
  void look_up(Declared& plugin) const;
  void check_stability(Declared& plugin) const;
  void create(Declared& plugin);
  void check_producers(config::Section& parameters) const;
  void report_unknown(const Declared& plugin) const;
  void check_columns(const config::Section& at, std::string_view key, Declared& plugin,
                     Columns reads, Profile& profile) const;
  void add_scorer(const config::Section& at, std::string_view key, Declared& plugin, float weight,
                  Profile& profile);
  void add_picker(const config::Section& at, std::string_view key, Declared& plugin,
                  Profile& profile);
  void add(const config::Section& at, std::string_view key, Declared& plugin, float weight,
           Profile& profile);
  void read_member(config::Section& member, Profile* profile);
  void read_members(config::Section& section, Profile* profile);
  void read_more_profiles(std::vector<config::Section>& sections);
  void add_default_picker(const config::Section& at, Profile& profile);
  void check_handlers() const;
  void warn_of_unused() const;
  void warn_of_chance(const config::Section& document, const Profile& profile) const;

  const Registry& registry_;
  const PolicyRules& rules_;
  config::Problems& problems_;
  std::list<Declared> plugins_;  // In the order of the document; a list keeps addresses.
};

}  // namespace fairlead::scheduling
