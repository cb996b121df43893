// SPDX-License-Identifier: Apache-2.0
// `fairlead completion`: scripts that teach a shell the commands and flags, written from the parser
// itself so that they cannot fall behind.
#include <fmt/format.h>
#include <fmt/ranges.h>
#include <CLI/CLI.hpp>

#include <algorithm>
#include <cstdio>
#include <memory>
#include <string>
#include <vector>

#include "commands.h"
#include "core/config/epp_settings.h"
#include "core/scheduling/policy_config.h"
#include "embedded_data.h"

namespace fairlead::app {
namespace {

// The subcommands of the program, or of a command.
std::vector<const CLI::App*> commands_of(const CLI::App& parent) {
  return parent.get_subcommands([](const CLI::App*) { return true; });
}

std::vector<std::string> flags_of(const CLI::App& command) {
  std::vector<std::string> flags;
  if (command.get_name() == "epp") {
    for (const config::FlagName& flag : config::epp_flag_names()) {
      flags.push_back(fmt::format("--{}", flag.name));
    }
  }
  for (const CLI::Option* option : command.get_options()) {
    for (const std::string& name : option->get_lnames()) flags.push_back("--" + name);
    for (const std::string& name : option->get_snames()) flags.push_back("-" + name);
  }
  for (const CLI::App* nested : commands_of(command)) {
    for (std::string& flag : flags_of(*nested)) {
      if (std::ranges::find(flags, flag) == flags.end()) flags.push_back(std::move(flag));
    }
  }
  return flags;
}

// What may stand behind a command that has commands of its own.
std::string nested_words(const CLI::App& command) {
  std::vector<std::string> names;
  for (const CLI::App* nested : commands_of(command)) names.push_back(nested->get_name());
  return fmt::format("{}", fmt::join(names, " "));
}

// Where no flag is begun the shell's own completion of file names goes on (-o default).
std::string bash_script(const CLI::App& program) {
  std::vector<std::string> names;
  std::string cases;
  for (const CLI::App* command : commands_of(program)) {
    names.push_back(command->get_name());
    cases += fmt::format("    {}) flags=\"{}\" words=\"{}\" ;;\n", names.back(),
                         fmt::join(flags_of(*command), " "), nested_words(*command));
  }
  return fmt::format(
      "_fairlead() {{\n"
      "  local word=\"${{COMP_WORDS[COMP_CWORD]}}\" before=\"${{COMP_WORDS[COMP_CWORD-1]}}\" "
      "flags=\"\" words=\"\"\n"
      "  COMPREPLY=()\n"
      "  if [ \"$COMP_CWORD\" -eq 1 ]; then\n"
      "    COMPREPLY=($(compgen -W \"{} --help --version\" -- \"$word\"))\n"
      "    return\n"
      "  fi\n"
      "  case \"${{COMP_WORDS[1]}}\" in\n"
      "{}"
      "  esac\n"
      "  case \"$before,$word\" in\n"
      "    --policy,* | --rivals,*) COMPREPLY=($(compgen -W \"{} {}\" -- \"$word\")) ;;\n"
      "    --workload,* | --validation,*) COMPREPLY=($(compgen -W \"{}\" -- \"$word\")) ;;\n"
      "    --set,*) COMPREPLY=($(compgen -W \"train validate\" -- \"$word\")) ;;\n"
      "    \"${{COMP_WORDS[1]}}\",*) [ \"$COMP_CWORD\" -eq 2 ] &&"
      " COMPREPLY=($(compgen -W \"$words $flags\" -- \"$word\")) ;;\n"
      "    *,-*) COMPREPLY=($(compgen -W \"$flags\" -- \"$word\")) ;;\n"
      "  esac\n"
      "}}\n"
      "complete -o default -F _fairlead fairlead\n",
      fmt::join(names, " "), cases, fmt::join(scheduling::shipped_policy_names(), " "),
      fmt::join(scheduling::peer_policy_names(), " "), fmt::join(workload_names(), " "));
}

std::string zsh_script(const CLI::App& program) {
  return "autoload -U +X bashcompinit && bashcompinit\n" + bash_script(program);
}

std::string fish_text(const std::string& text) {
  std::string out = "'";
  for (const char c : text) {
    if (c == '\'' || c == '\\') out += '\\';
    out += c;
  }
  return out + "'";
}

// `when` is the condition under which the command's flags are offered.
std::string fish_flags(const CLI::App& command, const std::string& when) {
  std::string out;
  for (const CLI::Option* option : command.get_options()) {
    if (option->get_lnames().empty()) continue;
    out += fmt::format("complete -c fairlead -n '{}' -l {}", when, option->get_lnames().front());
    if (!option->get_snames().empty()) out += " -s " + option->get_snames().front();
    if (option->get_items_expected_max() > 0) out += " -r";
    out += fmt::format(" -d {}\n", fish_text(option->get_description()));
  }
  return out;
}

std::string fish_script(const CLI::App& program) {
  std::string out;
  for (const CLI::App* command : commands_of(program)) {
    const std::string seen = "__fish_seen_subcommand_from " + command->get_name();
    out += fmt::format("complete -c fairlead -n __fish_use_subcommand -f -a {} -d {}\n",
                       command->get_name(), fish_text(command->get_description()));
    out += fish_flags(*command, seen);
    for (const CLI::App* nested : commands_of(*command)) {
      out += fmt::format("complete -c fairlead -n '{}' -f -a {} -d {}\n", seen, nested->get_name(),
                         fish_text(nested->get_description()));
      out += fish_flags(
          *nested, fmt::format("{}; and __fish_seen_subcommand_from {}", seen, nested->get_name()));
    }
  }
  return out;
}

}  // namespace

Command add_completion(CLI::App& parent) {
  CLI::App* command =
      parent.add_subcommand("completion", "Prints a script that completes commands and flags");
  auto shell = std::make_shared<std::string>();
  command->add_option("shell", *shell, "bash, zsh or fish")
      ->required()
      ->check(CLI::IsMember({"bash", "zsh", "fish"}));
  command->footer(
      "Examples:\n"
      "  source <(fairlead completion bash)\n"
      "  fairlead completion fish > ~/.config/fish/completions/fairlead.fish");
  return [shell, &parent] {
    const std::string script = *shell == "bash"  ? bash_script(parent)
                               : *shell == "zsh" ? zsh_script(parent)
                                                 : fish_script(parent);
    std::printf("%s", script.c_str());
    return 0;
  };
}

}  // namespace fairlead::app
