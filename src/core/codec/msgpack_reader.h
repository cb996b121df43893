// SPDX-License-Identifier: Apache-2.0
// MessagePack: a reader that walks one value after another over bytes it does not own, and appends
// of single values to a string. The caller knows the schema and asks for the type that it expects;
// every width of a type is taken, because encoders choose widths as they like.
//
// Errors: the first one sticks, with the offset of the value at fault; every later call fails. A
// container that claims more elements than bytes are left is an error at its head, so a count never
// exceeds the size of the input. Reads no byte outside the input, allocates nothing, and skip()
// needs no recursion. Threads: values.
// Source: the MessagePack specification (github.com/msgpack/msgpack/blob/master/spec.md).
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>

namespace fairlead::codec {

enum class MsgpackType : std::uint8_t {
  kEnd,  // No byte is left, or an error was met.
  kNil,
  kBool,
  kUnsigned,
  kSigned,  // A value below 0, or one that its encoder wrote as signed.
  kFloat,
  kText,
  kBinary,
  kArray,
  kMap,
  kExtension,
  kReserved,  // 0xC1, which no encoder may write.
};

enum class MsgpackFault : std::uint8_t {
  kNone,
  kTruncated,   // The input ends inside a value.
  kWrongType,   // Another type than asked for.
  kReserved,    // 0xC1.
  kLengthLies,  // A container with more elements than bytes are left.
};

class MsgpackReader {
 public:
  explicit MsgpackReader(std::string_view bytes)
      : begin_(bytes.data()), at_(begin_), end_(begin_ + bytes.size()) {}

  bool ok() const { return fault_ == MsgpackFault::kNone; }
  MsgpackFault fault() const { return fault_; }
  // Of the next value; after an error, of the value at fault.
  std::size_t offset() const { return static_cast<std::size_t>(at_ - begin_); }
  bool at_end() const { return at_ == end_; }

  MsgpackType type() const {
    return !ok() || at_ == end_ ? MsgpackType::kEnd : kTypes[static_cast<std::uint8_t>(*at_)];
  }

  // Each reads one value of the type, or fails and leaves `out` alone. Maps count pairs.
  [[nodiscard]] bool array(std::uint32_t& out);
  [[nodiscard]] bool map(std::uint32_t& out);
  [[nodiscard]] bool text(std::string_view& out) {
    // Keys are short: the length stands in the head.
    const std::size_t size = static_cast<std::uint8_t>(at_ == end_ ? 0 : *at_) - kShortText;
    if (size > kShortTextMax || !ok() || left() <= size) return long_text(out);
    out = {at_ + 1, size};
    at_ += 1 + size;
    return true;
  }
  [[nodiscard]] bool binary(std::string_view& out);
  // Any integer, as its 64 bits: signed ones as two's complement.
  [[nodiscard]] bool integer_bits(std::uint64_t& out) {
    const std::uint8_t head = at_ == end_ ? kNil : static_cast<std::uint8_t>(*at_);
    if (head >= 0x80 || !ok()) return long_integer_bits(out);
    out = head;
    ++at_;
    return true;
  }
  // An integer or a float.
  [[nodiscard]] bool number(double& out);
  // A nil is consumed; anything else stays.
  [[nodiscard]] bool take_nil() {
    if (!ok() || at_ == end_ || static_cast<std::uint8_t>(*at_) != kNil) return false;
    ++at_;
    return true;
  }
  // Any value with all that is inside it.
  [[nodiscard]] bool skip();
  // `out` gets the bytes of the value.
  [[nodiscard]] bool skip(std::string_view& out);

  // For a decoder that reads many values of one kind itself: what is left, and how much was used.
  std::string_view rest() const { return {at_, static_cast<std::size_t>(end_ - at_)}; }
  void advance(std::size_t bytes) { at_ += bytes; }
  // Puts the error at the next value.
  bool fail(MsgpackFault fault);

 private:
  static constexpr std::size_t kShortText = 0xA0;
  static constexpr std::size_t kShortTextMax = 31;
  static constexpr std::uint8_t kNil = 0xC0;

  static const std::array<MsgpackType, 256> kTypes;  // By the first byte.

  bool long_integer_bits(std::uint64_t& out);
  bool long_text(std::string_view& out);
  std::size_t left() const { return static_cast<std::size_t>(end_ - at_); }
  bool count(std::uint8_t fixed, std::uint8_t wide, std::uint32_t per_element, std::uint32_t& out);
  bool bytes_of(std::size_t head, std::size_t width, std::string_view& out);
  bool skip_one(std::uint64_t& pending);

  const char* begin_;
  const char* at_;
  const char* end_;
  MsgpackFault fault_ = MsgpackFault::kNone;
};

// The shortest encoding of each, as msgpack libraries write it.
void append_msgpack_nil(std::string& out);
void append_msgpack_unsigned(std::string& out, std::uint64_t value);
void append_msgpack_signed(std::string& out, std::int64_t value);
void append_msgpack_double(std::string& out, double value);
void append_msgpack_text(std::string& out, std::string_view value);
void append_msgpack_binary(std::string& out, std::string_view value);
void append_msgpack_array(std::string& out, std::size_t elements);
void append_msgpack_map(std::string& out, std::size_t pairs);

}  // namespace fairlead::codec
