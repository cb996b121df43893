// SPDX-License-Identifier: Apache-2.0
// PolicyBuilder: the `plugins` and `schedulingProfiles` of one document, read and joined to a
// Profile. Private to policy_config.cpp, which reads the rest of the document.
// Every problem is reported at its place and building goes on. Used once, by one thread.
#pragma once

#include <list>
#include <memory>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "core/config/section.h"
#include "core/scheduling/known_types.h"
#include "core/scheduling/profile.h"
#include "core/scheduling/registry.h"

namespace fairlead::scheduling {

class PolicyBuilder {
 public:
  PolicyBuilder(const Registry& registry, Columns filled, config::Problems& problems)
      : registry_(registry), filled_(filled), problems_(problems) {}

  void read_plugins(config::Section& document);
  // After read_plugins(). The profile is whole only if no error was reported.
  std::unique_ptr<Profile> read_profiles(config::Section& document);
  // Reads `pluginRef`, which must name a declared or built-in plugin of this role.
  bool check_reference(config::Section& holder, Role role) const;

 private:
  // One entry of `plugins`; without a spec and a built-in type when it was refused.
  struct Declared {
    explicit Declared(config::Section at) : section(std::move(at)) {}

    config::Section section;
    std::string name;
    std::string type;
    const FilterSpec* filter_spec = nullptr;
    const ScorerSpec* scorer_spec = nullptr;
    const PickerSpec* picker_spec = nullptr;
    const BuiltInType* built_in = nullptr;
    std::unique_ptr<Filter> filter;
    std::unique_ptr<Scorer> scorer;
    std::unique_ptr<Picker> picker;
    bool used = false;

    bool refused() const;
  };

  Declared* find(std::string_view name);
  const Declared* find(std::string_view name) const;
  void look_up(Declared& plugin) const;
  void create(Declared& plugin);
  void check_producers(config::Section& parameters) const;
  void report_unknown(const Declared& plugin) const;
  void check_columns(const config::Section& at, std::string_view key, const Declared& plugin,
                     Columns reads, Profile& profile) const;
  void add_scorer(const config::Section& at, std::string_view key, Declared& plugin, float weight,
                  Profile& profile);
  void add(const config::Section& at, std::string_view key, Declared& plugin, float weight,
           Profile& profile);
  void read_members(config::Section& section, Profile& profile);
  void add_default_picker(const config::Section& at, Profile& profile);
  void warn_of_unused() const;
  void warn_of_chance(const config::Section& document, const Profile& profile) const;

  const Registry& registry_;
  Columns filled_;
  config::Problems& problems_;
  std::list<Declared> plugins_;  // In the order of the document; a list keeps addresses.
};

}  // namespace fairlead::scheduling
