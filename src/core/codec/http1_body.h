// SPDX-License-Identifier: Apache-2.0
// Http1BodyReader: walks the raw bytes of a body, says where the message ends and which of the
// bytes are payload (RFC 9112 §7). It copies nothing: a relay forwards the raw bytes and a scanner
// reads the pieces; whoever needs the body whole appends the pieces to a buffer.
// Whatever the split of the input, the payload and the outcome are the same.
// Threads: thread-compatible. Sans I/O.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string_view>
#include <vector>

#include "core/codec/http1.h"

namespace fairlead::codec {

class Http1BodyReader {
 public:
  explicit Http1BodyReader(const Http1Limits& limits = {}) : limits_(limits) {}

  void reset(BodyFraming framing);

  struct Step {
    std::size_t consumed = 0;  // Raw bytes taken from the front of the input.
    std::string_view payload;  // The payload among them, in one piece; may be empty.
  };
  // Takes bytes up to the end of the next piece of payload. Call again with the rest until it is
  // empty or status() is not kNeedMore.
  Step step(std::string_view bytes);

  // Takes all it can, appends the pieces and returns the raw bytes taken. What lies beyond them
  // belongs to the next message, or follows an error.
  std::size_t walk(std::string_view bytes, std::vector<std::string_view>& pieces);

  // The sender closed its side: completes a body of kUntilClose. For others the body is truncated
  // while status() stays kNeedMore.
  void on_close();

  Http1Progress status() const { return status_; }
  Http1Error error() const { return error_; }
  std::uint64_t payload_bytes() const { return payload_bytes_; }

 private:
  enum class State : std::uint8_t {
    kData,
    kSizeFirst,
    kSize,
    kSizeSpace,  // Behind it only ';' or the line's end may follow.
    kExtension,
    kSizeLf,
    kChunkData,
    kDataCr,
    kDataLf,
    kTrailerLine,
    kTrailerLf,
    kDone,
  };
  Step take_data(std::string_view bytes, State after);
  void eat(char byte);
  void eat_size(char byte);
  void eat_trailer(char byte);
  void end_size_line();
  void end_trailer_line();
  void refuse(Http1Error error);

  Http1Limits limits_;
  BodyFraming framing_;
  State state_ = State::kDone;
  Http1Progress status_ = Http1Progress::kComplete;
  Http1Error error_ = Http1Error::kNone;
  std::uint64_t left_ = 0;  // Payload bytes until the end of the length or of the chunk.
  std::uint64_t payload_bytes_ = 0;
  std::size_t extension_bytes_ = 0;
  std::size_t trailer_bytes_ = 0;
  std::uint32_t size_digits_ = 0;  // Of the chunk size being read, leading zeros too.
  std::uint32_t line_bytes_ = 0;   // Of the trailer line being read.
  bool colon_seen_ = false;
};

}  // namespace fairlead::codec
