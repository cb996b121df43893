// SPDX-License-Identifier: Apache-2.0
#include "core/codec/http1_body.h"

#include <algorithm>

#include "core/codec/http1_text.h"

namespace fairlead::codec {
namespace {

// Chunks of 2^60 bytes and more exist only in attacks; the bound keeps sums far from overflow.
constexpr std::uint64_t kChunkBytesMax = std::uint64_t{1} << 60;
// As many as a 64-bit size has; leading zeros without end would be bytes that nobody counts.
constexpr std::uint32_t kSizeDigitsMax = 16;

int hex_value(char c) {
  if (is_digit(c)) return c - '0';
  const char lower = to_lower(c);
  return lower >= 'a' && lower <= 'f' ? lower - 'a' + 10 : -1;
}

}  // namespace

void Http1BodyReader::reset(BodyFraming framing) {
  const Http1Limits limits = limits_;
  *this = Http1BodyReader(limits);
  framing_ = framing;
  status_ = Http1Progress::kNeedMore;
  switch (framing.kind) {
    case BodyKind::kLength:
      left_ = framing.length;
      state_ = State::kData;
      break;
    case BodyKind::kUntilClose:
      left_ = static_cast<std::uint64_t>(-1);
      state_ = State::kData;
      break;
    case BodyKind::kChunked:
      state_ = State::kSizeFirst;
      break;
    case BodyKind::kNone:
      break;
  }
  if (framing.kind == BodyKind::kNone || (framing.kind == BodyKind::kLength && left_ == 0)) {
    state_ = State::kDone;
    status_ = Http1Progress::kComplete;
  }
}

Http1BodyReader::Step Http1BodyReader::step(std::string_view bytes) {
  if (status_ != Http1Progress::kNeedMore) return {};
  if (state_ == State::kData) {
    const Step step = take_data(bytes, State::kDone);
    if (framing_.kind == BodyKind::kUntilClose) left_ = static_cast<std::uint64_t>(-1);
    if (state_ == State::kDone) status_ = Http1Progress::kComplete;
    return step;
  }
  std::size_t at = 0;
  while (at < bytes.size() && status_ == Http1Progress::kNeedMore) {
    if (state_ == State::kChunkData) {
      const Step data = take_data(bytes.substr(at), State::kDataCr);
      return {at + data.consumed, data.payload};
    }
    eat(bytes[at]);
    if (status_ != Http1Progress::kError) ++at;
  }
  return {at, {}};
}

Http1BodyReader::Step Http1BodyReader::take_data(std::string_view bytes, State after) {
  const auto taken = static_cast<std::size_t>(std::min<std::uint64_t>(bytes.size(), left_));
  left_ -= taken;
  payload_bytes_ += taken;
  if (left_ == 0) state_ = after;
  return {taken, bytes.substr(0, taken)};
}

std::size_t Http1BodyReader::walk(std::string_view bytes, std::vector<std::string_view>& pieces) {
  std::size_t consumed = 0;
  while (consumed < bytes.size() && status_ == Http1Progress::kNeedMore) {
    const Step taken = step(bytes.substr(consumed));
    consumed += taken.consumed;
    if (!taken.payload.empty()) pieces.push_back(taken.payload);
  }
  return consumed;
}

void Http1BodyReader::on_close() {
  if (framing_.kind == BodyKind::kUntilClose && status_ == Http1Progress::kNeedMore) {
    state_ = State::kDone;
    status_ = Http1Progress::kComplete;
  }
}

void Http1BodyReader::refuse(Http1Error error) {
  error_ = error;
  status_ = Http1Progress::kError;
}

void Http1BodyReader::eat(char byte) {
  switch (state_) {
    case State::kSizeFirst:
    case State::kSize:
    case State::kSizeSpace:
      eat_size(byte);
      break;
    case State::kExtension:
      if (byte == '\r') {
        state_ = State::kSizeLf;
      } else if (!is_value_char(byte)) {
        refuse(Http1Error::kInvalidChunkSize);
      } else if (++extension_bytes_ > limits_.chunk_extension_bytes) {
        refuse(Http1Error::kChunkExtensionTooLarge);
      }
      break;
    case State::kSizeLf:
      if (byte == '\n') {
        end_size_line();
      } else {
        refuse(Http1Error::kInvalidChunkSize);
      }
      break;
    case State::kDataCr:
      if (byte == '\r') {
        state_ = State::kDataLf;
      } else {
        refuse(Http1Error::kInvalidChunkEnd);
      }
      break;
    case State::kDataLf:
      if (byte == '\n') {
        state_ = State::kSizeFirst;
      } else {
        refuse(Http1Error::kInvalidChunkEnd);
      }
      break;
    default:
      eat_trailer(byte);
      break;
  }
}

void Http1BodyReader::eat_size(char byte) {
  const int digit = hex_value(byte);
  if (digit >= 0 && state_ != State::kSizeSpace) {
    if (state_ == State::kSizeFirst) size_digits_ = 0;
    if (++size_digits_ > kSizeDigitsMax) return refuse(Http1Error::kInvalidChunkSize);
    state_ = State::kSize;
    left_ = left_ * 16 + static_cast<std::uint64_t>(digit);
    if (left_ >= kChunkBytesMax) refuse(Http1Error::kInvalidChunkSize);
    return;
  }
  const bool space = is_space(byte) && ++extension_bytes_ <= limits_.chunk_extension_bytes;
  if (state_ == State::kSizeFirst || (byte != '\r' && byte != ';' && !space)) {
    return refuse(Http1Error::kInvalidChunkSize);
  }
  state_ = byte == '\r' ? State::kSizeLf : space ? State::kSizeSpace : State::kExtension;
}

void Http1BodyReader::end_size_line() {
  if (left_ > 0) {
    state_ = State::kChunkData;
    return;
  }
  state_ = State::kTrailerLine;
  line_bytes_ = 0;
  colon_seen_ = false;
}

void Http1BodyReader::eat_trailer(char byte) {
  if (++trailer_bytes_ > limits_.trailer_bytes) {
    refuse(Http1Error::kTrailersTooLarge);
    return;
  }
  if (state_ == State::kTrailerLf) {
    if (byte == '\n') {
      end_trailer_line();
    } else {
      refuse(Http1Error::kInvalidTrailer);
    }
    return;
  }
  if (byte == '\r') {
    state_ = State::kTrailerLf;
    return;
  }
  if (colon_seen_) {
    if (!is_value_char(byte)) refuse(Http1Error::kInvalidTrailer);
  } else if (byte == ':' && line_bytes_ > 0) {
    colon_seen_ = true;
  } else if (!is_token_char(byte)) {
    refuse(Http1Error::kInvalidTrailer);
  }
  ++line_bytes_;
}

void Http1BodyReader::end_trailer_line() {
  if (line_bytes_ == 0) {
    state_ = State::kDone;
    status_ = Http1Progress::kComplete;
  } else if (!colon_seen_) {
    refuse(Http1Error::kInvalidTrailer);
  } else {
    state_ = State::kTrailerLine;
    line_bytes_ = 0;
    colon_seen_ = false;
  }
}

}  // namespace fairlead::codec
