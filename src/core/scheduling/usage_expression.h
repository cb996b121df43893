// SPDX-License-Identifier: Apache-2.0
// UsageExpression: the part of CEL (github.com/google/cel-spec) that a price of an answer needs,
// parsed and type-checked once, evaluated without allocating.
//
//   usage.prompt_tokens + 3 * usage.completion_tokens
//   has(usage.prompt_tokens_details.cached_tokens) ? usage.prompt_tokens / 2 : usage.prompt_tokens
//
// Understood: whole and decimal numbers, true, false, + - * / %, < <= > >= == !=, && || !, ?:,
// parentheses, has(), int(), double(), and of usage the fields prompt_tokens, completion_tokens,
// total_tokens and prompt_tokens_details.cached_tokens, which are whole numbers. All else is
// refused by name, with its column, from 1. Whole and decimal numbers may be mixed, which CEL
// refuses; whole numbers divide to whole ones, towards zero. Errors at evaluation, as in CEL: an
// absent field, a division of whole numbers by zero, more than 64 bits. && and || pass over an
// error when the other side decides. Bounds: 1,024 bytes, 256 operations, 32 levels. Threads:
// immutable after parse().
#pragma once

#include <cstdint>
#include <optional>
#include <string_view>
#include <vector>

#include "base/result.h"
#include "core/scheduling/usage.h"

namespace fairlead::scheduling {

enum class Truth : std::uint8_t { kFalse, kTrue, kError };

class UsageExpression {
 public:
  enum class Kind : std::uint8_t { kNumber, kTruth };

  static constexpr std::size_t kMaxBytes = 1024;
  static constexpr std::size_t kMaxNodes = 256;
  static constexpr std::size_t kMaxDepth = 32;

  // `kind` is what it must come to.
  static Result<UsageExpression> parse(std::string_view text, Kind kind);

  // Of a kNumber: cut towards zero; nothing after an error.
  std::optional<std::int64_t> whole(const Usage& usage) const;
  // Of a kTruth.
  Truth truth(const Usage& usage) const;

 private:
  friend class UsageExpressionParser;

  enum class Type : std::uint8_t { kInt, kDouble, kBool };
  enum class Op : std::uint8_t {
    kConstant,
    kField,
    kHas,
    kNegate,
    kNot,
    kToInt,
    kToDouble,
    kAdd,
    kSubtract,
    kMultiply,
    kDivide,
    kRemainder,
    kLess,
    kLessEqual,
    kEqual,
    kNotEqual,
    kAnd,
    kOr,
    kChoose,  // a ? b : c
  };
  enum class Field : std::uint8_t { kPrompt, kCompletion, kTotal, kCached };

  // Of a node's type; a truth is 0 or 1 in `whole`.
  struct Value {
    std::int64_t whole = 0;
    double decimal = 0;
  };
  struct Node {
    Op op = Op::kConstant;
    Type type = Type::kInt;
    Field field = Field::kPrompt;
    std::uint16_t a = 0;  // Operands, earlier in nodes_.
    std::uint16_t b = 0;
    std::uint16_t c = 0;
    Value constant{};
  };
  using Evaluated = std::optional<Value>;

  Evaluated evaluate(std::size_t at, const Usage& usage) const;
  Evaluated as(Type type, std::size_t at, const Usage& usage) const;
  Evaluated arithmetic(const Node& node, const Usage& usage) const;
  Evaluated compare(const Node& node, const Usage& usage) const;
  Evaluated logic(const Node& node, const Usage& usage) const;

  std::vector<Node> nodes_;  // The last is the whole expression; none: it is 0.
};

}  // namespace fairlead::scheduling
