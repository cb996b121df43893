// SPDX-License-Identifier: Apache-2.0
// `fairlead epp`: its flags are those of llm-d's endpoint picker, in Go's form, which the command
// line parser of the other commands does not read.
#include <CLI/CLI.hpp>

#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <memory>
#include <random>
#include <string>
#include <vector>

#include "commands.h"
#include "core/config/epp_settings.h"
#include "core/config/go_flags.h"
#include "descriptors.h"
#include "epp_server.h"
#include "io/export/log_sink.h"
#include "io/fleet/file_watch.h"
#include "io/net/steady_clock.h"
#include "router/build.h"
#include "signals.h"
#include "stop_gate.h"

namespace fairlead::app {
namespace {

std::string variable(const char* name) {
  const char* const value = std::getenv(name);
  return value == nullptr ? std::string() : value;
}

struct Launch {
  config::GivenFlags flags;
  config::ConfigSource source;
  config::EppEnvironment environment;
};

Result<std::shared_ptr<const router::Generation>> load(const Launch& launch,
                                                       std::string& warnings) {
  std::string text = launch.source.text.empty() ? "{}" : launch.source.text;
  if (!launch.source.file.empty()) {
    auto read = fleet::FileWatch::read_file(launch.source.file);
    if (!read) return tl::unexpected(read.error());
    text = std::move(*read);
  }
  const std::string name = launch.source.file.empty() ? "--config-text" : launch.source.file;
  config::Problems problems;
  auto plan = router::build_epp(text, name, launch.flags, launch.environment, problems);
  if (!plan) return fail(ErrorCode::kInvalidArgument, "{}", problems.to_string());
  warnings = problems.to_string();
  std::uint32_t& connections = plan->generation->settings.limits.connections;
  const std::uint64_t descriptors = raise_descriptor_limit();
  connections = std::min(connections, connections_for(descriptors));
  return plan->generation;
}

// Health says no, but until that has spread requests still come: they are served while Envoy holds
// a connection, for at most the drain timeout.
void serve_on(EppServer& server, StopGate& gate, Log& log) {
  constexpr Duration kLook = std::chrono::milliseconds(50);
  const net::SteadyClock clock;
  const Duration timeout = server.router().generation().load()->epp.drain_timeout;
  log.info(
      "stopping within {:.0f} s, or when no proxy is connected any more; a second signal does "
      "not wait",
      to_seconds(timeout));
  const Time end = clock.now() + timeout;
  while (server.connections() > 0 && clock.now() < end) {
    if (gate.wait_for_signal_within(kLook)) return;
  }
}

int run(const Launch& launch) {
  std::string doubts;
  auto generation = load(launch, doubts);
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
  auto server = EppServer::start(*generation, seed, log, {launch.source.file, [&launch, &log] {
                                                            std::string warnings;
                                                            auto next = load(launch, warnings);
                                                            if (!warnings.empty())
                                                              log.warning("{}", warnings);
                                                            return next;
                                                          }});
  if (!server) return complain(server.error().message, 1);
  log.info("picking endpoints on port {}, health on {}, metrics on {}, page on {}, policy {}",
           (*server)->port(), (*server)->health_port(), (*server)->metrics_port(),
           (*server)->admin_port(), (*generation)->policy);
  gate.on_reload([&] { (*server)->reload(); });
  gate.wait_for_signal();
  (*server)->announce_end();
  serve_on(**server, gate, log);
  log.info("stopping: running streams may end; a second signal ends them now");
  (*server)->drain([&] { gate.drained(); });
  gate.wait_for_drain();
  gate.on_reload(nullptr);
  log.info("stopped");
  return 0;
}

constexpr const char* kHelp =
    "Endpoint picker for Envoy and the Gateway API Inference Extension (ext_proc over gRPC)\n\n"
    "Usage: fairlead epp [flags]\n\n"
    "Takes the place of llm-d's endpoint picker: the same flags, configuration, headers, metadata\n"
    "and metrics. `fairlead check --epp FILE` says what a configuration comes to.\n\nFlags:\n";
constexpr const char* kExamples =
    "\nExamples:\n"
    "  fairlead epp --pool-name llama --config-file epp.yaml\n"
    "  fairlead epp --pool-name llama --config-file epp.yaml --secure-serving=false -v=4\n";

int epp(const std::vector<std::string>& words) {
  const std::vector<std::string_view> given(words.begin(), words.end());
  for (const std::string_view word : given) {
    if (word != "--help" && word != "-h" && word != "-help") continue;
    std::printf("%s%s%s", kHelp, config::epp_flags_text().c_str(), kExamples);
    return 0;
  }
  config::Problems problems;
  const std::vector<config::FlagName> known = config::epp_flag_names();
  Launch launch{config::parse_go_flags(given, known, problems), {}, {variable("POD_NAME")}};
  launch.source = config::config_source(launch.flags, problems);
  if (problems.has_errors()) {
    std::fprintf(stderr, "%s", problems.to_string().c_str());
    return complain("epp: the flags have errors; `fairlead epp --help` lists them", 2);
  }
  return run(launch);
}

}  // namespace

Command add_epp(CLI::App& parent) {
  CLI::App* command =
      parent.add_subcommand("epp", "Endpoint picker for Envoy (ext_proc), in the place of llm-d's");
  command->set_help_flag();
  command->allow_extras();
  return [command] { return epp(command->remaining()); };
}

}  // namespace fairlead::app
