// SPDX-License-Identifier: Apache-2.0
#include "core/codec/protobuf_wire.h"

#include <bit>

namespace fairlead::codec {
namespace {

constexpr std::size_t kVarintBytesMax = 10;
constexpr std::uint64_t kTagMax = 0xffffffff;
constexpr unsigned kTypeBits = 3;

std::size_t put_varint(std::uint64_t value, char (&out)[kVarintBytesMax]) {
  std::size_t size = 0;
  while (value >= 0x80) {
    out[size++] = static_cast<char>(value | 0x80);
    value >>= 7;
  }
  out[size++] = static_cast<char>(value);
  return size;
}

}  // namespace

bool WireReader::fail() {
  ok_ = false;
  rest_ = {};
  bytes_ = {};
  number_ = 0;
  field_ = 0;
  return false;
}

bool WireReader::read_varint(std::uint64_t& out) {
  std::uint64_t value = 0;
  for (std::size_t i = 0; i < rest_.size() && i < kVarintBytesMax; ++i) {
    const auto byte = static_cast<std::uint8_t>(rest_[i]);
    // What does not fit into 64 bits is dropped, as every implementation does.
    value |= std::uint64_t{byte & 0x7fU} << (7 * i);
    if (byte < 0x80) {
      rest_.remove_prefix(i + 1);
      out = value;
      return true;
    }
  }
  return fail();
}

bool WireReader::read_tag() {
  std::uint64_t tag = 0;
  if (!read_varint(tag)) return false;
  const std::uint64_t type = tag & 7;
  if (tag > kTagMax || tag >> kTypeBits == 0 || type > 5) return fail();
  field_ = static_cast<std::uint32_t>(tag >> kTypeBits);
  type_ = static_cast<WireType>(type);
  return true;
}

bool WireReader::read_fixed(std::size_t size) {
  if (rest_.size() < size) return fail();
  number_ = 0;
  for (std::size_t i = 0; i < size; ++i) {
    number_ |= std::uint64_t{static_cast<std::uint8_t>(rest_[i])} << (8 * i);
  }
  rest_.remove_prefix(size);
  return true;
}

bool WireReader::read_value() {
  bytes_ = {};
  number_ = 0;
  switch (type_) {
    case WireType::kVarint:
      return read_varint(number_);
    case WireType::kFixed64:
      return read_fixed(8);
    case WireType::kFixed32:
      return read_fixed(4);
    case WireType::kBytes: {
      std::uint64_t size = 0;
      if (!read_varint(size)) return false;
      if (size > rest_.size()) return fail();
      bytes_ = rest_.substr(0, static_cast<std::size_t>(size));
      rest_.remove_prefix(static_cast<std::size_t>(size));
      return true;
    }
    case WireType::kStartGroup:
    case WireType::kEndGroup:
      break;
  }
  return fail();
}

// Behind a group's start tag. Every end must name the group that is open.
bool WireReader::skip_group() {
  std::uint32_t open[kGroupDepthMax];
  std::size_t depth = 0;
  open[depth++] = field_;
  while (depth > 0) {
    if (rest_.empty()) return fail();
    if (!read_tag()) return false;
    if (type_ == WireType::kStartGroup) {
      if (depth == kGroupDepthMax) return fail();
      open[depth++] = field_;
    } else if (type_ == WireType::kEndGroup) {
      if (open[--depth] != field_) return fail();
    } else if (!read_value()) {
      return false;
    }
  }
  return true;
}

bool WireReader::next() {
  while (!rest_.empty()) {
    if (!read_tag()) return false;
    if (type_ != WireType::kStartGroup) return read_value();
    if (!skip_group()) return false;
  }
  field_ = 0;
  bytes_ = {};
  number_ = 0;
  return false;
}

void WireWriter::raw_varint(std::uint64_t value) {
  char digits[kVarintBytesMax];
  out_.append(digits, put_varint(value, digits));
}

void WireWriter::tag(std::uint32_t field, WireType type) {
  raw_varint(std::uint64_t{field} << kTypeBits | static_cast<std::uint64_t>(type));
}

void WireWriter::varint(std::uint32_t field, std::uint64_t value) {
  tag(field, WireType::kVarint);
  raw_varint(value);
}

void WireWriter::bytes(std::uint32_t field, std::string_view value) {
  bytes_elsewhere(field, value.size());
  out_ += value;
}

void WireWriter::real(std::uint32_t field, double value) {
  tag(field, WireType::kFixed64);
  auto bits = std::bit_cast<std::uint64_t>(value);
  for (int i = 0; i < 8; ++i, bits >>= 8) out_ += static_cast<char>(bits & 0xff);
}

void WireWriter::bytes_elsewhere(std::uint32_t field, std::size_t size) {
  tag(field, WireType::kBytes);
  raw_varint(size);
}

std::size_t WireWriter::begin(std::uint32_t field) {
  tag(field, WireType::kBytes);
  return out_.size();
}

// Moving what was written is cheaper than sizing it beforehand: replies are a few hundred bytes.
void WireWriter::end(std::size_t begun, std::size_t elsewhere) {
  char digits[kVarintBytesMax];
  const std::size_t size = put_varint(out_.size() - begun + elsewhere, digits);
  out_.insert(begun, digits, size);
}

}  // namespace fairlead::codec
