// SPDX-License-Identifier: Apache-2.0
#include "core/scheduling/usage_expression.h"

#include <cmath>
#include <limits>

namespace fairlead::scheduling {
namespace {

std::optional<std::uint64_t> total_of(const Usage& usage) {
  if (usage.total_tokens) return usage.total_tokens;
  std::uint64_t sum = 0;
  if (!usage.prompt_tokens || !usage.completion_tokens ||
      __builtin_add_overflow(*usage.prompt_tokens, *usage.completion_tokens, &sum)) {
    return {};
  }
  return sum;
}

std::optional<std::int64_t> cut(double value) {
  constexpr double kEnd = 9223372036854775808.0;  // 2^63
  if (!(value > -kEnd && value < kEnd)) return {};
  return static_cast<std::int64_t>(value);
}

}  // namespace

UsageExpression::Evaluated UsageExpression::as(Type type, std::size_t at,
                                               const Usage& usage) const {
  Evaluated value = evaluate(at, usage);
  if (value && type == Type::kDouble && nodes_[at].type == Type::kInt) {
    value->decimal = static_cast<double>(value->whole);
  }
  return value;
}

UsageExpression::Evaluated UsageExpression::arithmetic(const Node& node, const Usage& usage) const {
  const Evaluated left = as(node.type, node.a, usage);
  const Evaluated right = as(node.type, node.b, usage);
  if (!left || !right) return {};
  if (node.type == Type::kDouble) {
    const double a = left->decimal;
    const double b = right->decimal;
    if (node.op == Op::kAdd) return Value{0, a + b};
    if (node.op == Op::kSubtract) return Value{0, a - b};
    if (node.op == Op::kMultiply) return Value{0, a * b};
    return Value{0, a / b};
  }
  const std::int64_t a = left->whole;
  const std::int64_t b = right->whole;
  std::int64_t out = 0;
  bool failed = false;
  if (node.op == Op::kAdd) {
    failed = __builtin_add_overflow(a, b, &out);
  } else if (node.op == Op::kSubtract) {
    failed = __builtin_sub_overflow(a, b, &out);
  } else if (node.op == Op::kMultiply) {
    failed = __builtin_mul_overflow(a, b, &out);
  } else {
    failed = b == 0 || (b == -1 && a == std::numeric_limits<std::int64_t>::min());
    if (!failed) out = node.op == Op::kDivide ? a / b : a % b;
  }
  if (failed) return {};
  return Value{out, 0};
}

UsageExpression::Evaluated UsageExpression::compare(const Node& node, const Usage& usage) const {
  const bool decimals =
      nodes_[node.a].type == Type::kDouble || nodes_[node.b].type == Type::kDouble;
  const Type type = decimals ? Type::kDouble : Type::kInt;
  const Evaluated left = as(type, node.a, usage);
  const Evaluated right = as(type, node.b, usage);
  if (!left || !right) return {};
  const auto holds = [&](auto a, auto b) {
    if (node.op == Op::kLess) return a < b;
    if (node.op == Op::kLessEqual) return a <= b;
    return node.op == Op::kEqual ? a == b : a != b;
  };
  const bool held =
      decimals ? holds(left->decimal, right->decimal) : holds(left->whole, right->whole);
  return Value{held ? 1 : 0, 0};
}

UsageExpression::Evaluated UsageExpression::logic(const Node& node, const Usage& usage) const {
  const std::int64_t decisive = node.op == Op::kOr ? 1 : 0;
  const Evaluated left = evaluate(node.a, usage);
  if (left && left->whole == decisive) return left;
  const Evaluated right = evaluate(node.b, usage);
  if (right && right->whole == decisive) return right;
  return left ? right : left;
}

UsageExpression::Evaluated UsageExpression::evaluate(std::size_t at, const Usage& usage) const {
  const Node& node = nodes_[at];
  const auto field = [&] {
    return node.field == Field::kPrompt       ? usage.prompt_tokens
           : node.field == Field::kCompletion ? usage.completion_tokens
           : node.field == Field::kTotal      ? total_of(usage)
                                              : usage.cached_tokens;
  };
  switch (node.op) {
    case Op::kConstant:
      return node.constant;
    case Op::kHas:
      return Value{field() ? 1 : 0, 0};
    case Op::kField: {
      const std::optional<std::uint64_t> value = field();
      constexpr std::uint64_t kMost = std::numeric_limits<std::int64_t>::max();
      if (!value || *value > kMost) return {};
      return Value{static_cast<std::int64_t>(*value), 0};
    }
    case Op::kToInt: {
      const Evaluated value = evaluate(node.a, usage);
      if (!value || nodes_[node.a].type == Type::kInt) return value;
      const std::optional<std::int64_t> whole = cut(value->decimal);
      return whole ? Evaluated(Value{*whole, 0}) : Evaluated();
    }
    case Op::kToDouble:
      return as(Type::kDouble, node.a, usage);
    case Op::kNegate: {
      const Evaluated value = evaluate(node.a, usage);
      if (!value || value->whole == std::numeric_limits<std::int64_t>::min()) return {};
      return Value{-value->whole, -value->decimal};
    }
    case Op::kNot: {
      const Evaluated value = evaluate(node.a, usage);
      return value ? Evaluated(Value{1 - value->whole, 0}) : value;
    }
    case Op::kChoose: {
      const Evaluated condition = evaluate(node.a, usage);
      if (!condition) return condition;
      return as(node.type, condition->whole == 1 ? node.b : node.c, usage);
    }
    case Op::kAnd:
    case Op::kOr:
      return logic(node, usage);
    case Op::kLess:
    case Op::kLessEqual:
    case Op::kEqual:
    case Op::kNotEqual:
      return compare(node, usage);
    case Op::kAdd:
    case Op::kSubtract:
    case Op::kMultiply:
    case Op::kDivide:
    case Op::kRemainder:
      return arithmetic(node, usage);
  }
  return {};
}

std::optional<std::int64_t> UsageExpression::whole(const Usage& usage) const {
  if (nodes_.empty()) return 0;
  const Evaluated value = evaluate(nodes_.size() - 1, usage);
  if (!value) return {};
  return nodes_.back().type == Type::kDouble ? cut(value->decimal) : value->whole;
}

Truth UsageExpression::truth(const Usage& usage) const {
  if (nodes_.empty()) return Truth::kFalse;
  const Evaluated value = evaluate(nodes_.size() - 1, usage);
  if (!value) return Truth::kError;
  return value->whole == 1 ? Truth::kTrue : Truth::kFalse;
}

}  // namespace fairlead::scheduling
