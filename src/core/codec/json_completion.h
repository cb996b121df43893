// SPDX-License-Identifier: Apache-2.0
// JSON completion: makes a text that was cut off somewhere whole again, for a scanner that wants
// what is there. Strings that are values are closed where they were cut; a name, number or literal
// that may not be whole is dropped, with the name of its field; open objects and arrays are closed.
//
// What stands before the cut is not checked: a text that was no JSON is none afterwards.
// Errors: false when it is nested deeper than kMaxDepth.
// Threads: pure function. Allocates only to grow `out`.
#pragma once

#include <cstddef>
#include <string>
#include <string_view>

namespace fairlead::codec {

inline constexpr std::size_t kCompletionDepthMax = 128;

// Replaces `out`. Up to where it was cut, offsets into `cut` are offsets into `out`.
[[nodiscard]] bool complete_json(std::string_view cut, std::string& out);

}  // namespace fairlead::codec
