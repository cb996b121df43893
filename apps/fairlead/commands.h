// SPDX-License-Identifier: Apache-2.0
// The subcommands of the program. Each add_*() declares its flags on the command line parser and
// returns what runs it: a function that takes the parsed flags and gives the exit status.
// Threads: main only. Library: CLI11, which only apps/ may include.
#pragma once

#include <CLI/App.hpp>
#include <functional>
#include <string>
#include <vector>

namespace fairlead::app {

// 0: done; 1: it failed; 2: the input is wrong.
using Command = std::function<int()>;

Command add_serve(CLI::App& parent);
// Its flags have Go's form, so it reads them itself.
Command add_epp(CLI::App& parent);
Command add_engine(CLI::App& parent);
Command add_load(CLI::App& parent);
Command add_plan(CLI::App& parent);
Command add_check(CLI::App& parent);
Command add_demo(CLI::App& parent);
Command add_explain(CLI::App& parent);
Command add_completion(CLI::App& parent);
Command add_key(CLI::App& parent);

// Prints to standard error, with the program's name; returns `status`.
int complain(const std::string& message, int status);

}  // namespace fairlead::app
