// SPDX-License-Identifier: Apache-2.0
#include "core/codec/json_text.h"

#include <gtest/gtest.h>
#include <rapidcheck.h>
#include <simdjson.h>

#include <fstream>
#include <iterator>
#include <limits>
#include <string>

#include "core/codec/json_cursor.h"

namespace fairlead::codec {
namespace {

std::string as_json(std::string_view text) {
  std::string out;
  append_json_string(out, text);
  return out;
}

TEST(JsonText, EscapesWhatJsonForbidsAndNothingElse) {
  EXPECT_EQ(as_json("plain /caf\xc3\xa9"), "\"plain /caf\xc3\xa9\"");
  EXPECT_EQ(as_json("\"\\\n\r\t"), R"("\"\\\n\r\t")");
  EXPECT_EQ(as_json(std::string_view("\0\x1f\x7f", 3)), "\"\\u0000\\u001f\x7f\"");
  EXPECT_EQ(as_json("a\xff"
                    "b"),
            "\"a\xef\xbf\xbd"
            "b\"");
  EXPECT_EQ(as_json("\xed\xa0\x80"), "\"\xef\xbf\xbd\xef\xbf\xbd\xef\xbf\xbd\"");
  EXPECT_EQ(as_json("\xf0\x9f\x98"), "\"\xef\xbf\xbd\xef\xbf\xbd\xef\xbf\xbd\"");
}

TEST(JsonText, AnyBytesBecomeValidJsonAndValidTextReadsBack) {
  simdjson::dom::parser parser;
  EXPECT_TRUE(rc::check([&](const std::string& bytes) {
    const std::string json = as_json(bytes);
    std::string_view read;
    RC_ASSERT(parser.parse(json).get(read) == simdjson::SUCCESS);
    if (simdjson::validate_utf8(bytes)) RC_ASSERT(read == bytes);
    std::string decoded;
    RC_ASSERT(decode_json_string(std::string_view(json).substr(1, json.size() - 2), decoded));
    RC_ASSERT(decoded == read);
  }));
}

TEST(JsonText, DecodesEveryEscapeAndRefusesOthers) {
  std::string out;
  EXPECT_TRUE(decode_json_string(R"(\"\\\/\b\f\n\r\t\u00e9\uD83D\uDE00\ud83dx)", out));
  EXPECT_EQ(out, "\"\\/\b\f\n\r\t\xc3\xa9\xf0\x9f\x98\x80\xef\xbf\xbdx");
  for (const char* wrong : {R"(\x)", R"(\)", R"(\u12)", R"(\u12g4)", R"(a\u)"}) {
    EXPECT_FALSE(decode_json_string(wrong, out)) << wrong;
  }
}

TEST(JsonText, WriterPlacesCommas) {
  std::string out;
  JsonWriter writer(out);
  writer.begin_object().key("a").begin_array().number(std::uint64_t{1}).begin_object();
  writer.end_object().begin_array().end_array().number(std::int64_t{-2}).end_array();
  writer.key("b").number(0.5).key("c").number(std::numeric_limits<double>::quiet_NaN());
  writer.key("d").raw("true").key("e").string("").end_object();
  EXPECT_EQ(out, R"({"a":[1,{},[],-2],"b":0.5,"c":null,"d":true,"e":""})");
}

TEST(JsonText, ErrorBodyHasTheFourFields) {
  std::string out;
  append_error_body(out, {"The model `x` does not exist.", "NotFoundError", "model", {}, 404});
  EXPECT_EQ(out, R"({"error":{"message":"The model `x` does not exist.","type":"NotFoundError",)"
                 R"("param":"model","code":404}})");
  out.clear();
  append_error_body(out, {"busy", "overloaded", {}, "no_endpoint", 503});
  EXPECT_EQ(
      out, R"({"error":{"message":"busy","type":"overloaded","param":null,"code":"no_endpoint"}})");
}

TEST(ModelList, ReadsACapturedList) {
  std::ifstream file(std::string(FAIRLEAD_SOURCE_DIR) + "/src/core/codec/testdata/models.json");
  const std::string body{std::istreambuf_iterator<char>(file), {}};
  const auto models = parse_model_list(body);
  ASSERT_TRUE(models) << models.error().message;
  ASSERT_EQ(models->size(), 1U);
  EXPECT_EQ(models->front(), (ModelCard{"tiny", "", 4096, 1795423796, "vllm"}));
}

TEST(ModelList, ReadsAdaptersWithTheirBaseAndWritesThemBack) {
  const auto models = parse_model_list(
      R"({"data":[{"id":"base","max_model_len":8192},{"id":"sql\u002dlora","parent":"base",)"
      R"("max_model_len":null,"owned_by":"vllm"}],"object":"list"})");
  ASSERT_TRUE(models) << models.error().message;
  ASSERT_EQ(models->size(), 2U);
  EXPECT_EQ((*models)[1], (ModelCard{"sql-lora", "base", 0, 0, "vllm"}));
  std::string out;
  append_model_list(out, *models);
  const auto again = parse_model_list(out);
  ASSERT_TRUE(again) << again.error().message;
  EXPECT_EQ(*again, *models);
}

TEST(ModelList, RefusesWhatIsNoList) {
  for (const char* body : {"", "[]", "{}", R"({"data":{}})", R"({"data":[{}]})",
                           R"({"data":[{"id":""}]})", R"({"data":[{"id":5}]})", R"({"data":[)",
                           R"({"data":[]}x)", R"({"data":["a"]})", "<html>"}) {
    EXPECT_FALSE(parse_model_list(body)) << body;
  }
  EXPECT_TRUE(parse_model_list(R"({"data":[]})"));
  std::string many = R"({"data":[)";
  for (std::size_t i = 0; i <= kMaxModels; ++i) many += R"({"id":"m"},)";
  many.back() = ']';
  const auto refused = parse_model_list(many + "}");
  ASSERT_FALSE(refused);
  EXPECT_EQ(refused.error().code, ErrorCode::kLimitExceeded);
}

}  // namespace
}  // namespace fairlead::codec
