// SPDX-License-Identifier: Apache-2.0
#include <CLI/CLI.hpp>
#include <cstdint>
#include <cstdio>
#include <limits>
#include <memory>
#include <string>
#include <vector>

#include "commands.h"
#include "embedded_data.h"
#include "flag_checks.h"
#include "lab/engine/engine_fleet.h"
#include "signals.h"

namespace fairlead::app {
namespace {

struct EngineFlags {
  std::string profile = "qwen3-32b-2xh100";
  std::vector<std::string> faults;
  bool list_profiles = false;
  engine::FleetOptions fleet;
};

// Where to subscribe: the ports may be any free ones.
void tell_event_sockets(const std::vector<engine::EventSockets>& sockets) {
  if (sockets.front().events.empty()) return;
  std::fprintf(stderr, "KV events at");
  for (const auto& [events, replay] : sockets) std::fprintf(stderr, " %s", events.c_str());
  if (!sockets.front().replay.empty()) std::fprintf(stderr, ", replay at");
  for (const auto& [events, replay] : sockets) {
    if (!replay.empty()) std::fprintf(stderr, " %s", replay.c_str());
  }
  std::fprintf(stderr, "\n");
}

int run_engines(EngineFlags& flags) {
  if (flags.list_profiles) {
    for (const std::string& name : engine_profile_names()) std::printf("%s\n", name.c_str());
    return 0;
  }
  auto profile = find_engine_profile(flags.profile);
  if (!profile) return complain(profile.error().message, 2);
  flags.fleet.profile = std::move(*profile);
  for (const std::string& text : flags.faults) {
    auto fault = engine::parse_fault_option(text);
    if (!fault) return complain("--fault: " + fault.error().message, 2);
    flags.fleet.faults.push_back(*fault);
  }
  auto loop = net::EventLoop::create();
  if (!loop) return complain(loop.error().message, 1);
  const SignalThread signals([&] { (*loop)->stop(); });
  auto fleet = engine::EngineFleet::create(**loop, flags.fleet);
  if (!fleet) return complain(fleet.error().message, 1);
  tell_event_sockets((*fleet)->event_sockets());
  std::fprintf(stderr, "%zu engines of profile %s at speed %g on %s, ports", flags.fleet.engines,
               flags.profile.c_str(), flags.fleet.speed, flags.fleet.host.c_str());
  for (const std::uint16_t port : (*fleet)->ports()) std::fprintf(stderr, " %u", unsigned{port});
  std::fprintf(stderr, "\n");
  (*loop)->run();
  return 0;
}

}  // namespace

Command add_engine(CLI::App& parent) {
  CLI::App* command = parent.add_subcommand(
      "engine", "Simulated vLLM engines: their wire, their latency, a real KV-block manager");
  auto flags = std::make_shared<EngineFlags>();
  flags->fleet.engines = 1;
  flags->fleet.base_port = 9001;
  engine::FleetOptions& fleet = flags->fleet;
  command->add_option("--engines", fleet.engines, "How many, a port each")
      ->check(whole_number(1, engine::kFleetEnginesMax))
      ->capture_default_str();
  command->add_option("--host", fleet.host, "Address to listen on")->capture_default_str();
  command->add_option("--base-port", fleet.base_port, "Port of the first; 0 takes any free ones")
      ->check(whole_number(0, 65'535))
      ->capture_default_str();
  command->add_option("--profile", flags->profile, "Engine profile: a name or a YAML file")
      ->capture_default_str();
  command->add_flag("--list-profiles", flags->list_profiles, "Names the shipped profiles");
  command->add_option("--speed", fleet.speed, "Seconds of model time in a second")
      ->check(from_to(0.001, 1e6))
      ->capture_default_str();
  command->add_option("--seed", fleet.seed, "Of step noise and fault draws")
      ->check(whole_number(0, std::numeric_limits<std::uint64_t>::max()))
      ->capture_default_str();
  command->add_option("--stream-interval", fleet.stream_interval, "Tokens a streamed event")
      ->check(whole_number(1, 4096))
      ->capture_default_str();
  command->add_option("--served-model-name", fleet.served_names, "Model ids; default: profile's");
  command->add_option("--lora", fleet.adapters, "LoRA adapter to offer; repeatable");
  command->add_option("--api-key", fleet.api_key, "Bearer key that clients must send");
  command->add_option("--tls-cert", fleet.tls_cert, "Certificate chain, PEM: serve over TLS");
  command->add_option("--tls-key", fleet.tls_key, "Its key, PEM");
  command->add_option("--max-waiting", fleet.max_waiting, "Queue bound, then 429; 0 is none")
      ->check(whole_number(0, std::numeric_limits<std::uint32_t>::max()));
  command->add_option("--kv-events-config", fleet.kv_events_config,
                      "KV-cache events over ZeroMQ, JSON as vLLM's; engine n adds n to the ports");
  command->add_flag_callback(
      "--kv-events-arrays", [&fleet] { fleet.kv_events_encoding = codec::KvEncoding::kArrays; },
      "Events as arrays, as vLLM wrote them before 0.24");
  command->add_option("--fault", flags->faults,
                      "Fault from the start, as kind=error_500,probability=0.1,engine=2");
  command->footer(
      "Faults, with their parameters (docs/engine.md):\n" + engine::describe_fault_kinds() +
      "\nExamples:\n"
      "  fairlead engine --engines 8 --profile qwen3-32b-2xh100 --speed 8\n"
      "  fairlead engine --profile instant --base-port 9101\n"
      "  curl -X POST localhost:9001/admin/fault -d '{\"kind\": \"stall\", \"duration_s\": 5}'");
  return [flags] { return run_engines(*flags); };
}

}  // namespace fairlead::app
