// SPDX-License-Identifier: Apache-2.0
#include "core/prefix/vllm_hash.h"

#include <openssl/sha.h>
#include <xxhash.h>

#include <algorithm>
#include <limits>

namespace fairlead::prefix {
namespace {

void put(std::string& out, std::uint64_t value, std::size_t width, bool little_endian) {
  for (std::size_t i = 0; i < width; ++i) {
    const std::size_t shift = 8 * (little_endian ? i : width - 1 - i);
    out.push_back(static_cast<char>(value >> shift));
  }
}

std::string_view as_text(std::span<const std::uint8_t> bytes) {
  return {reinterpret_cast<const char*>(bytes.data()), bytes.size()};
}

// Canonical CBOR: every head as short as it can be.
class Cbor {
 public:
  void tuple_begin(std::size_t parts) { head(4, parts); }
  void tuple_end(std::size_t) {}
  void text(std::string_view text) {
    head(3, text.size());
    out_ += text;
  }
  void bytes(std::string_view bytes) {
    head(2, bytes.size());
    out_ += bytes;
  }
  void number(std::int64_t number) {
    if (number >= 0) {
      head(0, static_cast<std::uint64_t>(number));
    } else {
      head(1, ~static_cast<std::uint64_t>(number));
    }
  }
  void none() { out_.push_back(static_cast<char>(0xF6)); }
  std::string finish() { return std::move(out_); }

 private:
  void head(unsigned major, std::uint64_t value) {
    const unsigned front = major << 5;
    if (value < 24) return put(out_, front | value, 1, false);
    const unsigned width = value <= 0xFF ? 0 : value <= 0xFFFF ? 1 : value <= 0xFFFFFFFF ? 2 : 3;
    put(out_, front | (24 + width), 1, false);
    put(out_, value, std::size_t{1} << width, false);
  }

  std::string out_;
};

// Python's pickle, protocol 5, of values without shared parts.
class Pickle {
 public:
  void tuple_begin(std::size_t parts) {
    if (parts > kShortTuple) out_.push_back('(');
  }
  void tuple_end(std::size_t parts) {
    if (parts == 0) {
      out_.push_back(')');
      return;
    }
    out_.push_back(parts > kShortTuple ? 't' : static_cast<char>(0x84 + parts));
    memoise();
  }
  void text(std::string_view text) {
    counted(static_cast<char>(0x8C), 'X', text);
    memoise();
  }
  void bytes(std::string_view bytes) {
    counted('C', 'B', bytes);
    memoise();
  }
  void number(std::int64_t number) {
    const auto bits = static_cast<std::uint64_t>(number);
    if (number >= 0 && number <= 0xFF) {
      out_.push_back('K');
      put(out_, bits, 1, true);
    } else if (number >= 0 && number <= 0xFFFF) {
      out_.push_back('M');
      put(out_, bits, 2, true);
    } else if (number >= std::numeric_limits<std::int32_t>::min() &&
               number <= std::numeric_limits<std::int32_t>::max()) {
      out_.push_back('J');
      put(out_, bits, 4, true);
    } else {
      // As few bytes as hold the sign too.
      std::size_t width = 5;
      while (width < 8 && number >> (8 * width - 1) != 0 && number >> (8 * width - 1) != -1) {
        ++width;
      }
      out_.push_back(static_cast<char>(0x8A));
      put(out_, width, 1, true);
      put(out_, bits, width, true);
    }
  }
  void none() { out_.push_back('N'); }
  std::string finish() {
    out_.push_back('.');
    std::string framed("\x80\x05\x95", 3);
    put(framed, out_.size(), 8, true);
    return framed + out_;
  }

 private:
  static constexpr std::size_t kShortTuple = 3;

  void memoise() { out_.push_back(static_cast<char>(0x94)); }
  void counted(char short_code, char long_code, std::string_view value) {
    const bool is_short = value.size() <= 0xFF;
    out_.push_back(is_short ? short_code : long_code);
    put(out_, value.size(), is_short ? 1 : 4, true);
    out_ += value;
  }

  std::string out_;
};

template <class Format>
void write_term(Format& out, const HashTerm& term) {
  switch (term.kind) {
    case HashTerm::Kind::kText:
      return out.text(term.text);
    case HashTerm::Kind::kBytes:
      return out.bytes(term.text);
    case HashTerm::Kind::kNumber:
      return out.number(term.number);
    case HashTerm::Kind::kTuple:
      break;
  }
  out.tuple_begin(term.parts.size());
  for (const HashTerm& part : term.parts) write_term(out, part);
  out.tuple_end(term.parts.size());
}

template <class Format>
std::string write_block(const BlockDigest& parent, std::span<const std::uint32_t> tokens,
                        std::span<const HashTerm> extras) {
  Format out;
  out.tuple_begin(3);
  out.bytes(as_text(parent.view()));
  out.tuple_begin(tokens.size());
  for (const std::uint32_t token : tokens) out.number(token);
  out.tuple_end(tokens.size());
  if (extras.empty()) {
    out.none();
  } else {
    out.tuple_begin(extras.size());
    for (const HashTerm& term : extras) write_term(out, term);
    out.tuple_end(extras.size());
  }
  out.tuple_end(3);
  return out.finish();
}

template <class Format>
std::string write_seed(std::string_view seed) {
  Format out;
  out.text(seed);
  return out.finish();
}

bool uses_cbor(VllmHashAlgorithm algorithm) {
  return algorithm == VllmHashAlgorithm::kSha256Cbor || algorithm == VllmHashAlgorithm::kXxhashCbor;
}

BlockDigest sha256(std::string_view bytes) {
  BlockDigest out;
  out.size = SHA256_DIGEST_LENGTH;
  SHA256(reinterpret_cast<const unsigned char*>(bytes.data()), bytes.size(), out.bytes.data());
  return out;
}

std::uint64_t big_endian(std::span<const std::uint8_t> bytes) {
  std::uint64_t value = 0;
  for (const std::uint8_t byte : bytes) value = value << 8 | byte;
  return value;
}

}  // namespace

std::uint64_t BlockDigest::tail() const {
  return big_endian(view().last(std::min<std::size_t>(size, 8)));
}

VllmHasher::VllmHasher(VllmHashAlgorithm algorithm, std::string_view seed)
    : algorithm_(algorithm),
      none_(digest(uses_cbor(algorithm) ? write_seed<Cbor>(seed) : write_seed<Pickle>(seed))) {}

BlockDigest VllmHasher::digest(std::string_view bytes) const {
  if (algorithm_ == VllmHashAlgorithm::kSha256 || algorithm_ == VllmHashAlgorithm::kSha256Cbor) {
    return sha256(bytes);
  }
  XXH128_canonical_t canonical;
  XXH128_canonicalFromHash(&canonical, XXH3_128bits(bytes.data(), bytes.size()));
  BlockDigest out;
  out.size = sizeof(canonical.digest);
  std::copy(std::begin(canonical.digest), std::end(canonical.digest), out.bytes.begin());
  return out;
}

std::string VllmHasher::serialise(const BlockDigest& parent, std::span<const std::uint32_t> tokens,
                                  std::span<const HashTerm> extras) const {
  return uses_cbor(algorithm_) ? write_block<Cbor>(parent, tokens, extras)
                               : write_block<Pickle>(parent, tokens, extras);
}

BlockDigest VllmHasher::block(const BlockDigest& parent, std::span<const std::uint32_t> tokens,
                              std::span<const HashTerm> extras) const {
  return digest(serialise(parent, tokens, extras));
}

BlockDigest sglang_block(const BlockDigest& parent, std::span<const std::uint32_t> tokens) {
  std::string bytes(as_text(parent.view()));
  for (const std::uint32_t token : tokens) put(bytes, token, 4, true);
  return sha256(bytes);
}

std::uint64_t sglang_event_hash(const BlockDigest& digest) {
  return big_endian(digest.view().first(std::min<std::size_t>(digest.size, 8)));
}

}  // namespace fairlead::prefix
