// SPDX-License-Identifier: Apache-2.0
#include "core/codec/msgpack_reader.h"

#include <bit>
#include <cstring>

namespace fairlead::codec {
namespace {

constexpr std::uint8_t kNil = 0xC0;
constexpr std::uint8_t kReserved = 0xC1;
constexpr std::uint8_t kTrue = 0xC3;
constexpr std::uint8_t kBinary8 = 0xC4;
constexpr std::uint8_t kExtension8 = 0xC7;
constexpr std::uint8_t kFloat32 = 0xCA;
constexpr std::uint8_t kFloat64 = 0xCB;
constexpr std::uint8_t kUnsigned8 = 0xCC;
constexpr std::uint8_t kSigned8 = 0xD0;
constexpr std::uint8_t kFixedExtension1 = 0xD4;
constexpr std::uint8_t kText8 = 0xD9;
constexpr std::uint8_t kArray16 = 0xDC;
constexpr std::uint8_t kMap16 = 0xDE;
constexpr std::uint8_t kFixedMap = 0x80;
constexpr std::uint8_t kFixedArray = 0x90;
constexpr std::uint8_t kFixedText = 0xA0;

std::uint8_t byte_at(const char* at) { return static_cast<std::uint8_t>(*at); }

std::uint64_t big_endian(const char* at, std::size_t width) {
  std::uint64_t value = 0;
  for (std::size_t i = 0; i < width; ++i) value = value << 8 | byte_at(at + i);
  return value;
}

void append_big_endian(std::string& out, std::uint8_t head, std::uint64_t value,
                       std::size_t width) {
  out.push_back(static_cast<char>(head));
  for (std::size_t i = width; i-- > 0;) out.push_back(static_cast<char>(value >> (8 * i)));
}

bool is_fixed_number(std::uint8_t head) { return head < kFixedMap || head >= 0xE0; }

constexpr MsgpackType type_of(std::uint8_t head) {
  if (head < kFixedMap) return MsgpackType::kUnsigned;
  if (head < kFixedArray) return MsgpackType::kMap;
  if (head < kFixedText) return MsgpackType::kArray;
  if (head < kNil) return MsgpackType::kText;
  if (head >= 0xE0) return MsgpackType::kSigned;
  if (head == kNil) return MsgpackType::kNil;
  if (head == kReserved) return MsgpackType::kReserved;
  if (head <= kTrue) return MsgpackType::kBool;
  if (head < kExtension8) return MsgpackType::kBinary;
  if (head < kFloat32) return MsgpackType::kExtension;
  if (head <= kFloat64) return MsgpackType::kFloat;
  if (head < kSigned8) return MsgpackType::kUnsigned;
  if (head < kFixedExtension1) return MsgpackType::kSigned;
  if (head < kText8) return MsgpackType::kExtension;
  if (head < kArray16) return MsgpackType::kText;
  return head < kMap16 ? MsgpackType::kArray : MsgpackType::kMap;
}

}  // namespace

constinit const std::array<MsgpackType, 256> MsgpackReader::kTypes = [] {
  std::array<MsgpackType, 256> types{};
  for (std::size_t head = 0; head < types.size(); ++head) {
    types[head] = type_of(static_cast<std::uint8_t>(head));
  }
  return types;
}();

bool MsgpackReader::fail(MsgpackFault fault) {
  if (ok()) fault_ = fault;
  return false;
}

// Of an array or a map: in the head itself, or in two or four bytes behind it.
bool MsgpackReader::count(std::uint8_t fixed, std::uint8_t wide, std::uint32_t per_element,
                          std::uint32_t& out) {
  const std::uint8_t head = byte_at(at_);
  std::size_t width = 0;
  std::uint64_t elements = head & 0x0FU;
  if ((head & 0xF0) != fixed) {
    width = head == wide ? 2 : 4;
    if (left() < 1 + width) return fail(MsgpackFault::kTruncated);
    elements = big_endian(at_ + 1, width);
  }
  if (elements * per_element > left() - 1 - width) return fail(MsgpackFault::kLengthLies);
  at_ += 1 + width;
  out = static_cast<std::uint32_t>(elements);
  return true;
}

bool MsgpackReader::array(std::uint32_t& out) {
  if (type() != MsgpackType::kArray) {
    return fail(at_ == end_ ? MsgpackFault::kTruncated : MsgpackFault::kWrongType);
  }
  return count(kFixedArray, kArray16, 1, out);
}

bool MsgpackReader::map(std::uint32_t& out) {
  if (type() != MsgpackType::kMap) {
    return fail(at_ == end_ ? MsgpackFault::kTruncated : MsgpackFault::kWrongType);
  }
  return count(kFixedMap, kMap16, 2, out);
}

bool MsgpackReader::bytes_of(std::size_t head, std::size_t width, std::string_view& out) {
  if (left() < head + width) return fail(MsgpackFault::kTruncated);
  const std::uint64_t size = width == 0 ? byte_at(at_) & 0x1FU : big_endian(at_ + head, width);
  if (left() - head - width < size) return fail(MsgpackFault::kTruncated);
  out = {at_ + head + width, static_cast<std::size_t>(size)};
  at_ += head + width + size;
  return true;
}

bool MsgpackReader::long_text(std::string_view& out) {
  if (type() != MsgpackType::kText) {
    return fail(at_ == end_ ? MsgpackFault::kTruncated : MsgpackFault::kWrongType);
  }
  const std::uint8_t head = byte_at(at_);
  return bytes_of(1, head < kNil ? 0 : std::size_t{1} << (head - kText8), out);
}

bool MsgpackReader::binary(std::string_view& out) {
  if (type() != MsgpackType::kBinary) {
    return fail(at_ == end_ ? MsgpackFault::kTruncated : MsgpackFault::kWrongType);
  }
  return bytes_of(1, std::size_t{1} << (byte_at(at_) - kBinary8), out);
}

bool MsgpackReader::long_integer_bits(std::uint64_t& out) {
  if (!ok()) return false;
  if (at_ == end_) return fail(MsgpackFault::kTruncated);
  const std::uint8_t head = byte_at(at_);
  if (is_fixed_number(head)) {
    out = static_cast<std::uint64_t>(std::int64_t{static_cast<std::int8_t>(head)});
    ++at_;
    return true;
  }
  if (head < kUnsigned8 || head >= kFixedExtension1) return fail(MsgpackFault::kWrongType);
  const bool is_signed = head >= kSigned8;
  const std::size_t width = std::size_t{1} << (head - (is_signed ? kSigned8 : kUnsigned8));
  if (left() < 1 + width) return fail(MsgpackFault::kTruncated);
  std::uint64_t value = big_endian(at_ + 1, width);
  if (is_signed && width < 8 && (value >> (8 * width - 1)) != 0) {
    value |= ~std::uint64_t{0} << (8 * width);
  }
  at_ += 1 + width;
  out = value;
  return true;
}

bool MsgpackReader::number(double& out) {
  const MsgpackType kind = type();
  if (kind != MsgpackType::kFloat) {
    std::uint64_t bits = 0;
    if (!integer_bits(bits)) return false;
    out = kind == MsgpackType::kSigned ? static_cast<double>(static_cast<std::int64_t>(bits))
                                       : static_cast<double>(bits);
    return true;
  }
  const std::size_t width = byte_at(at_) == kFloat32 ? 4 : 8;
  if (left() < 1 + width) return fail(MsgpackFault::kTruncated);
  const std::uint64_t bits = big_endian(at_ + 1, width);
  out = width == 4 ? static_cast<double>(std::bit_cast<float>(static_cast<std::uint32_t>(bits)))
                   : std::bit_cast<double>(bits);
  at_ += 1 + width;
  return true;
}

// One value without what is inside it, which is added to `pending`.
bool MsgpackReader::skip_one(std::uint64_t& pending) {
  std::uint32_t elements = 0;
  std::string_view bytes;
  std::uint64_t bits = 0;
  double value = 0;
  switch (type()) {
    case MsgpackType::kEnd:
      return fail(MsgpackFault::kTruncated);
    case MsgpackType::kReserved:
      return fail(MsgpackFault::kReserved);
    case MsgpackType::kNil:
    case MsgpackType::kBool:
      ++at_;
      return true;
    case MsgpackType::kUnsigned:
    case MsgpackType::kSigned:
      return integer_bits(bits);
    case MsgpackType::kFloat:
      return number(value);
    case MsgpackType::kText:
      return text(bytes);
    case MsgpackType::kBinary:
      return binary(bytes);
    case MsgpackType::kArray:
      if (!array(elements)) return false;
      pending += elements;
      return true;
    case MsgpackType::kMap:
      if (!map(elements)) return false;
      pending += std::uint64_t{elements} * 2;
      return true;
    case MsgpackType::kExtension:
      break;
  }
  const std::uint8_t head = byte_at(at_);
  if (head < kFixedExtension1) {  // The type byte stands behind the length: one byte more.
    const std::size_t width = std::size_t{1} << (head - kExtension8);
    const char* start = at_;
    if (!bytes_of(1, width, bytes)) return false;
    if (at_ == end_) {
      at_ = start;
      return fail(MsgpackFault::kTruncated);
    }
    ++at_;
    return true;
  }
  const std::size_t size = 2 + (std::size_t{1} << (head - kFixedExtension1));
  if (left() < size) return fail(MsgpackFault::kTruncated);
  at_ += size;
  return true;
}

bool MsgpackReader::skip() {
  // Each container was found no longer than the input, so this ends.
  for (std::uint64_t pending = 1; pending > 0; --pending) {
    if (!skip_one(pending)) return false;
  }
  return true;
}

bool MsgpackReader::skip(std::string_view& out) {
  const char* start = at_;
  if (!skip()) return false;
  out = {start, static_cast<std::size_t>(at_ - start)};
  return true;
}

void append_msgpack_nil(std::string& out) { out.push_back(static_cast<char>(kNil)); }

void append_msgpack_unsigned(std::string& out, std::uint64_t value) {
  if (value < 0x80) {
    out.push_back(static_cast<char>(value));
  } else if (value <= 0xFF) {
    append_big_endian(out, kUnsigned8, value, 1);
  } else if (value <= 0xFFFF) {
    append_big_endian(out, kUnsigned8 + 1, value, 2);
  } else if (value <= 0xFFFFFFFF) {
    append_big_endian(out, kUnsigned8 + 2, value, 4);
  } else {
    append_big_endian(out, kUnsigned8 + 3, value, 8);
  }
}

void append_msgpack_signed(std::string& out, std::int64_t value) {
  const auto bits = static_cast<std::uint64_t>(value);
  if (value >= 0) {
    append_msgpack_unsigned(out, bits);
  } else if (value >= -32) {
    out.push_back(static_cast<char>(value));
  } else if (value >= INT8_MIN) {
    append_big_endian(out, kSigned8, bits, 1);
  } else if (value >= INT16_MIN) {
    append_big_endian(out, kSigned8 + 1, bits, 2);
  } else if (value >= INT32_MIN) {
    append_big_endian(out, kSigned8 + 2, bits, 4);
  } else {
    append_big_endian(out, kSigned8 + 3, bits, 8);
  }
}

void append_msgpack_double(std::string& out, double value) {
  append_big_endian(out, kFloat64, std::bit_cast<std::uint64_t>(value), 8);
}

void append_msgpack_text(std::string& out, std::string_view value) {
  if (value.size() < 32) {
    out.push_back(static_cast<char>(kFixedText | value.size()));
  } else if (value.size() <= 0xFF) {
    append_big_endian(out, kText8, value.size(), 1);
  } else if (value.size() <= 0xFFFF) {
    append_big_endian(out, kText8 + 1, value.size(), 2);
  } else {
    append_big_endian(out, kText8 + 2, value.size(), 4);
  }
  out += value;
}

void append_msgpack_binary(std::string& out, std::string_view value) {
  if (value.size() <= 0xFF) {
    append_big_endian(out, kBinary8, value.size(), 1);
  } else if (value.size() <= 0xFFFF) {
    append_big_endian(out, kBinary8 + 1, value.size(), 2);
  } else {
    append_big_endian(out, kBinary8 + 2, value.size(), 4);
  }
  out += value;
}

void append_msgpack_array(std::string& out, std::size_t elements) {
  if (elements < 16) {
    out.push_back(static_cast<char>(kFixedArray | elements));
  } else if (elements <= 0xFFFF) {
    append_big_endian(out, kArray16, elements, 2);
  } else {
    append_big_endian(out, kArray16 + 1, elements, 4);
  }
}

void append_msgpack_map(std::string& out, std::size_t pairs) {
  if (pairs < 16) {
    out.push_back(static_cast<char>(kFixedMap | pairs));
  } else if (pairs <= 0xFFFF) {
    append_big_endian(out, kMap16, pairs, 2);
  } else {
    append_big_endian(out, kMap16 + 1, pairs, 4);
  }
}

}  // namespace fairlead::codec
