// SPDX-License-Identifier: Apache-2.0
// HTTP/1.1 heads and chunks as bytes, appended to a string whose memory the caller reuses.
//
//   append_status_line(out, 200);
//   append_header(out, "content-type", "application/json");
//   append_length(out, body.size());
//   append_head_end(out);
//
// A control byte in a value becomes a space, so that no value can end its line. Threads: values.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

#include "core/codec/http1.h"

namespace fairlead::codec {

// "Not Found" for 404; "Unknown" for codes without a registered phrase.
std::string_view reason_phrase(int status);

// "METHOD target HTTP/1.1" CRLF.
void append_request_line(std::string& out, std::string_view method, std::string_view target);
// "HTTP/1.1 200 OK" CRLF. `status` is 100 to 999.
void append_status_line(std::string& out, int status);
void append_header(std::string& out, std::string_view name, std::string_view value);
void append_length(std::string& out, std::uint64_t bytes);
// Content-Length, Transfer-Encoding, or nothing, as the framing asks.
void append_framing(std::string& out, BodyFraming framing);
void append_head_end(std::string& out);

// The line before a chunk of this many bytes (more than 0); kChunkEnd follows the bytes.
void append_chunk_size(std::string& out, std::uint64_t bytes);
inline constexpr std::string_view kChunkEnd = "\r\n";
inline constexpr std::string_view kLastChunk = "0\r\n\r\n";
inline constexpr std::string_view kContinue = "HTTP/1.1 100 Continue\r\n\r\n";

}  // namespace fairlead::codec
