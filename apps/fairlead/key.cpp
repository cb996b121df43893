// SPDX-License-Identifier: Apache-2.0
#include <sys/random.h>

#include <CLI/CLI.hpp>
#include <cstdio>
#include <memory>
#include <string>

#include "commands.h"
#include "core/access/keys_file.h"

namespace fairlead::app {
namespace {

// So that people and scanners of leaked secrets know one when they see it.
constexpr const char* kPrefix = "fl-";

int new_key(const std::string& name) {
  if (!access::is_key_name(name)) {
    return complain("a key's name is at most 64 letters, digits and . _ - @", 2);
  }
  access::KeyDigest bits;  // As many as a digest has; more would be no harder to guess.
  if (::getrandom(bits.data(), bits.size(), 0) != static_cast<ssize_t>(bits.size())) {
    return complain("the system gives no randomness", 1);
  }
  const std::string key = kPrefix + access::to_hex(bits);
  access::KeyHasher hasher;
  const auto digest = hasher.digest(key);
  if (!digest) return complain("OpenSSL offers no SHA-256", 1);
  std::printf(
      "# For the client; it is shown only now:\n"
      "%s\n\n"
      "# For the keys file, below `keys:`\n"
      "  - name: %s\n"
      "    sha256: \"%s\"\n",
      key.c_str(), name.c_str(), access::to_hex(*digest).c_str());
  return 0;
}

}  // namespace

Command add_key(CLI::App& parent) {
  CLI::App* command = parent.add_subcommand("key", "Makes API keys for clients of the gateway");
  command->require_subcommand(1);
  CLI::App* create = command->add_subcommand("new", "Prints a new key and its entry");
  auto name = std::make_shared<std::string>();
  create->add_option("name", *name, "Whose key: shown in metrics and the access log")->required();
  command->footer(
      "Examples:\n"
      "  fairlead key new team-a");
  return [name] { return new_key(*name); };
}

}  // namespace fairlead::app
