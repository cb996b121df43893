// SPDX-License-Identifier: Apache-2.0
// The cost of watching a streamed answer: one event a piece, as engines send them.
#include <benchmark/benchmark.h>

#include <cstdlib>
#include <string>

#include "core/codec/sse_scanner.h"

namespace {

using fairlead::codec::JsonResponseScanner;
using fairlead::codec::SseScanner;

std::string event(std::string_view extra) {
  return R"(data: {"id":"chatcmpl-94495a48c9993e2e","object":"chat.completion.chunk",)"
         R"("created":1795423747,"model":"tiny","choices":[{"index":0,"delta":)"
         R"({"content":" appropriate"},"logprobs":null,"finish_reason":null,)"
         R"("token_ids":null}])" +
         std::string(extra) + "}\n\n";
}

void watch(benchmark::State& state, std::string_view piece) {
  SseScanner scanner;
  std::uint64_t fed = 0;
  for (auto _ : state) {
    scanner.feed(piece);
    ++fed;
  }
  if (scanner.facts().data_events != fed || !scanner.facts().first_token) std::abort();
  state.SetBytesProcessed(state.iterations() * static_cast<std::int64_t>(piece.size()));
}

void watch_event(benchmark::State& state) { watch(state, event("")); }
BENCHMARK(watch_event);

void watch_event_with_usage(benchmark::State& state) {
  watch(state, event(R"(,"usage":{"prompt_tokens":2,"total_tokens":5,"completion_tokens":3})"));
}
BENCHMARK(watch_event_with_usage);

void watch_whole_answer(benchmark::State& state) {
  const std::string body = R"({"choices":[{"message":{"content":")" + std::string(4000, 'x') +
                           R"("}}],"usage":{"prompt_tokens":2,"completion_tokens":3}})";
  for (auto _ : state) {
    JsonResponseScanner scanner;
    scanner.feed(body);
    if (!scanner.facts().usage) std::abort();
  }
  state.SetBytesProcessed(state.iterations() * static_cast<std::int64_t>(body.size()));
}
BENCHMARK(watch_whole_answer);

}  // namespace
