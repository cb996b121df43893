// SPDX-License-Identifier: Apache-2.0
#include "core/scheduling/usage_expression.h"

#include <gtest/gtest.h>

#include <limits>
#include <string>

#include "base/random.h"

namespace fairlead::scheduling {
namespace {

using Kind = UsageExpression::Kind;

const Usage kUsage{100, 40, 140, 64};

std::string value_of(std::string_view text, const Usage& usage = kUsage) {
  const auto parsed = UsageExpression::parse(text, Kind::kNumber);
  if (!parsed) return parsed.error().message;
  const auto value = parsed->whole(usage);
  return value ? std::to_string(*value) : "error";
}

std::string truth_of(std::string_view text, const Usage& usage = kUsage) {
  const auto parsed = UsageExpression::parse(text, Kind::kTruth);
  if (!parsed) return parsed.error().message;
  const Truth truth = parsed->truth(usage);
  return truth == Truth::kTrue ? "true" : truth == Truth::kFalse ? "false" : "error";
}

TEST(UsageExpression, OperatorsBindAsInCel) {
  EXPECT_EQ(value_of("1 + 2 * 3"), "7");
  EXPECT_EQ(value_of("(1 + 2) * 3"), "9");
  EXPECT_EQ(value_of("10 - 3 - 2"), "5");
  EXPECT_EQ(value_of("100 / 10 / 2"), "5");
  EXPECT_EQ(value_of("-2 * -3"), "6");
  EXPECT_EQ(value_of("--5"), "5");
  EXPECT_EQ(value_of("7 - -2"), "9");
  EXPECT_EQ(value_of("1 < 2 ? 3 : 4"), "3");
  EXPECT_EQ(value_of("false ? 1 : true ? 2 : 3"), "2");
  EXPECT_EQ(truth_of("true || false && false"), "true") << "&& binds closer";
  EXPECT_EQ(truth_of("!true || true"), "true") << "! binds closest";
  EXPECT_EQ(truth_of("!!false"), "false");
  EXPECT_EQ(truth_of("1 + 1 == 2"), "true");
  EXPECT_EQ(truth_of("1 < 2 == true"), "true") << "relations are read from the left";
  EXPECT_EQ(truth_of("3 >= 4 != (2 <= 2)"), "true");
  EXPECT_EQ(truth_of("2 > 1"), "true");
  EXPECT_EQ(value_of(" \t1\n+\r2 "), "3");
}

TEST(UsageExpression, WholeNumbersAreCutAndDecimalsAreNot) {
  EXPECT_EQ(value_of("7 / 2"), "3");
  EXPECT_EQ(value_of("-7 / 2"), "-3") << "towards zero";
  EXPECT_EQ(value_of("-7 % 2"), "-1");
  EXPECT_EQ(value_of("7 / 2 * 2"), "6");
  EXPECT_EQ(value_of("7 / 2.0 * 2"), "7");
  EXPECT_EQ(value_of("-1.9"), "-1") << "the result is cut";
  EXPECT_EQ(value_of("1.5e2 + .5"), "150");
  EXPECT_EQ(value_of("int(2.9) + int(3)"), "5");
  EXPECT_EQ(value_of("double(7) / 2 * 2"), "7");
  EXPECT_EQ(value_of("true ? 1 : 0.5"), "1") << "one side is decimal, so both are";
  EXPECT_EQ(truth_of("1 == 1.0"), "true");
  EXPECT_EQ(truth_of("0.1 + 0.2 < 0.3"), "false") << "as in IEEE 754";
  EXPECT_EQ(value_of("9223372036854775807"), "9223372036854775807");
  EXPECT_EQ(value_of("double(9223372036854775807)"), "error") << "2^63 is not in 64 bits";
}

TEST(UsageExpression, FieldsOfUsage) {
  EXPECT_EQ(value_of("usage.prompt_tokens"), "100");
  EXPECT_EQ(value_of("usage . completion_tokens"), "40");
  EXPECT_EQ(value_of("usage.total_tokens"), "140");
  EXPECT_EQ(value_of("usage.prompt_tokens_details.cached_tokens"), "64");
  EXPECT_EQ(value_of("usage.total_tokens", {3, 4, {}, {}}), "7");
  EXPECT_EQ(value_of("usage.total_tokens", {3, {}, {}, {}}), "error");
  constexpr std::uint64_t kMost = std::numeric_limits<std::uint64_t>::max();
  EXPECT_EQ(value_of("usage.prompt_tokens", {kMost, {}, {}, {}}), "error");
  EXPECT_EQ(value_of("usage.total_tokens", {kMost, 1, {}, {}}), "error");
  EXPECT_EQ(truth_of("has(usage.prompt_tokens)"), "true");
  EXPECT_EQ(truth_of("has( usage.prompt_tokens_details )"), "true");
  EXPECT_EQ(truth_of("has(usage.prompt_tokens_details.cached_tokens)", {1, 1, 1, {}}), "false");
  EXPECT_EQ(truth_of("has(usage.total_tokens)", {}), "false");
}

TEST(UsageExpression, ErrorsSpreadUnlessTheOtherSideDecides) {
  const Usage none;
  EXPECT_EQ(value_of("usage.prompt_tokens + 1", none), "error");
  EXPECT_EQ(value_of("1 / 0"), "error");
  EXPECT_EQ(value_of("1 % 0"), "error");
  EXPECT_EQ(value_of("1.0 / 0"), "error") << "infinity is no whole number";
  EXPECT_EQ(value_of("0.0 / 0"), "error");
  EXPECT_EQ(value_of("9223372036854775807 + 1"), "error");
  EXPECT_EQ(value_of("-9223372036854775807 - 2"), "error");
  EXPECT_EQ(value_of("9223372036854775807 * 2"), "error");
  EXPECT_EQ(value_of("(-9223372036854775807 - 1) / -1"), "error");
  EXPECT_EQ(value_of("(-9223372036854775807 - 1) % -1"), "error");
  EXPECT_EQ(value_of("-(-9223372036854775807 - 1)"), "error");
  EXPECT_EQ(value_of("true ? 1 : 1 / 0"), "1") << "one side only is computed";
  EXPECT_EQ(value_of("1 / 0 == 1 ? 1 : 2"), "error");
  EXPECT_EQ(truth_of("usage.prompt_tokens > 1 && false", none), "false");
  EXPECT_EQ(truth_of("false && usage.prompt_tokens > 1", none), "false");
  EXPECT_EQ(truth_of("usage.prompt_tokens > 1 || true", none), "true");
  EXPECT_EQ(truth_of("usage.prompt_tokens > 1 && true", none), "error");
  EXPECT_EQ(truth_of("false || usage.prompt_tokens > 1", none), "error");
  EXPECT_EQ(truth_of("!(usage.prompt_tokens > 1)", none), "error");
}

TEST(UsageExpression, WhatIsWrongIsNamedWithItsColumn) {
  EXPECT_EQ(value_of(""), "column 1: the expression ends too early");
  EXPECT_EQ(value_of("1 +"), "column 4: the expression ends too early");
  EXPECT_EQ(value_of("1 2"), "column 3: expected an operator");
  EXPECT_EQ(value_of("(1"), "column 3: expected ')'");
  EXPECT_EQ(value_of("1 ? 2 : 3"), "column 3: what stands before '?' must be true or false");
  EXPECT_EQ(value_of("true ? 2"), "column 9: expected ':'");
  EXPECT_EQ(value_of("true ? 2 : false"),
            "column 6: both sides of ':' must be numbers, or both true or false");
  EXPECT_EQ(value_of("1 + true"), "column 3: both sides of '+' must be numbers");
  EXPECT_EQ(value_of("1.5 % 2"), "column 5: both sides of '%' must be whole numbers");
  EXPECT_EQ(value_of("1 == true"), "column 3: a number is compared with true or false");
  EXPECT_EQ(truth_of("true < false"), "column 6: true and false have no order");
  EXPECT_EQ(truth_of("true && 1"), "column 6: both sides of '&&' and '||' must be true or false");
  EXPECT_EQ(value_of("-true"), "column 1: '-' needs a number");
  EXPECT_EQ(truth_of("!1"), "column 1: '!' needs true or false");
  EXPECT_EQ(value_of("true"), "column 1: must come to a number");
  EXPECT_EQ(truth_of("1"), "column 1: must come to true or false");
  EXPECT_EQ(value_of("int(true)"), "column 1: int() and double() need a number");
  EXPECT_EQ(value_of("9223372036854775808"), "column 1: a number out of range");
  EXPECT_EQ(value_of("1."), "column 3: expected a digit behind the point");
  EXPECT_EQ(value_of("1e+"), "column 4: expected a digit of the exponent");
}

TEST(UsageExpression, TheRestOfCelIsRefusedByName) {
  EXPECT_EQ(value_of("size([1])"), "column 1: \"size\" is not supported here");
  EXPECT_EQ(value_of("model"), "column 1: \"model\" is not supported here");
  EXPECT_EQ(value_of("1 in [1]"), "column 3: \"in\" is not supported here");
  EXPECT_EQ(value_of("'a'"), "column 1: text is not supported here");
  EXPECT_EQ(value_of("[1]"), "column 1: lists and indexing are not supported here");
  EXPECT_EQ(value_of("{1: 2}"), "column 1: maps are not supported here");
  EXPECT_EQ(value_of("usage.prompt_tokens.abs()"), "column 20: this has no fields or methods");
  EXPECT_EQ(value_of("usage['prompt_tokens']"),
            "column 1: usage alone is no value; name a field of it");
  EXPECT_EQ(
      value_of("5u"),
      "column 2: unsigned, hexadecimal and other numbers with letters are not supported here");
  EXPECT_EQ(value_of("usage.reasoning_tokens"),
            "column 7: usage has prompt_tokens, completion_tokens, total_tokens and "
            "prompt_tokens_details.cached_tokens");
  EXPECT_EQ(value_of("usage.prompt_tokens_details.audio_tokens"),
            "column 29: usage.prompt_tokens_details has cached_tokens only");
  EXPECT_EQ(value_of("usage.prompt_tokens_details"),
            "column 1: usage.prompt_tokens_details is no number");
  EXPECT_EQ(truth_of("has(model.x)"), "column 5: has() needs a field of usage");
  EXPECT_EQ(truth_of("has(usage)"), "column 5: usage alone is no value; name a field of it");
}

TEST(UsageExpression, LengthDepthAndOperationsAreBounded) {
  const auto repeat = [](std::string_view text, int times) {
    std::string out;
    for (int i = 0; i < times; ++i) out += text;
    return out;
  };
  EXPECT_EQ(value_of(repeat("1+", 127) + "1"), "128");
  EXPECT_EQ(value_of(repeat("1+", 128) + "1"), "column 256: more than 256 operations");
  EXPECT_EQ(value_of(repeat("(", 31) + "1" + repeat(")", 31)), "1");
  EXPECT_EQ(value_of(repeat("(", 32) + "1" + repeat(")", 32)), "column 33: more than 32 levels");
  EXPECT_EQ(value_of(std::string(1025, ' ')), "longer than 1024 bytes");
}

TEST(UsageExpression, DamagedTextNeverCrashes) {
  constexpr std::string_view kWhole =
      "has(usage.prompt_tokens_details) && !(usage.total_tokens % 7 >= 2) ? -usage.prompt_tokens / "
      "double(3) + 1.5e2 : int(usage.completion_tokens * 0.5)";
  constexpr std::string_view kBytes = "()!&|<>=?:+-*/%.0179eEu_a \"'[]{}";
  ASSERT_TRUE(UsageExpression::parse(kWhole, Kind::kNumber));
  Random random(17);
  for (int i = 0; i < 5000; ++i) {
    std::string text(kWhole);
    for (std::uint64_t edits = 1 + random.below(6); edits > 0 && !text.empty(); --edits) {
      const std::size_t at = random.below(text.size());
      if (random.below(2) == 0) {
        text[at] = kBytes[random.below(kBytes.size())];
      } else {
        text.erase(at, 1 + random.below(9));
      }
    }
    const auto parsed = UsageExpression::parse(text, Kind::kNumber);
    if (parsed) {
      parsed->whole(kUsage);
      parsed->whole({});
    } else {
      EXPECT_TRUE(parsed.error().message.starts_with("column ")) << text;
    }
  }
}

}  // namespace
}  // namespace fairlead::scheduling
