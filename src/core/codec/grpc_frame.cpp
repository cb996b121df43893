// SPDX-License-Identifier: Apache-2.0
#include "core/codec/grpc_frame.h"

#include <algorithm>

#include "base/assert.h"

namespace fairlead::codec {
namespace {

constexpr std::size_t kTimeoutDigitsMax = 8;
// Nanoseconds of more do not fit into 64 bits much longer.
constexpr std::chrono::hours kTimeoutMax{24 * 365 * 10};

template <class Unit>
Duration capped(std::int64_t count) {
  const Unit given{count};
  return given > kTimeoutMax ? Duration(kTimeoutMax) : std::chrono::duration_cast<Duration>(given);
}

bool is_plain(char c) { return c >= ' ' && c <= '~' && c != '%'; }

}  // namespace

std::string_view to_string(GrpcStatus status) {
  static constexpr std::array<std::string_view, kGrpcStatusCount> kNames = {
      "OK",
      "CANCELLED",
      "UNKNOWN",
      "INVALID_ARGUMENT",
      "DEADLINE_EXCEEDED",
      "NOT_FOUND",
      "ALREADY_EXISTS",
      "PERMISSION_DENIED",
      "RESOURCE_EXHAUSTED",
      "FAILED_PRECONDITION",
      "ABORTED",
      "OUT_OF_RANGE",
      "UNIMPLEMENTED",
      "INTERNAL",
      "UNAVAILABLE",
      "DATA_LOSS",
      "UNAUTHENTICATED",
  };
  return kNames[static_cast<std::size_t>(status)];
}

std::string_view to_string(GrpcFrameError error) {
  switch (error) {
    case GrpcFrameError::kNone:
      return "none";
    case GrpcFrameError::kCompressed:
      return "compressed";
    case GrpcFrameError::kBadFlag:
      return "bad_flag";
    case GrpcFrameError::kTooLarge:
      return "too_large";
  }
  return "unknown";
}

std::array<char, kGrpcPrefixBytes> grpc_prefix(std::uint32_t size) {
  return {0, static_cast<char>(size >> 24), static_cast<char>(size >> 16),
          static_cast<char>(size >> 8), static_cast<char>(size)};
}

void GrpcFrameReader::reset(std::size_t message_bytes_max) {
  *this = GrpcFrameReader(message_bytes_max);
}

// Takes the prefix's bytes; true once it is whole and a message may begin.
bool GrpcFrameReader::read_prefix(std::string_view& bytes) {
  const std::size_t count = std::min(kGrpcPrefixBytes - prefix_size_, bytes.size());
  std::copy_n(bytes.begin(), count, prefix_.begin() + static_cast<std::ptrdiff_t>(prefix_size_));
  bytes.remove_prefix(count);
  prefix_size_ += count;
  if (prefix_size_ < kGrpcPrefixBytes) return false;
  const auto at = [this](std::size_t i) {
    return std::size_t{static_cast<unsigned char>(prefix_[i])};
  };
  size_ = at(1) << 24 | at(2) << 16 | at(3) << 8 | at(4);
  if (at(0) != 0) {
    error_ = at(0) == 1 ? GrpcFrameError::kCompressed : GrpcFrameError::kBadFlag;
  } else if (size_ > message_bytes_max_) {
    error_ = GrpcFrameError::kTooLarge;
  }
  if (error_ != GrpcFrameError::kNone) return false;
  prefix_size_ = 0;
  left_ = size_;
  in_message_ = true;
  return true;
}

GrpcFrameReader::Step GrpcFrameReader::next(std::string_view& bytes) {
  if (error_ != GrpcFrameError::kNone) return {Kind::kError, {}};
  if (!in_message_ && !read_prefix(bytes)) {
    return {error_ == GrpcFrameError::kNone ? Kind::kMore : Kind::kError, {}};
  }
  const std::size_t count = std::min(left_, bytes.size());
  if (count == 0 && left_ > 0) return {};
  const std::string_view taken = bytes.substr(0, count);
  bytes.remove_prefix(count);
  const bool first = left_ == size_;
  left_ -= count;
  if (left_ > 0) return {Kind::kPart, taken};
  in_message_ = false;
  return {first ? Kind::kWhole : Kind::kLast, taken};
}

void append_grpc_message(std::string& out, std::string_view message) {
  static constexpr std::string_view kDigits = "0123456789ABCDEF";
  for (const char c : message) {
    if (is_plain(c)) {
      out += c;
      continue;
    }
    const auto byte = static_cast<unsigned char>(c);
    out += '%';
    out += kDigits[byte >> 4];
    out += kDigits[byte & 0xF];
  }
}

std::optional<Duration> parse_grpc_timeout(std::string_view value) {
  if (value.size() < 2 || value.size() > kTimeoutDigitsMax + 1) return std::nullopt;
  std::int64_t count = 0;
  for (const char c : value.substr(0, value.size() - 1)) {
    if (c < '0' || c > '9') return std::nullopt;
    count = count * 10 + (c - '0');
  }
  switch (value.back()) {
    case 'H':
      return capped<std::chrono::hours>(count);
    case 'M':
      return capped<std::chrono::minutes>(count);
    case 'S':
      return capped<std::chrono::seconds>(count);
    case 'm':
      return capped<std::chrono::milliseconds>(count);
    case 'u':
      return capped<std::chrono::microseconds>(count);
    case 'n':
      return Duration(count);
    default:
      return std::nullopt;
  }
}

}  // namespace fairlead::codec
