// SPDX-License-Identifier: Apache-2.0
// Result<T>: the return type of everything that can fail for a reason outside the program.
//
// An Error is a code a caller can branch on and a message a person can act on; with_context()
// prefixes where it happened while it travels up. Programmer errors are assertions
// (base/assert.h), and hot-path outcomes are enums in core/model, never strings.
// Threads: values. Library: tl::expected, because libstdc++ 12 lacks the monadic members.
#pragma once

#include <fmt/format.h>

#include <string>
#include <tl/expected.hpp>
#include <utility>

namespace fairlead {

enum class ErrorCode {
  kInvalidArgument,  // The caller's or user's input is wrong; the message names the place.
  kNotFound,
  kUnavailable,    // A peer or resource cannot be reached now.
  kLimitExceeded,  // A configured bound was hit.
  kExhausted,      // This process or machine is out of descriptors, ports or memory.
  kIo,             // The operating system refused; the message carries errno's text.
  kInternal,
};

struct Error {
  ErrorCode code = ErrorCode::kInternal;
  std::string message;
};

template <class T>
using Result = tl::expected<T, Error>;

template <class... Args>
[[nodiscard]] tl::unexpected<Error> fail(ErrorCode code, fmt::format_string<Args...> format,
                                         Args&&... args) {
  return tl::unexpected<Error>(Error{code, fmt::format(format, std::forward<Args>(args)...)});
}

[[nodiscard]] inline tl::unexpected<Error> with_context(Error error, std::string_view where) {
  error.message = fmt::format("{}: {}", where, error.message);
  return tl::unexpected<Error>(std::move(error));
}

}  // namespace fairlead
