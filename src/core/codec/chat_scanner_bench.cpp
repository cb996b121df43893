// SPDX-License-Identifier: Apache-2.0
// One scan of a chat body, by size and shape, with and without the block keys over its spans.
// count of spans and keys is checked, so that a scan that stops early cannot look fast.
#include <benchmark/benchmark.h>

#include <cstdlib>
#include <string>

#include "core/codec/chat_scanner.h"

namespace {

using fairlead::codec::ChatScanner;
using fairlead::codec::RequestKind;
using fairlead::codec::ScannedRequest;

// A body of about `size` bytes in messages of `message_bytes`, with an escape each 64 bytes unless
// `escapes` is 0.
std::string make_body(std::size_t size, std::size_t message_bytes, int escapes) {
  std::string body = R"({"model":"llama","stream":true,"messages":[)";
  bool first = true;
  while (body.size() < size) {
    body += first ? R"({"role":"system","content":")" : R"(,{"role":"user","content":")";
    first = false;
    for (std::size_t i = 0; i < message_bytes && body.size() + 4 < size; ++i) {
      if (escapes != 0 && i % 64 == 0) {
        body += "\\n";
      } else {
        body += static_cast<char>('a' + (i * 7 + i / 64) % 26);
      }
    }
    body += "\"}";
  }
  return body + "]}";
}

void scan(benchmark::State& state) {
  const auto size = static_cast<std::size_t>(state.range(0));
  const auto message_bytes =
      state.range(1) == 0 ? size / 2 : static_cast<std::size_t>(state.range(1));
  const std::string body = make_body(size, message_bytes, static_cast<int>(state.range(2)));
  ChatScanner scanner(1 << 24);
  ScannedRequest request;
  for (auto _ : state) {
    if (!scanner.scan(RequestKind::kChatCompletions, body, request).ok()) std::abort();
    benchmark::DoNotOptimize(request);
  }
  if (request.text_bytes + request.spans.size() * 64 + 128 < size) std::abort();
  state.counters["spans"] = static_cast<double>(request.spans.size());
  state.SetBytesProcessed(state.iterations() * static_cast<std::int64_t>(body.size()));
}
BENCHMARK(scan)
    ->ArgNames({"bytes", "message", "escapes"})
    ->Args({800, 0, 0})
    ->Args({8'000, 0, 0})
    ->Args({8'000, 2'000, 0})
    ->Args({220'000, 0, 0})
    ->Args({220'000, 0, 1})
    ->Args({220'000, 2'000, 0})
    ->Args({500'000, 0, 0})
    ->Args({500'000, 0, 1})
    ->Args({500'000, 2'000, 0});

void scan_token_prompt(benchmark::State& state) {
  std::string body = R"({"model":"llama","prompt":[100000)";
  for (int i = 1; i < state.range(0); ++i) body += "," + std::to_string(100'000 + i);
  body += "]}";
  ChatScanner scanner(1 << 24);
  ScannedRequest request;
  for (auto _ : state) {
    if (!scanner.scan(RequestKind::kCompletions, body, request).ok()) std::abort();
    benchmark::DoNotOptimize(request);
  }
  if (request.prompt_tokens != static_cast<std::uint64_t>(state.range(0))) std::abort();
  state.SetBytesProcessed(state.iterations() * static_cast<std::int64_t>(body.size()));
}
BENCHMARK(scan_token_prompt)->Arg(10'000)->Arg(70'000);

}  // namespace
