// SPDX-License-Identifier: Apache-2.0
// Multipart scanner: the parts of a multipart/form-data body, in place, and from them what routing
// needs of a form: the model, and whether the answer is to be streamed.
//
// Strict, because an engine that reads a form differently would serve another model than the one
// routed to: no preamble, no epilogue but one line end, CRLF only, every part a form field with one
// plainly written name (no escapes, no name*), a last boundary at the very end. Bounds: kPartsMax
// parts, heads of kPartHeadBytesMax.
// Errors: ScanStatus kInvalidForm, whose field says what is wrong. Threads: values.
// Source: RFC 2046 §5.1.1, RFC 7578.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string_view>

#include "core/codec/chat_scanner.h"

namespace fairlead::codec {

inline constexpr std::size_t kPartsMax = 64;
inline constexpr std::size_t kPartHeadBytesMax = 4096;

enum class PartKind : std::uint8_t { kField, kFile };

struct FormPart {
  std::string_view name;
  PartKind kind = PartKind::kField;  // kFile: it has a file name.
  std::string_view content;
};

class MultipartReader {
 public:
  // `content_type` is the request header's value.
  MultipartReader(std::string_view content_type, std::string_view body);

  // False behind the last part and on a fault.
  bool next(FormPart& part);
  // A literal; empty: none.
  std::string_view fault() const { return fault_; }
  std::size_t position() const { return at_; }

 private:
  bool fail(std::string_view fault);
  // Behind a boundary: another part, or the end of the body.
  bool next_begins();
  bool part_head(FormPart& part);
  bool part_header(std::string_view line, FormPart& part);
  bool part_content(FormPart& part);

  std::string_view body_;
  std::string_view boundary_;
  std::string_view fault_;
  std::size_t at_ = 0;
  std::size_t parts_ = 0;
  bool done_ = false;
};

// Fills `out`: model, stream, and the bytes of files as opaque_bytes, of other fields as
// text_bytes.
[[nodiscard]] ScanStatus scan_form(std::string_view content_type, std::string_view body,
                                   ScannedRequest& out);

}  // namespace fairlead::codec
