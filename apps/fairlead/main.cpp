// SPDX-License-Identifier: Apache-2.0
// The program: one subcommand for each job.
#include <CLI/CLI.hpp>
#include <cstdio>
#include <string>
#include <utility>
#include <vector>

#include "commands.h"
#include "descriptors.h"

namespace fairlead::app {

int complain(const std::string& message, int status) {
  std::fprintf(stderr, "fairlead: %s\n", message.c_str());
  return status;
}

}  // namespace fairlead::app

int main(int argc, char** argv) {
  CLI::App program(
      "Routes AI-inference requests to the model server that will answer them soonest.",
      "fairlead");
  program.set_version_flag("--version", "fairlead " FAIRLEAD_VERSION);
  program.require_subcommand(1);
  program.footer("Each command has a --help of its own, with examples.");

  using namespace fairlead::app;
  raise_descriptor_limit();
  const std::vector<Command> commands = {
      add_serve(program), add_epp(program),       add_engine(program),  add_load(program),
      add_plan(program),  add_check(program),     add_explain(program), add_demo(program),
      add_key(program),   add_completion(program)};
  try {
    program.parse(argc, argv);
  } catch (const CLI::ParseError& error) {
    const int status = program.exit(error);
    return status == 0 ? 0 : 2;
  }
  const auto subcommands = program.get_subcommands([](CLI::App*) { return true; });
  for (std::size_t i = 0; i < subcommands.size(); ++i) {
    if (subcommands[i]->parsed()) return commands[i]();
  }
  return 2;
}
