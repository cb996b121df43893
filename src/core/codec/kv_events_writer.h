// SPDX-License-Identifier: Apache-2.0
// The other side of kv_events.h: batches of KV-cache events as vLLM publishes them, in the encoding
// of 0.24 and later (maps) or of before (arrays). For simulated engines, tests and benchmarks.
//
// Errors: none; what KvEvent leaves open is written as vLLM writes it. Threads: one owner. Memory
// is kept between batches. Source: vllm/distributed/kv_events.py.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>

#include "core/codec/kv_events.h"

namespace fairlead::codec {

enum class KvEncoding : std::uint8_t { kMaps, kArrays };

class KvEventsWriter {
 public:
  explicit KvEventsWriter(KvEncoding encoding) : encoding_(encoding) {}

  // Adds an event to the batch. Blocks without extra keys get one nil each.
  void add(const KvEvent& event);
  std::size_t events() const { return events_; }

  // Appends the batch to `out` and begins the next one.
  void finish(double timestamp, std::optional<std::uint32_t> rank, std::string& out);

 private:
  void add_stored(const KvEvent& event);
  void add_removed(const KvEvent& event);
  void add_hashes(const KvEvent& event);
  void key(std::string_view name);
  void text_or_nil(std::string_view text);

  KvEncoding encoding_;
  std::size_t events_ = 0;
  std::string body_;
};

}  // namespace fairlead::codec
