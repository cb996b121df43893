// SPDX-License-Identifier: Apache-2.0
// Token ids are most of what a payload holds, and of mixed widths. A branch on the width is
// mispredicted too often, and looking a width up in a table makes the place of each token wait for
// two loads. So widths are worked out for 64 bytes at once, as if each byte were a head; then one
// load leads from a token to the next.
#include <array>
#include <bit>
#include <cstring>
#include <limits>

#include "core/codec/kv_events.h"
#if defined(__SSSE3__)
#include <tmmintrin.h>
#endif

namespace fairlead::codec {
namespace {

constexpr std::ptrdiff_t kWindow = 64;
constexpr std::ptrdiff_t kWord = 8;  // Bytes that are loaded for one token.
constexpr std::size_t kWidest = 5;
constexpr std::uint8_t kWideUnsigned = 0xCF;

// By the bytes of a token with its head: where its bits lie in the eight bytes from its head on.
struct Place {
  std::uint8_t shift;
  std::uint32_t mask;
};
constexpr std::array<Place, kWidest + 1> kPlaces{
    {{0, 0}, {56, 0x7F}, {48, 0xFF}, {40, 0xFFFF}, {0, 0}, {24, 0xFFFFFFFF}}};

std::uint64_t load_big_endian(const char* at) {
  std::uint64_t word = 0;
  std::memcpy(&word, at, sizeof(word));
  if constexpr (std::endian::native == std::endian::little) word = __builtin_bswap64(word);
  return word;
}

using Widths = std::array<std::uint8_t, kWindow>;

// For each byte: how wide a token is whose head it is; 0 when it is no head of one.
#if defined(__SSSE3__)
void find_widths(const char* at, Widths& out) {
  const __m128i by_low_digit = _mm_setr_epi8(0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 2, 3, 5, 0);
  const __m128i heads = _mm_set1_epi8(static_cast<char>(0xC0));
  const __m128i one = _mm_set1_epi8(1);
  for (std::size_t i = 0; i < out.size(); i += 16) {
    const __m128i bytes = _mm_loadu_si128(reinterpret_cast<const __m128i*>(at + i));
    // 0xC0 to 0xCF become 0x70 to 0x7F, everything else has its highest bit set: no width.
    const __m128i index = _mm_adds_epu8(_mm_xor_si128(bytes, heads), _mm_set1_epi8(0x70));
    const __m128i small = _mm_and_si128(_mm_cmpgt_epi8(bytes, _mm_set1_epi8(-1)), one);
    _mm_storeu_si128(reinterpret_cast<__m128i*>(out.data() + i),
                     _mm_or_si128(_mm_shuffle_epi8(by_low_digit, index), small));
  }
}
#else
void find_widths(const char* at, Widths& out) {
  for (std::size_t i = 0; i < out.size(); ++i) {
    const auto head = static_cast<std::uint8_t>(at[i]);
    const bool wide = head >= 0xCC && head <= 0xCE;
    out[i] = static_cast<std::uint8_t>(head < 0x80 ? 1 : wide ? 1U + (1U << (head - 0xCC)) : 0);
  }
}
#endif

}  // namespace

std::size_t read_wide_integers(MsgpackReader& reader, std::uint32_t count, std::uint64_t* out) {
  const std::string_view rest = reader.rest();
  std::size_t done = 0;
  for (; done < count && rest.size() - done * 9 >= 9; ++done) {
    const char* at = rest.data() + done * 9;
    if (static_cast<std::uint8_t>(*at) != kWideUnsigned) break;
    out[done] = load_big_endian(at + 1);
  }
  reader.advance(done * 9);
  return done;
}

bool read_token_ids(MsgpackReader& reader, std::uint32_t count, std::uint32_t* out) {
  const std::string_view rest = reader.rest();
  const char* at = rest.data();
  const char* last = at + rest.size();
  std::uint32_t done = 0;
  Widths widths;
  for (bool plain = true; plain && done < count && last - at >= kWindow + kWord;) {
    find_widths(at, widths);
    std::size_t offset = 0;
    while (offset < widths.size() && done < count) {
      const std::size_t width = widths[offset];
      plain = width != 0;
      if (!plain) break;
      const Place place = kPlaces[width];
      out[done++] =
          static_cast<std::uint32_t>(load_big_endian(at + offset) >> place.shift) & place.mask;
      offset += width;
    }
    at += offset;
  }
  reader.advance(static_cast<std::size_t>(at - rest.data()));

  bool readable = true;
  for (; done < count; ++done) {
    const MsgpackType type = reader.type();
    std::uint64_t value = 0;
    if (type != MsgpackType::kUnsigned && type != MsgpackType::kSigned) {
      readable = false;
      if (!reader.skip()) return false;
      continue;
    }
    if (!reader.integer_bits(value)) return false;
    readable = readable && value <= std::numeric_limits<std::uint32_t>::max();
    out[done] = static_cast<std::uint32_t>(value);
  }
  return readable;
}

}  // namespace fairlead::codec
