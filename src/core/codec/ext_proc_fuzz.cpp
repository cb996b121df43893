// SPDX-License-Identifier: Apache-2.0
// Any bytes as a ProcessingRequest, in a heap block of their exact size, so that the address
// sanitizer sees a read outside. Oracles: every view lies inside the message; what our writer makes
// of the decoded values decodes to the same values.
#include <cstdlib>
#include <memory>
#include <string>
#include <vector>

#include "core/codec/ext_proc.h"

namespace {

using namespace fairlead::codec;

constexpr std::size_t kSubsetMax = 8;

void require(bool condition) {
  if (!condition) std::abort();
}

struct Headers {
  std::vector<Http1Header> list;
  bool ok = false;
};

Headers read(std::string_view map) {
  Headers headers;
  HeaderMapReader reader(map);
  Http1Header header;
  while (reader.next(header)) headers.list.push_back(header);
  headers.ok = reader.ok();
  return headers;
}

void write_phase(WireWriter& writer, const ProcessingRequest& request, const Headers& headers) {
  if (request.phase == ProcessingPhase::kNone) return;
  const bool is_body = request.phase == ProcessingPhase::kRequestBody ||
                       request.phase == ProcessingPhase::kResponseBody;
  const std::size_t phase = writer.begin(static_cast<std::uint32_t>(request.phase) + 1);
  if (is_body) {
    writer.bytes(1, request.body);
  } else {
    const std::size_t map = writer.begin(1);
    for (const Http1Header& header : headers.list) {
      const std::size_t one = writer.begin(1);
      writer.bytes(1, header.name);
      writer.bytes(3, header.value);
      writer.end(one);
    }
    writer.end(map);
  }
  writer.varint(is_body ? 2 : 3, request.end_of_stream ? 1 : 0);
  writer.end(phase);
}

std::string encode(const ProcessingRequest& request, const Headers& headers) {
  std::string out;
  WireWriter writer(out);
  write_phase(writer, request, headers);
  if (!request.metadata.empty()) writer.bytes(8, request.metadata);
  writer.varint(10, request.observability_mode ? 1 : 0);
  if (request.protocol) {
    const std::size_t protocol = writer.begin(11);
    writer.varint(1, static_cast<std::uint64_t>(request.protocol->request_body));
    writer.varint(2, static_cast<std::uint64_t>(request.protocol->response_body));
    writer.end(protocol);
  }
  return out;
}

void check(std::string_view message) {
  ProcessingRequest request;
  if (!decode_processing_request(message, request)) return;
  const auto inside = [&](std::string_view view) {
    return view.empty() || (view.data() >= message.data() &&
                            view.data() + view.size() <= message.data() + message.size());
  };
  require(inside(request.headers) && inside(request.body) && inside(request.metadata));
  const Headers headers = read(request.headers);
  for (const Http1Header& header : headers.list)
    require(inside(header.name) && inside(header.value));
  std::vector<std::string_view> subset;
  const bool has_subset = read_subset_hint(request.metadata, kSubsetMax, subset);
  for (const std::string_view item : subset) require(inside(item));
  const std::string_view served = served_endpoint(request.metadata);
  require(inside(served));
  if (!headers.ok) return;

  const std::string copy = encode(request, headers);
  ProcessingRequest again;
  require(decode_processing_request(copy, again));
  require(again.phase == request.phase && again.end_of_stream == request.end_of_stream);
  require(again.body == request.body && again.observability_mode == request.observability_mode);
  require(again.protocol == request.protocol);
  const Headers headers_again = read(again.headers);
  require(headers_again.ok && headers_again.list.size() == headers.list.size());
  for (std::size_t i = 0; i < headers.list.size(); ++i) {
    require(headers.list[i].name == headers_again.list[i].name);
    require(headers.list[i].value == headers_again.list[i].value);
  }
  std::vector<std::string_view> subset_again;
  require(read_subset_hint(again.metadata, kSubsetMax, subset_again) == has_subset &&
          subset == subset_again);
  require(served_endpoint(again.metadata) == served);
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const unsigned char* data, std::size_t size) {
  const std::unique_ptr<char[]> exact(new char[size]);
  for (std::size_t i = 0; i < size; ++i) exact[i] = static_cast<char>(data[i]);
  check({exact.get(), size});
  return 0;
}
