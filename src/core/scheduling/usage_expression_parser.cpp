// SPDX-License-Identifier: Apache-2.0
// The grammar of usage_expression.h by recursive descent, lowest precedence first; types are
// checked where a node is made.
#include <fmt/format.h>

#include <array>
#include <charconv>
#include <string>

#include "core/scheduling/usage_expression.h"

namespace fairlead::scheduling {

class UsageExpressionParser {
 public:
  explicit UsageExpressionParser(std::string_view text) : text_(text) {}

  Result<UsageExpression> run(UsageExpression::Kind kind);

 private:
  using Node = UsageExpression::Node;
  using Op = UsageExpression::Op;
  using Type = UsageExpression::Type;
  using Field = UsageExpression::Field;
  using Index = std::uint16_t;  // Of a node; any once an error is noted.

  struct Binary {
    std::string_view sign;
    Op op;
  };

  bool failed() const { return !error_.empty(); }
  Index error(std::size_t at, std::string_view message);
  Index add(std::size_t at, const Node& node);
  Type type(Index node) const { return failed() ? Type::kInt : out_.nodes_[node].type; }
  bool is_number(Index node) const { return type(node) != Type::kBool; }

  void skip_blanks();
  bool take(std::string_view sign);
  std::string_view take_word();

  Index choice();
  Index disjunction();
  Index conjunction();
  Index relation();
  Index sum();
  Index product();
  Index unary();
  Index primary();
  Index number();
  Index word();
  Index conversion(std::size_t at, Op op);
  Index has(std::size_t at);
  bool path(std::size_t at, Field& field, bool& whole_object);
  Index logical(std::size_t at, Op op, Index a, Index b);
  Index compared(std::size_t at, std::string_view sign, Index a, Index b);
  Index computed(std::size_t at, const Binary& binary, Index a, Index b);
  Index unknown();
  void refuse_rest();

  std::string_view text_;
  std::size_t at_ = 0;
  std::size_t depth_ = 0;
  std::string error_;
  UsageExpression out_;
};

namespace {

bool is_digit(char c) { return c >= '0' && c <= '9'; }
bool is_letter(char c) { return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '_'; }

}  // namespace

UsageExpressionParser::Index UsageExpressionParser::error(std::size_t at,
                                                          std::string_view message) {
  if (!failed()) error_ = fmt::format("column {}: {}", at + 1, message);
  at_ = text_.size();
  return 0;
}

UsageExpressionParser::Index UsageExpressionParser::add(std::size_t at, const Node& node) {
  if (failed()) return 0;
  if (out_.nodes_.size() == UsageExpression::kMaxNodes) {
    return error(at, fmt::format("more than {} operations", UsageExpression::kMaxNodes));
  }
  out_.nodes_.push_back(node);
  return static_cast<Index>(out_.nodes_.size() - 1);
}

void UsageExpressionParser::skip_blanks() {
  while (at_ < text_.size() &&
         (text_[at_] == ' ' || text_[at_] == '\t' || text_[at_] == '\n' || text_[at_] == '\r')) {
    ++at_;
  }
}

bool UsageExpressionParser::take(std::string_view sign) {
  skip_blanks();
  if (!text_.substr(at_).starts_with(sign)) return false;
  at_ += sign.size();
  return true;
}

std::string_view UsageExpressionParser::take_word() {
  const std::size_t begin = at_;
  while (at_ < text_.size() && (is_letter(text_[at_]) || is_digit(text_[at_]))) ++at_;
  return text_.substr(begin, at_ - begin);
}

UsageExpressionParser::Index UsageExpressionParser::choice() {
  if (++depth_ > UsageExpression::kMaxDepth) {
    return error(at_, fmt::format("more than {} levels", UsageExpression::kMaxDepth));
  }
  const Index condition = disjunction();
  skip_blanks();
  const std::size_t at = at_;
  Index out = condition;
  if (take("?")) {
    const Index yes = disjunction();
    skip_blanks();
    if (!take(":") && !failed()) return error(at_, "expected ':'");
    const Index no = choice();
    if (is_number(condition)) return error(at, "what stands before '?' must be true or false");
    if (is_number(yes) != is_number(no)) {
      return error(at, "both sides of ':' must be numbers, or both true or false");
    }
    Node node{.op = Op::kChoose, .type = type(yes), .a = condition, .b = yes, .c = no};
    if (type(no) == Type::kDouble) node.type = Type::kDouble;
    out = add(at, node);
  }
  --depth_;
  return out;
}

UsageExpressionParser::Index UsageExpressionParser::logical(std::size_t at, Op op, Index a,
                                                            Index b) {
  if (is_number(a) || is_number(b)) {
    return error(at, "both sides of '&&' and '||' must be true or false");
  }
  return add(at, {.op = op, .type = Type::kBool, .a = a, .b = b});
}

UsageExpressionParser::Index UsageExpressionParser::disjunction() {
  Index left = conjunction();
  for (;;) {
    skip_blanks();
    const std::size_t at = at_;
    if (!take("||")) return left;
    left = logical(at, Op::kOr, left, conjunction());
  }
}

UsageExpressionParser::Index UsageExpressionParser::conjunction() {
  Index left = relation();
  for (;;) {
    skip_blanks();
    const std::size_t at = at_;
    if (!take("&&")) return left;
    left = logical(at, Op::kAnd, left, relation());
  }
}

UsageExpressionParser::Index UsageExpressionParser::compared(std::size_t at, std::string_view sign,
                                                             Index a, Index b) {
  const bool equality = sign == "==" || sign == "!=";
  if (is_number(a) != is_number(b)) return error(at, "a number is compared with true or false");
  if (!is_number(a) && !equality) return error(at, "true and false have no order");
  const bool swapped = sign.front() == '>';
  const Op op = sign == "=="          ? Op::kEqual
                : sign == "!="        ? Op::kNotEqual
                : sign.ends_with('=') ? Op::kLessEqual
                                      : Op::kLess;
  return add(at, {.op = op, .type = Type::kBool, .a = swapped ? b : a, .b = swapped ? a : b});
}

UsageExpressionParser::Index UsageExpressionParser::relation() {
  constexpr std::array<std::string_view, 6> kSigns = {"<=", ">=", "==", "!=", "<", ">"};
  Index left = sum();
  for (;;) {
    skip_blanks();
    const std::size_t at = at_;
    std::string_view found;
    for (const std::string_view sign : kSigns) {
      if (found.empty() && take(sign)) found = sign;
    }
    if (found.empty()) return left;
    left = compared(at, found, left, sum());
  }
}

UsageExpressionParser::Index UsageExpressionParser::computed(std::size_t at, const Binary& binary,
                                                             Index a, Index b) {
  if (!is_number(a) || !is_number(b)) {
    return error(at, fmt::format("both sides of '{}' must be numbers", binary.sign));
  }
  const bool decimal = type(a) == Type::kDouble || type(b) == Type::kDouble;
  if (decimal && binary.op == Op::kRemainder) {
    return error(at, "both sides of '%' must be whole numbers");
  }
  return add(at, {.op = binary.op, .type = decimal ? Type::kDouble : Type::kInt, .a = a, .b = b});
}

UsageExpressionParser::Index UsageExpressionParser::sum() {
  constexpr Binary kPlus{"+", Op::kAdd};
  constexpr Binary kMinus{"-", Op::kSubtract};
  Index left = product();
  for (;;) {
    skip_blanks();
    const std::size_t at = at_;
    if (take("+")) {
      left = computed(at, kPlus, left, product());
    } else if (take("-")) {
      left = computed(at, kMinus, left, product());
    } else {
      return left;
    }
  }
}

UsageExpressionParser::Index UsageExpressionParser::product() {
  constexpr std::array<Binary, 3> kBinaries{
      {{"*", Op::kMultiply}, {"/", Op::kDivide}, {"%", Op::kRemainder}}};
  Index left = unary();
  for (;;) {
    skip_blanks();
    const std::size_t at = at_;
    const Binary* found = nullptr;
    for (const Binary& binary : kBinaries) {
      if (found == nullptr && take(binary.sign)) found = &binary;
    }
    if (found == nullptr) return left;
    left = computed(at, *found, left, unary());
  }
}

// A sign may be repeated, but as in CEL not mixed: "!-1" and "-!a" mean nothing anyway.
UsageExpressionParser::Index UsageExpressionParser::unary() {
  skip_blanks();
  const std::size_t at = at_;
  const bool negative = text_.substr(at_).starts_with('-');
  const std::string_view sign = negative ? "-" : "!";
  std::size_t count = 0;
  while (take(sign)) ++count;
  Index operand = primary();
  if (count > 0 && is_number(operand) != negative) {
    return error(at, negative ? "'-' needs a number" : "'!' needs true or false");
  }
  for (; count > 0 && !failed(); --count) {
    operand =
        add(at, {.op = negative ? Op::kNegate : Op::kNot, .type = type(operand), .a = operand});
  }
  return operand;
}

UsageExpressionParser::Index UsageExpressionParser::primary() {
  skip_blanks();
  if (failed() || at_ == text_.size()) return error(at_, "the expression ends too early");
  const char c = text_[at_];
  if (is_digit(c) || c == '.') return number();
  if (is_letter(c)) return word();
  if (!take("(")) return unknown();
  const Index inside = choice();
  if (!take(")")) return error(at_, "expected ')'");
  return inside;
}

UsageExpressionParser::Index UsageExpressionParser::unknown() {
  const char c = text_[at_];
  if (c == '"' || c == '\'') return error(at_, "text is not supported here");
  if (c == '[') return error(at_, "lists and indexing are not supported here");
  if (c == '{') return error(at_, "maps are not supported here");
  return error(at_, "expected a number, usage, has(), int(), double() or '('");
}

UsageExpressionParser::Index UsageExpressionParser::number() {
  const std::size_t begin = at_;
  const auto digits = [&] {
    const std::size_t from = at_;
    while (at_ < text_.size() && is_digit(text_[at_])) ++at_;
    return at_ - from;
  };
  digits();
  bool decimal = false;
  if (at_ < text_.size() && text_[at_] == '.') {
    decimal = true;
    ++at_;
    if (digits() == 0) return error(at_, "expected a digit behind the point");
  }
  if (at_ < text_.size() && (text_[at_] == 'e' || text_[at_] == 'E')) {
    decimal = true;
    ++at_;
    if (at_ < text_.size() && (text_[at_] == '+' || text_[at_] == '-')) ++at_;
    if (digits() == 0) return error(at_, "expected a digit of the exponent");
  }
  if (at_ < text_.size() && is_letter(text_[at_])) {
    return error(at_,
                 "unsigned, hexadecimal and other numbers with letters are not supported here");
  }
  const std::string_view text = text_.substr(begin, at_ - begin);
  Node node{.type = decimal ? Type::kDouble : Type::kInt};
  const char* const end = text.data() + text.size();
  const auto read = decimal ? std::from_chars(text.data(), end, node.constant.decimal)
                            : std::from_chars(text.data(), end, node.constant.whole);
  if (read.ec != std::errc{} || read.ptr != end) return error(begin, "a number out of range");
  return add(begin, node);
}

// Reads ".field" behind `usage`. `whole_object` is told whether it is prompt_tokens_details itself.
bool UsageExpressionParser::path(std::size_t at, Field& field, bool& whole_object) {
  whole_object = false;
  if (!take(".")) {
    error(at, "usage alone is no value; name a field of it");
    return false;
  }
  skip_blanks();
  const std::size_t name_at = at_;
  const std::string_view name = take_word();
  if (name == "prompt_tokens") {
    field = Field::kPrompt;
  } else if (name == "completion_tokens") {
    field = Field::kCompletion;
  } else if (name == "total_tokens") {
    field = Field::kTotal;
  } else if (name == "prompt_tokens_details") {
    field = Field::kCached;
    whole_object = !take(".");
    skip_blanks();
    const std::size_t inner_at = at_;
    if (!whole_object && take_word() != "cached_tokens") {
      error(inner_at, "usage.prompt_tokens_details has cached_tokens only");
      return false;
    }
  } else {
    error(name_at,
          "usage has prompt_tokens, completion_tokens, total_tokens and "
          "prompt_tokens_details.cached_tokens");
    return false;
  }
  return true;
}

UsageExpressionParser::Index UsageExpressionParser::conversion(std::size_t at, Op op) {
  if (!take("(")) return error(at_, "expected '('");
  const Index inside = choice();
  if (!take(")")) return error(at_, "expected ')'");
  if (!is_number(inside)) return error(at, "int() and double() need a number");
  const Type to = op == Op::kToInt ? Type::kInt : Type::kDouble;
  return add(at, {.op = op, .type = to, .a = inside});
}

UsageExpressionParser::Index UsageExpressionParser::has(std::size_t at) {
  if (!take("(")) return error(at_, "expected '('");
  skip_blanks();
  const std::size_t name_at = at_;
  if (take_word() != "usage") return error(name_at, "has() needs a field of usage");
  Field field{};
  bool whole_object = false;
  if (!path(name_at, field, whole_object)) return 0;
  if (!take(")")) return error(at_, "expected ')'");
  return add(at, {.op = Op::kHas, .type = Type::kBool, .field = field});
}

UsageExpressionParser::Index UsageExpressionParser::word() {
  const std::size_t at = at_;
  const std::string_view name = take_word();
  if (name == "true" || name == "false") {
    return add(at, {.type = Type::kBool, .constant = {name == "true" ? 1 : 0, 0}});
  }
  if (name == "has") return has(at);
  if (name == "int") return conversion(at, Op::kToInt);
  if (name == "double") return conversion(at, Op::kToDouble);
  if (name != "usage") return error(at, fmt::format("\"{}\" is not supported here", name));
  Field field{};
  bool whole_object = false;
  if (!path(at, field, whole_object)) return 0;
  if (whole_object) return error(at, "usage.prompt_tokens_details is no number");
  return add(at, {.op = Op::kField, .field = field});
}

void UsageExpressionParser::refuse_rest() {
  const std::size_t at = at_;
  if (is_letter(text_[at])) {
    const std::string_view name = take_word();
    error(at, fmt::format("\"{}\" is not supported here", name));
  } else if (text_[at] == '[') {
    error(at, "lists and indexing are not supported here");
  } else {
    error(at, text_[at] == '.' ? "this has no fields or methods" : "expected an operator");
  }
}

Result<UsageExpression> UsageExpressionParser::run(UsageExpression::Kind kind) {
  if (text_.size() > UsageExpression::kMaxBytes) {
    return fail(ErrorCode::kInvalidArgument, "longer than {} bytes", UsageExpression::kMaxBytes);
  }
  const Index whole = choice();
  skip_blanks();
  if (!failed() && at_ < text_.size()) refuse_rest();
  if (!failed() && is_number(whole) != (kind == UsageExpression::Kind::kNumber)) {
    error(0, kind == UsageExpression::Kind::kNumber ? "must come to a number"
                                                    : "must come to true or false");
  }
  if (failed()) return fail(ErrorCode::kInvalidArgument, "{}", error_);
  return std::move(out_);
}

Result<UsageExpression> UsageExpression::parse(std::string_view text, Kind kind) {
  return UsageExpressionParser(text).run(kind);
}

}  // namespace fairlead::scheduling
