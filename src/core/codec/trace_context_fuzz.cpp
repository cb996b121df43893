// SPDX-License-Identifier: Apache-2.0
// A trace context that is read is written back the same; what a collector answers is only read.
// The input's first line is traceparent, the second tracestate.
#include <algorithm>
#include <cstdint>
#include <string>
#include <string_view>

#include "base/assert.h"
#include "core/codec/otlp_json.h"
#include "core/codec/trace_context.h"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using namespace fairlead::codec;
  const std::string_view text(reinterpret_cast<const char*>(data), size);
  const std::size_t line = std::min(text.find('\n'), text.size());
  const std::string_view parent = text.substr(0, line);
  const std::string_view state = text.substr(std::min(line + 1, text.size()));
  const TraceContext context =
      read_trace_context(Http1Headers{{"traceparent", parent}, {"tracestate", state}});
  if (context.parent_header == TraceHeader::kValid) {
    std::string again;
    append_trace_parent(again, context.parent);
    FAIRLEAD_ASSERT(again.substr(2) == parent.substr(2, again.size() - 2));
    FAIRLEAD_ASSERT(context.state_header != TraceHeader::kValid ||
                    state.size() <= kTraceStateBytesMax);
  } else {
    FAIRLEAD_ASSERT(context.state_header == TraceHeader::kAbsent);
  }
  [[maybe_unused]] const std::uint64_t rejected = rejected_spans(text);
  return 0;
}
