// SPDX-License-Identifier: Apache-2.0
// Protocol-buffer wire format: a reader that yields the fields of one message as views into its
// bytes, and a writer that appends to a string. The caller knows the schema; a field that it does
// not know, or that has another type than the schema says, is passed over, groups included.
//
// Errors: the reader stops at the first malformed byte, and ok() is then false. Strings are not
// checked for UTF-8. Reads no byte outside the message.
// Threads: values; the writer belongs to one owner. The reader allocates nothing.
// Source: protobuf.dev, "Encoding".
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>

namespace fairlead::codec {

enum class WireType : std::uint8_t {
  kVarint = 0,
  kFixed64 = 1,
  kBytes = 2,  // Strings, bytes, messages, packed lists.
  kStartGroup = 3,
  kEndGroup = 4,
  kFixed32 = 5,
};

class WireReader {
 public:
  static constexpr std::size_t kGroupDepthMax = 32;

  explicit WireReader(std::string_view message) : rest_(message) {}

  // Moves to the next field that is not a group; false at the end and after an error.
  [[nodiscard]] bool next();
  bool ok() const { return ok_; }

  // Of the field that next() found. A value of another type than asked for is zero or empty.
  std::uint32_t field() const { return field_; }
  WireType type() const { return type_; }
  bool is_bytes(std::uint32_t field) const { return field_ == field && type_ == WireType::kBytes; }
  bool is_varint(std::uint32_t field) const {
    return field_ == field && type_ == WireType::kVarint;
  }
  std::string_view bytes() const { return bytes_; }
  std::uint64_t number() const { return number_; }  // Varints and the fixed types.

 private:
  bool fail();
  bool read_varint(std::uint64_t& out);
  bool read_tag();
  bool read_value();
  bool read_fixed(std::size_t size);
  bool skip_group();

  std::string_view rest_;
  std::string_view bytes_;
  std::uint64_t number_ = 0;
  std::uint32_t field_ = 0;
  WireType type_ = WireType::kVarint;
  bool ok_ = true;
};

// Messages are written between begin() and end(), which puts the length in front of what was
// written since. Zero values are written as given: leaving them out is the caller's business.
class WireWriter {
 public:
  explicit WireWriter(std::string& out) : out_(out) {}

  void varint(std::uint32_t field, std::uint64_t value);
  void bytes(std::uint32_t field, std::string_view value);
  void real(std::uint32_t field, double value);  // The type double.
  // The tag and length of bytes that stand elsewhere and will follow as the message's last.
  void bytes_elsewhere(std::uint32_t field, std::size_t size);

  // Returns the place to hand to end().
  [[nodiscard]] std::size_t begin(std::uint32_t field);
  // `elsewhere`: bytes that belong to this message and will follow what is written here.
  void end(std::size_t begun, std::size_t elsewhere = 0);

 private:
  void tag(std::uint32_t field, WireType type);
  void raw_varint(std::uint64_t value);

  std::string& out_;
};

}  // namespace fairlead::codec
