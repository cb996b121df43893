// SPDX-License-Identifier: Apache-2.0
// What the codec tests read from src/core/codec/testdata/.
#pragma once

#include <gtest/gtest.h>

#include <fstream>
#include <iterator>
#include <string>

namespace fairlead::codec {

inline std::string read_testdata(const std::string& name) {
  std::ifstream file(std::string(FAIRLEAD_SOURCE_DIR) + "/src/core/codec/testdata/" + name,
                     std::ios::binary);
  EXPECT_TRUE(file.is_open()) << name;
  return {std::istreambuf_iterator<char>(file), {}};
}

}  // namespace fairlead::codec
