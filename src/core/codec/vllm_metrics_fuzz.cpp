// SPDX-License-Identifier: Apache-2.0
// Any bytes as a scrape, in a heap block of their exact size. Oracles: every figure is finite and
// in its range, lines of no interest put between the others change nothing, and who knows a text's
// places reads the same from it again.
#include <cmath>
#include <cstdlib>
#include <memory>
#include <string>

#include "core/codec/vllm_metrics.h"

namespace {

void require(bool condition) {
  if (!condition) std::abort();
}

void require_figure(const std::optional<double>& figure) {
  require(!figure || (!std::isnan(*figure) && *figure >= 0));
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const unsigned char* data, std::size_t size) {
  const std::unique_ptr<char[]> exact(new char[size]);
  for (std::size_t i = 0; i < size; ++i) exact[i] = static_cast<char>(data[i]);
  const std::string_view text(exact.get(), size);
  const auto metrics = fairlead::codec::parse_engine_metrics(text);
  for (const auto& figure :
       {metrics.waiting, metrics.running, metrics.kv_usage, metrics.prefix_queries,
        metrics.prefix_hits, metrics.process_start_time}) {
    require_figure(figure);
  }
  require(!metrics.kv_usage || *metrics.kv_usage <= 1);
  require(!metrics.block_size || *metrics.block_size > 0);

  std::string padded;
  for (const char c : text) {
    padded += c;
    if (c == '\n') padded += "# HELP vllm:num_requests_waiting 1\n\nvllm:other 5\n";
  }
  const auto again = fairlead::codec::parse_engine_metrics(padded);
  require(again.waiting == metrics.waiting && again.kv_usage == metrics.kv_usage);
  require(again.num_gpu_blocks == metrics.num_gpu_blocks);
  require(again.lora.has_value() == metrics.lora.has_value());

  fairlead::codec::EngineMetricsReader reader;
  for (int i = 0; i < 3; ++i) {
    const auto read = reader.read(text);
    require(read.waiting == metrics.waiting && read.running == metrics.running);
    require(read.prefix_queries == metrics.prefix_queries && read.kv_usage == metrics.kv_usage);
    require(read.lora.has_value() == metrics.lora.has_value());
  }
  require(!reader.read(padded).kv_usage || *reader.read(padded).kv_usage <= 1);
  return 0;
}
