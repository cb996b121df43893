// SPDX-License-Identifier: Apache-2.0
// A request body's Content-Encoding: what it is, and gzip undone within bounds.
//
//   decoder.begin(body, bounds, out);             // A large body in slices, so that a loop turns
//   do status = decoder.step(slice);              // meanwhile; step(kWholeBody) does all of it.
//   while (status == GzipStatus::kMore);
//
// Bounds: the decoded size, and its ratio to the encoded one, so that a small body cannot claim
// much memory and time. Several gzip members in a row are one body (RFC 1952 §2.2); bytes behind
// the last are an error. Checksums and lengths are verified. On an error `out` is unspecified.
// Threads: a decoder belongs to one thread; it keeps zlib's 40 KiB for the next body.
// Source: RFC 9110 §8.4, RFC 1952; zlib's inflate.
#pragma once

#include <cstddef>
#include <cstdint>
#include <limits>
#include <memory>
#include <span>
#include <string>
#include <string_view>

#include "core/codec/http1.h"

namespace fairlead::codec {

enum class BodyCoding : std::uint8_t { kIdentity, kGzip, kOther };

// kOther: anything but gzip, x-gzip and identity, and more than one coding.
BodyCoding body_coding(std::span<const Http1Header> headers);

enum class GzipStatus : std::uint8_t {
  kOk,
  kMore,  // The slice is full, and the body goes on.
  kMalformed,
  kTooLarge,  // Beyond one of the bounds.
  kNoMemory,
};

struct GzipBounds {
  std::size_t bytes = 0;         // Of the decoded body.
  std::size_t ratio = 40;        // Decoded bytes an encoded one. Text reaches 20; a bomb 1000.
  std::size_t small = 64 << 10;  // Up to here any ratio is allowed.
};

inline constexpr std::size_t kWholeBody = std::numeric_limits<std::size_t>::max();

class GzipDecoder {
 public:
  GzipDecoder();
  ~GzipDecoder();
  GzipDecoder(const GzipDecoder&) = delete;
  GzipDecoder& operator=(const GzipDecoder&) = delete;

  // Replaces `out`, whose capacity never exceeds the bound by more than what it began with. Both
  // live until the last step.
  // kMore, or kNoMemory.
  [[nodiscard]] GzipStatus begin(std::string_view body, const GzipBounds& bounds, std::string& out);
  // Goes on, for at most so many bytes of the body on either side. Not after anything but kMore.
  [[nodiscard]] GzipStatus step(std::size_t bytes_max);

 private:
  struct State;
  std::unique_ptr<State> state_;
};

}  // namespace fairlead::codec
