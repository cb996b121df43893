// SPDX-License-Identifier: Apache-2.0
#include <fmt/format.h>
#include <CLI/CLI.hpp>

#include <algorithm>
#include <cstdio>
#include <functional>
#include <memory>
#include <random>
#include <string>
#include <vector>

#include "commands.h"
#include "core/config/endpoints.h"
#include "core/scheduling/policy_config.h"
#include "descriptors.h"
#include "io/export/log_sink.h"
#include "io/fleet/file_watch.h"
#include "router/build.h"
#include "server.h"
#include "signals.h"
#include "stop_gate.h"

namespace fairlead::app {
namespace {

struct ServeFlags {
  std::string config;
  std::string policy;
  std::string listen;
  std::string admin;
  std::string access_log;
  std::vector<std::string> endpoints;
  std::string endpoints_file;
  std::uint32_t workers = 0;
  bool debug = false;
  bool profile = false;
};

// The flags that name an address or an endpoint, read like the file's own settings.
Result<void> override_settings(const ServeFlags& flags, config::ServeSettings& settings) {
  if (!flags.listen.empty()) {
    const auto address = config::parse_host_port(flags.listen);
    if (!address) return with_context(address.error(), "--listen");
    settings.gateway.listen = {*address};
  }
  if (!flags.admin.empty()) {
    const auto address = config::parse_host_port(flags.admin);
    if (!address) return with_context(address.error(), "--admin");
    settings.gateway.admin_listen = *address;
  }
  for (const std::string& text : flags.endpoints) {
    const auto endpoint = config::parse_endpoint_address(text);
    if (!endpoint) return with_context(endpoint.error(), "--endpoint");
    settings.fleet.endpoints.push_back(*endpoint);
  }
  if (!flags.endpoints_file.empty()) settings.fleet.endpoints_file = flags.endpoints_file;
  if (!flags.access_log.empty()) settings.gateway.access_log = flags.access_log;
  if (flags.workers > 0) settings.gateway.workers = flags.workers;
  if (flags.debug) settings.log.level = LogLevel::kDebug;
  if (settings.fleet.endpoints.empty() && settings.fleet.endpoints_file.empty()) {
    return fail(ErrorCode::kInvalidArgument,
                "no endpoints: name them in the configuration (fleet.endpoints), in a file "
                "(--endpoints-file) or with --endpoint HOST:PORT");
  }
  return {};
}

// The file, if there is one, under the flags. What is doubtful but no error goes to `warnings`.
Result<std::shared_ptr<const router::Generation>> load(const ServeFlags& flags,
                                                       std::string& warnings) {
  std::string text = "{}";
  if (!flags.config.empty()) {
    auto read = fleet::FileWatch::read_file(flags.config);
    if (!read) return tl::unexpected(read.error());
    text = std::move(*read);
  }
  config::Problems problems;
  auto generation = router::build_generation(text, flags.config.empty() ? "defaults" : flags.config,
                                             flags.policy, problems);
  if (!generation) return fail(ErrorCode::kInvalidArgument, "{}", problems.to_string());
  if (auto merged = override_settings(flags, generation->settings); !merged) {
    return tl::unexpected(merged.error());
  }
  warnings = problems.to_string();
  std::uint32_t& connections = generation->settings.limits.connections;
  const std::uint64_t descriptors = raise_descriptor_limit();
  const std::string doubt = descriptor_doubt(connections, descriptors);
  if (!doubt.empty()) warnings += fmt::format("limits.connections: {}\n", doubt);
  connections = std::min(connections, connections_for(descriptors));
  return generation;
}

int serve(const ServeFlags& flags) {
  std::string doubts;
  auto generation = load(flags, doubts);
  if (!generation) {
    std::fprintf(stderr, "%s\n", generation.error().message.c_str());
    return complain("the configuration has errors; nothing was started", 2);
  }
  std::fprintf(stderr, "%s", doubts.c_str());

  StopGate gate;
  const SignalThread signals([&] { gate.signal(); }, [&] { gate.reload(); });
  exporting::StderrLogSink sink;
  Log log(sink, (*generation)->settings.log.level);
  std::random_device entropy;
  const std::uint64_t seed = (std::uint64_t{entropy()} << 32) | entropy();
  const std::string policy = (*generation)->policy;
  const std::string admin_host = (*generation)->settings.gateway.admin_listen.host;
  auto server = Server::start(*generation, seed, log,
                              {flags.config,
                               [&flags, &log] {
                                 std::string warnings;
                                 auto next = load(flags, warnings);
                                 if (!warnings.empty()) log.warning("{}", warnings);
                                 return next;
                               }},
                              flags.profile ? Profiling::kOn : Profiling::kOff);
  if (!server) return complain(server.error().message, 1);
  log.info("serving on {}, admin on {}, policy {}", (*server)->listening(),
           config::to_string({admin_host, (*server)->admin_port()}), policy);
  gate.on_reload([&] { (*server)->reload(); });
  gate.wait_for_signal();
  const Duration delay = (*server)->router().generation().load()->settings.gateway.drain_delay;
  if (delay > Duration::zero()) {
    (*server)->announce_end();
    log.info("stopping in {:.0f} s: /readyz says so, requests are still served", to_seconds(delay));
    gate.wait_for_signal_within(delay);
  }
  log.info("stopping: running requests may end; a second signal ends them now");
  (*server)->drain([&] { gate.drained(); });
  gate.wait_for_drain();
  gate.on_reload(nullptr);
  std::fprintf(stderr, "%s", (*server)->profile().c_str());
  log.info("stopped");
  return 0;
}

}  // namespace

Command add_serve(CLI::App& parent) {
  CLI::App* command = parent.add_subcommand(
      "serve", "OpenAI-compatible gateway that routes to the engine that answers soonest");
  auto flags = std::make_shared<ServeFlags>();
  command->add_option("-c,--config", flags->config, "Configuration file (YAML)");
  command->add_option("--policy", flags->policy,
                      "Shipped policy instead of the configured one (default: fairlead)");
  command->add_option("--listen", flags->listen, "HOST:PORT for clients");
  command->add_option("--admin", flags->admin, "HOST:PORT of the live page, metrics and health");
  command->add_option("-e,--endpoint", flags->endpoints, "HOST:PORT of an engine; repeatable");
  command->add_option("--endpoints-file", flags->endpoints_file,
                      "File with the endpoints, watched for changes");
  command->add_option("--workers", flags->workers, "Event loops, each a thread")
      ->check(CLI::Range(1, 256));
  command->add_option("--access-log", flags->access_log,
                      "File for JSON lines, - for standard output");
  command->add_flag("--debug", flags->debug, "Log at debug level, whatever log.level says");
  command->add_flag("--profile", flags->profile,
                    "Show at the end, and at /debug/profile, how the workers' time divides");
  command->footer(
      "Examples:\n"
      "  fairlead serve -e 127.0.0.1:9001 -e 127.0.0.1:9002\n"
      "  fairlead serve -c serve.yaml --access-log -\n"
      "  fairlead serve --endpoints-file endpoints.yaml --policy blend");
  return [flags] { return serve(*flags); };
}

}  // namespace fairlead::app
