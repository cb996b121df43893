// SPDX-License-Identifier: Apache-2.0
// What a simulated engine costs: reading a large prompt, a /metrics page, an emitted token (CPU
// time of the engines' thread alone) and an answer of the instant profile (client included).
#include <benchmark/benchmark.h>
#include <sys/resource.h>

#include <atomic>
#include <future>
#include <string>
#include <thread>
#include <vector>

#include "core/tokens/block_hash.h"
#include "lab/engine/engine_fleet.h"
#include "lab/engine/testing/loop_client.h"

namespace fairlead::engine {
namespace {

EngineProfile profile(double step_floor_s) {
  EngineProfile profile;
  profile.name = profile.model = "bench";
  profile.kv_tokens = 1 << 20;
  profile.max_model_len = 65'536;
  profile.step_floor_s = step_floor_s;
  return profile;
}

double thread_cpu_seconds() {
  rusage usage{};
  getrusage(RUSAGE_THREAD, &usage);
  const auto seconds = [](const timeval& t) {
    return static_cast<double>(t.tv_sec) + static_cast<double>(t.tv_usec) * 1e-6;
  };
  return seconds(usage.ru_utime) + seconds(usage.ru_stime);
}

void read_prompt(benchmark::State& state) {
  std::string body = R"({"model":"bench","messages":[{"role":"user","content":")";
  while (body.size() < static_cast<std::size_t>(state.range(0))) body += "Some words and\\n";
  body += R"("}],"max_tokens":100,"stream":true})";
  CompletionRequestParser parser(std::size_t{1} << 24);
  CompletionRequest request;
  std::vector<std::uint64_t> hashes;
  for (auto _ : state) {
    benchmark::DoNotOptimize(parser.parse(Api::kChat, body, PromptUse::kTokens, request));
    hashes.clear();
    tokens::chain_block_hashes(request.tokens, 64, 1, hashes);
  }
  state.SetBytesProcessed(state.iterations() * static_cast<std::int64_t>(body.size()));
}
BENCHMARK(read_prompt)->Arg(1'000)->Arg(100'000)->Unit(benchmark::kMicrosecond);

void metrics_page(benchmark::State& state) {
  auto loop = std::move(*net::EventLoop::create());
  const Engine engine(*loop, {.profile = profile(0.01), .served_names = {"bench"}});
  std::string page;
  for (auto _ : state) {
    page.clear();
    engine.append_metrics(page);
    benchmark::DoNotOptimize(page.data());
  }
}
BENCHMARK(metrics_page)->Unit(benchmark::kMicrosecond);

// Streams on 8 engines at once until each has its 400 tokens; ideal time: half a second.
void emit_tokens(benchmark::State& state) {
  constexpr std::size_t kStreams = 40;
  constexpr std::uint64_t kTokens = 400;
  std::promise<std::pair<net::EventLoop*, std::vector<std::uint16_t>>> ready;
  std::thread engines([&] {
    auto loop = std::move(*net::EventLoop::create());
    FleetOptions options{.engines = 8, .profile = profile(0.0105)};
    options.speed = 8;
    options.stream_interval = static_cast<std::uint32_t>(state.range(0));
    const auto fleet = EngineFleet::create(*loop, options);
    ready.set_value({loop.get(), (*fleet)->ports()});
    loop->run();
  });
  const auto [server_loop, ports] = ready.get_future().get();
  const auto server_cpu = [&, loop = server_loop] {
    std::promise<double> cpu;
    static_cast<void>(loop->post([&] { cpu.set_value(thread_cpu_seconds()); }));
    return cpu.get_future().get();
  };
  auto loop = std::move(*net::EventLoop::create());
  LoopClient client(*loop);
  double cpu = 0;
  double elapsed = 0;
  for (auto _ : state) {
    const double before = server_cpu();
    const Time started = loop->now();
    std::vector<std::unique_ptr<PendingCall>> calls;
    for (std::size_t i = 0; i < kStreams; ++i) {
      calls.push_back(client.begin(ports[i % ports.size()], "POST", "/v1/completions",
                                   R"({"prompt":"x","max_tokens":400,"stream":true})"));
    }
    client.wait([&] { return std::ranges::all_of(calls, &PendingCall::done); });
    elapsed += to_seconds(loop->now() - started);
    cpu += server_cpu() - before;
  }
  const double tokens = static_cast<double>(state.iterations()) * kStreams * kTokens;
  state.counters["tokens_per_s"] = tokens / elapsed;
  state.counters["cpu_us_per_token"] = cpu / tokens * 1e6;
  state.counters["core_share_at_15k"] = cpu / tokens * 15'000;
  server_loop->stop();
  engines.join();
}
BENCHMARK(emit_tokens)->Arg(1)->Arg(8)->Iterations(4)->UseRealTime()->Unit(benchmark::kMillisecond);

void instant_answer(benchmark::State& state) {
  auto loop = std::move(*net::EventLoop::create());
  const auto fleet = EngineFleet::create(*loop, {.profile = profile(0)});
  LoopClient client(*loop);
  const std::string body = R"({"messages":[{"role":"user","content":"hello"}],"max_tokens":16)";
  const std::string request = body + (state.range(0) == 1 ? R"(,"stream":true})" : "}");
  for (auto _ : state) {
    const ClientReply reply =
        client.post((*fleet)->ports().front(), "/v1/chat/completions", request);
    if (reply.status != 200) state.SkipWithError("refused");
  }
}
BENCHMARK(instant_answer)->Arg(0)->Arg(1)->Unit(benchmark::kMicrosecond);

}  // namespace
}  // namespace fairlead::engine
