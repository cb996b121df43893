// SPDX-License-Identifier: Apache-2.0
// What gRPC puts on top of HTTP/2: the five bytes before each message, statuses, grpc-message and
// grpc-timeout.
//
// Compressed messages are not read: this end never offers a compression, and a client must not use
// one that the server does not offer.
// Threads: values and free functions. Source: gRPC over HTTP2 (PROTOCOL-HTTP2.md of grpc/grpc).
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include "base/time.h"

namespace fairlead::codec {

inline constexpr std::size_t kGrpcPrefixBytes = 5;

// The canonical codes, by their numbers on the wire.
enum class GrpcStatus : std::uint8_t {
  kOk,
  kCancelled,
  kUnknown,
  kInvalidArgument,
  kDeadlineExceeded,
  kNotFound,
  kAlreadyExists,
  kPermissionDenied,
  kResourceExhausted,
  kFailedPrecondition,
  kAborted,
  kOutOfRange,
  kUnimplemented,
  kInternal,
  kUnavailable,
  kDataLoss,
  kUnauthenticated,
};
inline constexpr std::size_t kGrpcStatusCount = 17;
std::string_view to_string(GrpcStatus status);  // As in the specification: "DEADLINE_EXCEEDED".

// A message's length as its prefix says it; `size` up to 4 GiB.
std::array<char, kGrpcPrefixBytes> grpc_prefix(std::uint32_t size);

enum class GrpcFrameError : std::uint8_t {
  kNone,
  kCompressed,  // The flag is 1.
  kBadFlag,     // It is neither 0 nor 1.
  kTooLarge,    // More than the reader's bound.
};
inline constexpr std::size_t kGrpcFrameErrorCount = 4;
std::string_view to_string(GrpcFrameError error);  // snake_case, a metric label.

// Cuts a call's bytes into messages. Bytes go in as they come; what comes out is either part of a
// message, to be stored by the caller, or a whole one, which lies in the bytes given.
//
//   while (!bytes.empty()) {
//     const GrpcFrameReader::Step step = reader.next(bytes);  // Takes bytes off the front.
//     ...
//   }
class GrpcFrameReader {
 public:
  enum class Kind : std::uint8_t {
    kMore,   // All bytes are taken; nothing to store.
    kWhole,  // `bytes` is a message.
    kPart,   // `bytes` belong to a message that is not complete; never empty.
    kLast,   // `bytes` complete the message whose parts came before.
    kError,  // error() says what; nothing more can be read.
  };
  struct Step {
    Kind kind = Kind::kMore;
    std::string_view bytes;
  };

  explicit GrpcFrameReader(std::size_t message_bytes_max) : message_bytes_max_(message_bytes_max) {}

  Step next(std::string_view& bytes);
  // As new, for the next call.
  void reset(std::size_t message_bytes_max);
  // Between messages: an end of the stream cuts nothing.
  bool at_boundary() const { return prefix_size_ == 0 && !in_message_; }
  std::size_t message_size() const { return size_; }  // Of the message that is being read.
  GrpcFrameError error() const { return error_; }

 private:
  bool read_prefix(std::string_view& bytes);

  std::size_t message_bytes_max_;
  std::array<char, kGrpcPrefixBytes> prefix_{};
  std::size_t prefix_size_ = 0;
  bool in_message_ = false;
  std::size_t size_ = 0;
  std::size_t left_ = 0;
  GrpcFrameError error_ = GrpcFrameError::kNone;
};

// Appends grpc-message's value: all but printable ASCII, and '%', in percent-encoding.
void append_grpc_message(std::string& out, std::string_view message);

// grpc-timeout's value: at most 8 digits and a unit of H, M, S, m, u, n. What is longer than ten
// years is ten years. Nothing when it is malformed.
std::optional<Duration> parse_grpc_timeout(std::string_view value);

}  // namespace fairlead::codec
