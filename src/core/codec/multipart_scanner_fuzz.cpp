// SPDX-License-Identifier: Apache-2.0
// Any bytes as a form; the first line is the content type. Oracles: reads stay inside the body (for
// the address sanitizer, in a block of its exact size), parts lie in order inside it, and a body
// that is accepted is not accepted with its last byte cut off, unless that was a line end.
#include <cstdlib>
#include <memory>
#include <string_view>

#include "core/codec/multipart_scanner.h"

namespace {

using fairlead::codec::FormPart;
using fairlead::codec::MultipartReader;
using fairlead::codec::scan_form;
using fairlead::codec::ScannedRequest;

void require(bool condition) {
  if (!condition) std::abort();
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const unsigned char* data, std::size_t size) {
  const std::string_view input(reinterpret_cast<const char*>(data), size);
  const std::size_t line = input.find('\n');
  if (line == std::string_view::npos) return 0;
  const std::string_view type = input.substr(0, line);
  const std::string_view rest = input.substr(line + 1);
  const std::unique_ptr<char[]> exact(new char[rest.size()]);
  rest.copy(exact.get(), rest.size());
  const std::string_view body(exact.get(), rest.size());
  MultipartReader reader(type, body);
  FormPart part;
  const char* from = body.data();
  while (reader.next(part)) {
    require(part.content.data() >= from);
    from = part.content.data() + part.content.size();
    require(from <= body.data() + body.size() && reader.position() <= body.size());
  }
  ScannedRequest request;
  const auto status = scan_form(type, body, request);
  require(status.ok() == status.message().empty());
  if (!status.ok()) return 0;
  require(reader.fault().empty() && !request.model.empty());
  ScannedRequest cut;
  if (!body.ends_with("\r\n")) require(!scan_form(type, body.substr(0, body.size() - 1), cut).ok());
  return 0;
}
