// SPDX-License-Identifier: Apache-2.0
#include "core/codec/json_completion.h"

#include <gtest/gtest.h>

#include <nlohmann/json.hpp>
#include <string>

#include "core/codec/chat_scanner.h"

namespace fairlead::codec {
namespace {

TEST(JsonCompletion, EveryCutOfATextIsMadeWhole) {
  const std::string text =
      "{\"model\":\"m\\u00e9 "
      "\\\"x\\\\\",\"n\":-1.5e3,\"a\":[1,[],{\"k\":[true,null]},\"\xc3\xa9\xf0\x9f\x98\x80\"],"
      "\"messages\":[{\"role\":\"user\",\"content\":[{\"type\":\"text\",\"text\":\"hi, "
      "{there}\"}]}] ,"
      " \"z\" : false }";
  std::string out;
  for (std::size_t size = 1; size <= text.size(); ++size) {
    const std::string_view cut = std::string_view(text).substr(0, size);
    ASSERT_TRUE(complete_json(cut, out));
    EXPECT_TRUE(nlohmann::json::accept(out)) << size << ": " << out;
    // Offsets into what is kept stay.
    const std::size_t same = static_cast<std::size_t>(
        std::mismatch(cut.begin(), cut.end(), out.begin(), out.end()).first - cut.begin());
    EXPECT_GE(same + 24, size) << out;
  }
  EXPECT_EQ(out, text.substr(0, out.size()));
}

TEST(JsonCompletion, KeepsTheTextOfAStringThatWasCut) {
  std::string out;
  ASSERT_TRUE(complete_json(R"({"messages":[{"role":"user","content":"abc\)", out));
  EXPECT_EQ(out, R"({"messages":[{"role":"user","content":"abc"}]})");
  ASSERT_TRUE(complete_json(R"({"a":1,"b)", out));
  EXPECT_EQ(out, R"({"a":1})");
  ASSERT_TRUE(complete_json(R"({"a":1,"b":12)", out));
  EXPECT_EQ(out, R"({"a":1})");
}

TEST(JsonCompletion, RefusesWhatIsNestedTooDeep) {
  std::string out;
  EXPECT_FALSE(complete_json(std::string(kCompletionDepthMax + 1, '['), out));
}

}  // namespace
}  // namespace fairlead::codec
