// SPDX-License-Identifier: Apache-2.0
// The files of web/, built into the program by cmake/embed.cmake. Immutable.
#pragma once

#include <span>
#include <string_view>

namespace fairlead::admin {

struct WebFile {
  std::string_view name;  // "index.html"
  std::string_view bytes;
};

std::span<const WebFile> web_files();

}  // namespace fairlead::admin
