// SPDX-License-Identifier: Apache-2.0
// `fairlead demo`: the main job in one command. Simulated engines, the gateway and the load
// generator run in this process over real loopback sockets; each policy gets fresh engines and the
// same stretch of a production trace. With --envoy the router is an endpoint picker behind an
// Envoy.
#include <fmt/format.h>
#include <CLI/CLI.hpp>

#include <atomic>
#include <cstdio>
#include <memory>
#include <random>
#include <string>
#include <utility>
#include <vector>

#include "commands.h"
#include "core/scheduling/policy_config.h"
#include "embedded_data.h"
#include "envoy_process.h"
#include "epp_server.h"
#include "flag_checks.h"
#include "io/export/log_sink.h"
#include "lab/engine/engine_thread.h"
#include "lab/load/load_run.h"
#include "lab/load/model/cache_bound.h"
#include "report_text.h"
#include "router/build.h"
#include "server.h"
#include "signals.h"

namespace fairlead::app {
namespace {

struct DemoFlags {
  std::vector<std::string> policies = {"random", "least-request", "blend", "fairlead",
                                       "fairlead-exact"};
  std::string profile = "qwen3-32b-2xh100";
  std::uint32_t engines = 8;
  double speed = 4;
  std::uint32_t stream_interval = 8;
  double compression = 2;
  double trace_seconds = 360;
  std::string html = "fairlead-report.html";
  std::string json;
  std::string envoy;  // The command; empty: the gateway.
  bool keep = false;
  // Of what --keep leaves running.
  std::uint16_t port = 8080;
  std::uint16_t admin_port = 9090;
  std::uint16_t base_port = 9001;
};

engine::FleetOptions fleet_options(const DemoFlags& flags, const engine::EngineProfile& profile,
                                   std::uint16_t base_port) {
  engine::FleetOptions options;
  options.engines = flags.engines;
  options.base_port = base_port;
  options.profile = profile;
  options.speed = flags.speed;
  options.stream_interval = flags.stream_interval;
  options.kv_events_config = R"({"enable_kv_cache_events": true, "endpoint": "tcp://127.0.0.1:*",)"
                             R"( "replay_endpoint": "tcp://127.0.0.1:*"})";
  return options;
}

std::string fleet_document(engine::EngineThread& engines) {
  std::string yaml = "fleet:\n  endpoints:\n";
  const std::vector<std::uint16_t>& ports = engines.ports();
  for (std::size_t i = 0; i < ports.size(); ++i) {
    const engine::EventSockets& sockets = engines.event_sockets()[i];
    yaml += fmt::format(
        "    - {{name: engine-{}, address: \"127.0.0.1:{}\", labels: {{fairlead/kv-events: "
        "\"{}\", fairlead/kv-replay: \"{}\"}}}}\n",
        i, ports[i], sockets.events, sockets.replay);
  }
  return yaml;
}

Result<std::unique_ptr<Server>> start_server(engine::EngineThread& engines,
                                             const std::string& policy, std::uint16_t listen,
                                             std::uint16_t admin, Log& log) {
  config::Problems problems;
  const std::string document =
      fmt::format("gateway: {{listen: [\"127.0.0.1:{}\"], adminListen: \"127.0.0.1:{}\"}}\n{}",
                  listen, admin, fleet_document(engines));
  const auto generation = router::build_generation(document, "demo", policy, problems);
  if (!generation) return fail(ErrorCode::kInvalidArgument, "{}", problems.to_string());
  std::random_device entropy;
  return Server::start(generation, (std::uint64_t{entropy()} << 32) | entropy(), log);
}

// On ports of the kernel's choice.
Result<std::unique_ptr<EppServer>> start_picker(engine::EngineThread& engines,
                                                const std::string& policy, Log& log) {
  config::Problems problems;
  config::GivenFlags flags;
  flags.add("pool-name", "demo");
  flags.add("secure-serving", "false");
  const std::string document = fmt::format(
      "policy: {}\nepp: {{listen: [\"127.0.0.1:0\"], healthListen: [\"127.0.0.1:0\"],\n"
      "      metricsListen: [\"127.0.0.1:0\"], adminListen: \"127.0.0.1:0\"}}\n{}",
      policy, fleet_document(engines));
  auto plan = router::build_epp(document, "demo", flags, {}, problems);
  if (!plan) return fail(ErrorCode::kInvalidArgument, "{}", problems.to_string());
  std::random_device entropy;
  return EppServer::start(plan->generation, (std::uint64_t{entropy()} << 32) | entropy(), log);
}

// What requests go through: a gateway, or an Envoy and its picker.
struct Front {
  std::unique_ptr<Server> gateway;
  std::unique_ptr<EppServer> picker;
  std::unique_ptr<EnvoyProcess> envoy;

  bool ready() const { return gateway ? gateway->ready() : picker->ready(); }
  std::uint16_t port() const { return gateway ? gateway->gateway_port() : envoy->port(); }
};

Result<Front> start_front(const std::string& envoy_command, engine::EngineThread& engines,
                          const std::string& policy, net::EventLoop& loop, Log& log) {
  Front front;
  if (envoy_command.empty()) {
    auto server = start_server(engines, policy, 0, 0, log);
    if (!server) return tl::unexpected(server.error());
    front.gateway = std::move(*server);
    return front;
  }
  auto picker = start_picker(engines, policy, log);
  if (!picker) return tl::unexpected(picker.error());
  front.picker = std::move(*picker);
  auto envoy = EnvoyProcess::start(envoy_command, front.picker->port(), loop);
  if (!envoy) return with_context(envoy.error(), "--envoy");
  front.envoy = std::move(*envoy);
  return front;
}

// Finds out before minutes of comparison whether what --keep leaves running will find its ports.
Result<void> check_ports(const DemoFlags& flags) {
  std::vector<std::uint16_t> ports = {flags.port, flags.admin_port};
  if (flags.base_port + flags.engines > 65'536) {
    return fail(ErrorCode::kInvalidArgument, "{} engines from port {} on do not fit below 65536",
                flags.engines, flags.base_port);
  }
  for (std::uint32_t i = 0; i < flags.engines; ++i) {
    ports.push_back(static_cast<std::uint16_t>(flags.base_port + i));
  }
  std::vector<net::UniqueFd> held;  // Together, so that one port for two of them is found too.
  for (const std::uint16_t port : ports) {
    auto listener =
        net::listen_tcp(net::SocketAddress::loopback(port), net::PortSharing::kExclusive);
    if (!listener) {
      return fail(ErrorCode::kIo, "{}; choose others with --port, --admin-port and --base-port",
                  listener.error().message);
    }
    held.push_back(std::move(*listener));
  }
  return {};
}

// Turns the idle loop until the router knows its fleet.
template <class Router>
Result<void> wait_until_ready(const Router& server, net::EventLoop& loop) {
  constexpr Duration kPatience = std::chrono::seconds(15);
  loop.run_turn(Duration{});
  const Time deadline = loop.now() + kPatience;
  while (!server.ready()) {
    if (loop.now() > deadline) {
      return fail(ErrorCode::kUnavailable, "the engines did not become healthy in {:.0f} s",
                  to_seconds(kPatience));
    }
    loop.run_turn(std::chrono::milliseconds(10));
  }
  return {};
}

class Demo {
 public:
  Demo(DemoFlags flags, std::string command, net::EventLoop& loop, const std::atomic<bool>& stopped)
      : flags_(std::move(flags)),
        command_(std::move(command)),
        loop_(loop),
        stopped_(stopped),
        log_(sink_, LogLevel::kError) {}

  // Finds what would spoil the end of the demo before its beginning.
  Result<void> prepare();
  Result<void> compare();
  Result<void> report() const;
  Result<void> keep_running();
  bool spoilt() const { return spoilt_; }

 private:
  Result<void> run_policy(const std::string& policy);
  double pooled_hits() const;

  DemoFlags flags_;
  std::string command_;
  std::unique_ptr<ReportFile> html_;
  std::unique_ptr<ReportFile> json_;  // Null when not asked for.
  net::EventLoop& loop_;
  const std::atomic<bool>& stopped_;
  exporting::StderrLogSink sink_;
  Log log_;
  engine::EngineProfile profile_;
  load::Workload workload_;
  std::vector<load::ReportRun> runs_;
  bool spoilt_ = false;
};

Result<void> Demo::prepare() {
  auto html = ReportFile::open(flags_.html);
  if (!html) return with_context(html.error(), "--html");
  html_ = std::move(*html);
  auto json = ReportFile::open(flags_.json);
  if (!json) return with_context(json.error(), "--json");
  json_ = std::move(*json);
  return flags_.keep ? check_ports(flags_) : Result<void>();
}

Result<void> Demo::compare() {
  auto profile = find_engine_profile(flags_.profile);
  if (!profile) return tl::unexpected(profile.error());
  profile_ = std::move(*profile);
  const auto trace = find_trace("mooncake_conversation");
  if (!trace) return tl::unexpected(trace.error());
  load::ReplaySettings replay;
  replay.to = from_seconds(flags_.trace_seconds);
  replay.compression = flags_.compression;
  auto workload = load::plan_replay(*trace, replay);
  if (!workload) return tl::unexpected(workload.error());
  workload_ = std::move(*workload);
  std::printf(
      "%u simulated engines (%s, %lld KV tokens each, model speed %g), %zu requests of the\n"
      "Mooncake conversation trace at %g times its pace; %zu %s, each under load for %.0f s and\n"
      "until its last answer.\n\n",
      flags_.engines, profile_.name.c_str(), static_cast<long long>(profile_.kv_tokens),
      flags_.speed, workload_.requests.size(), flags_.compression, flags_.policies.size(),
      flags_.policies.size() == 1 ? "policy" : "policies",
      flags_.trace_seconds / flags_.compression / flags_.speed);
  std::fflush(stdout);
  for (const std::string& policy : flags_.policies) {
    if (auto done = run_policy(policy); !done) {
      return with_context(done.error(), "policy " + policy);
    }
    if (stopped_) return fail(ErrorCode::kUnavailable, "interrupted");
  }
  std::printf("\n%s\n", load::comparison_table(runs_).c_str());
  std::printf("One LRU cache of the size of all together would hit %.1f %%.\n",
              100 * pooled_hits());
  std::fflush(stdout);
  return {};
}

// What a perfect placement comes to.
double Demo::pooled_hits() const {
  return load::pooled_hit_rate(workload_, static_cast<std::uint32_t>(profile_.block_size),
                               static_cast<std::uint64_t>(profile_.kv_tokens) * flags_.engines);
}

Result<void> Demo::run_policy(const std::string& policy) {
  const auto engines = engine::EngineThread::start(fleet_options(flags_, profile_, 0));
  if (!engines) return tl::unexpected(engines.error());
  const auto front = start_front(flags_.envoy, **engines, policy, loop_, log_);
  if (!front) return tl::unexpected(front.error());
  if (auto ready = wait_until_ready(*front, loop_); !ready) return ready;

  load::LoadSettings settings;
  settings.target.address = net::SocketAddress::loopback(front->port());
  settings.target.host = "127.0.0.1";
  settings.speed = flags_.speed;
  settings.progress_interval = std::chrono::seconds(5);
  auto result = load::run_load(loop_, workload_, settings, [&](const load::LoadProgress& progress) {
    std::fprintf(stderr, "%-14s %s\n", policy.c_str(), load::progress_line(progress).c_str());
  });
  if (!result) return tl::unexpected(result.error());
  if (result->interrupted) return fail(ErrorCode::kUnavailable, "interrupted");
  if (result->summary.overall.succeeded == 0) {
    return fail(ErrorCode::kUnavailable, "no request was answered");
  }
  if (result->spoilt) {
    spoilt_ = true;
    std::fprintf(stderr, "%-14s warning: %s\n", policy.c_str(), result->spoilt->c_str());
  }
  runs_.push_back({policy, std::move(result->records), std::move(result->summary)});
  return {};
}

Result<void> Demo::report() const {
  load::ReportText text;
  text.title = "Routing policies on a production trace";
  text.subtitle = fmt::format(
      "{} requests of the Mooncake conversation trace over {} simulated engines, one run a policy",
      workload_.requests.size(), flags_.engines);
  text.command = command_;
  text.row = "Policy";
  text.method = {
      {"Engines",
       fmt::format("{} x {}, {} KV tokens each, model speed {}, stream interval {}", flags_.engines,
                   profile_.name, profile_.kv_tokens, flags_.speed, flags_.stream_interval)},
      {"Trace", fmt::format("first {:.0f} s, {} times compressed, arrivals spread within the "
                            "recorder's steps",
                            flags_.trace_seconds, flags_.compression)},
      {"Router", flags_.envoy.empty() ? "the gateway" : "Envoy with the endpoint picker"},
      {"Fresh start", "engines and router start anew for each policy"},
      {"Hit rate of one LRU cache of the size of all together",
       fmt::format("{:.1f} %", 100 * pooled_hits())},
      {"Units", "seconds of model time"},
  };
  describe_machine(text);
  if (json_) {
    if (auto done = json_->write(load::summary_json(text, runs_)); !done) return done;
  }
  if (!html_) return {};
  if (auto done = html_->write(load::html_report(text, runs_)); !done) return done;
  std::printf("Report with charts: %s\n", flags_.html.c_str());
  return {};
}

Result<void> Demo::keep_running() {
  const auto engines =
      engine::EngineThread::start(fleet_options(flags_, profile_, flags_.base_port));
  if (!engines) return tl::unexpected(engines.error());
  const auto server = start_server(**engines, "fairlead", flags_.port, flags_.admin_port, log_);
  if (!server) return tl::unexpected(server.error());
  if (auto ready = wait_until_ready(**server, loop_); !ready) return ready;
  std::printf(
      "\nRunning until Ctrl-C: engines on ports %u to %u, gateway on %u, metrics on %u. "
      "Try:\n\n"
      "  curl -N localhost:%u/v1/chat/completions -H 'content-type: application/json' \\\n"
      "    -d '{\"model\": \"%s\", \"stream\": true, \"max_tokens\": 32,\n"
      "         \"messages\": [{\"role\": \"user\", \"content\": \"Where do requests go?\"}]}'\n"
      "  http://localhost:%u/ in a browser, the live page\n\n",
      flags_.base_port, flags_.base_port + flags_.engines - 1, flags_.port, flags_.admin_port,
      flags_.port, profile_.model.c_str(), flags_.admin_port);
  std::fflush(stdout);
  loop_.run();
  return {};
}

int run_demo(const DemoFlags& flags, const CLI::App& command) {
  auto loop = net::EventLoop::create();
  if (!loop) return complain(loop.error().message, 1);
  std::atomic<bool> stopped{false};
  const SignalThread signals([&] {
    stopped = true;
    (*loop)->stop();
  });
  Demo demo(flags, command_text(command, {"--html", "--json", "--keep"}), **loop, stopped);
  if (auto done = demo.prepare(); !done) return complain(done.error().message, 2);
  if (auto done = demo.compare(); !done) return complain(done.error().message, 1);
  if (auto done = demo.report(); !done) return complain(done.error().message, 1);
  if (flags.keep) {
    if (auto done = demo.keep_running(); !done) return complain(done.error().message, 1);
  }
  if (demo.spoilt()) {
    return complain("the machine was too busy to keep the schedule; see the warnings above", 1);
  }
  return 0;
}

std::vector<std::string> policy_names() {
  const auto names = scheduling::shipped_policy_names();
  return {names.begin(), names.end()};
}

void declare_ports(CLI::App& command, DemoFlags& flags, CLI::Option* keep) {
  const auto port = [&](const char* name, std::uint16_t& value, const char* text) {
    command.add_option(name, value, text)
        ->needs(keep)
        ->check(whole_number(1, 65'535))
        ->capture_default_str();
  };
  port("--port", flags.port, "Of the gateway that --keep leaves running");
  port("--admin-port", flags.admin_port, "Of its metrics");
  port("--base-port", flags.base_port, "Of the first engine left running");
}

}  // namespace

Command add_demo(CLI::App& parent) {
  CLI::App* command = parent.add_subcommand(
      "demo", "Engines, gateway and a real trace in one process: policies compared in a table");
  auto flags = std::make_shared<DemoFlags>();
  command->add_option("--policy", flags->policies, "Policies to compare")
      ->delimiter(',')
      ->check(CLI::IsMember(policy_names()))
      ->capture_default_str();
  command->add_option("--engines", flags->engines, "Simulated engines")
      ->check(whole_number(1, 256))
      ->capture_default_str();
  command->add_option("--profile", flags->profile, "Engine profile")->capture_default_str();
  command->add_option("--speed", flags->speed, "Seconds of model time in a second")
      ->check(from_to(0.001, 1e6))
      ->capture_default_str();
  command->add_option("--stream-interval", flags->stream_interval, "Tokens a streamed event")
      ->check(whole_number(1, 4096))
      ->capture_default_str();
  command->add_option("--compression", flags->compression, "Trace time over replay time")
      ->check(from_to(0.001, 1000))
      ->capture_default_str();
  command->add_option("--trace-seconds", flags->trace_seconds, "Stretch of the trace")
      ->check(from_to(0.001, 1e9))
      ->capture_default_str();
  command->add_option("--envoy", flags->envoy,
                      "Program that runs an Envoy, given its port and the picker's: requests go "
                      "through it and the endpoint picker instead of the gateway");
  command->add_option("--html", flags->html, "Report to write")->capture_default_str();
  command->add_option("--json", flags->json, "Summary to write as JSON");
  CLI::Option* keep =
      command->add_flag("--keep", flags->keep, "Leave engines and gateway running afterwards");
  declare_ports(*command, *flags, keep);
  command->footer(
      "Examples:\n"
      "  fairlead demo\n"
      "  fairlead demo --policy sticky,fairlead --trace-seconds 120 --html sticky.html");
  return [flags, command] { return run_demo(*flags, *command); };
}

}  // namespace fairlead::app
