// SPDX-License-Identifier: Apache-2.0
// The response side of Http2Stream.
#include <algorithm>
#include <array>
#include <charconv>
#include <utility>
#include <vector>

#include "base/assert.h"
#include "io/net/http2_connection.h"
#include "io/net/http2_stream.h"

namespace fairlead::net {
namespace {

nghttp2_nv pair_of(std::string_view name, std::string_view value) {
  // nghttp2 copies both and makes the name lower case.
  const auto bytes = [](std::string_view text) {
    return reinterpret_cast<std::uint8_t*>(const_cast<char*>(text.data()));
  };
  return {bytes(name), bytes(value), name.size(), value.size(), NGHTTP2_NV_FLAG_NONE};
}

std::string_view digits(std::array<char, 24>& space, std::uint64_t value) {
  const auto end = std::to_chars(space.data(), space.data() + space.size(), value).ptr;
  return {space.data(), end};
}

}  // namespace

void Http2Stream::submit(int status, HeaderSpan headers, codec::BodyFraming framing) {
  FAIRLEAD_ASSERT(!started_);
  started_ = true;
  bodiless_ = head_.method == "HEAD" || status == 204 || status == 304 || status < 200;
  framing_ = framing;
  response_left_ = framing.length;
  std::array<char, 24> status_text;
  std::array<char, 24> length_text;
  std::vector<nghttp2_nv>& pairs = connection_->pairs_;
  pairs.clear();
  pairs.push_back(pair_of(":status", digits(status_text, static_cast<std::uint64_t>(status))));
  for (const codec::Http1Header& header : headers) {
    pairs.push_back(pair_of(header.name, header.value));
  }
  const bool says_length =
      status != 204 && status != 304 && status >= 200 &&
      (framing.kind == codec::BodyKind::kLength || framing.kind == codec::BodyKind::kNone);
  if (says_length) {
    pairs.push_back(pair_of("content-length", digits(length_text, framing.length)));
  }
  nghttp2_data_provider body{};
  body.source.ptr = this;
  body.read_callback = &Http2Connection::read_response;
  const bool has_body = !bodiless_ && framing.kind != codec::BodyKind::kNone &&
                        !(framing.kind == codec::BodyKind::kLength && framing.length == 0);
  bodiless_ |= !has_body;
  nghttp2_submit_response(connection_->session_, id_, pairs.data(), pairs.size(),
                          has_body ? &body : nullptr);
  connection_->loop_.at_turn_end(*connection_);
}

void Http2Stream::queue(std::string_view payload) {
  if (bodiless_ || payload.empty()) return;
  if (out_.size() + payload.size() > server_.options_.pending_bytes_max) {
    overflowed_ = true;
  } else {
    loop_.buffers().grow(out_, payload.size());
    out_.append(payload);
    nghttp2_session_resume_data(connection_->session_, id_);
  }
  if (!std::exchange(owes_drained_, true)) connection_->written_.push_back(this);
  loop_.at_turn_end(*connection_);
}

void Http2Stream::send_response(int status, HeaderSpan headers, std::string_view body) {
  if (state_ != State::kRunning) return;
  start(status, headers, codec::BodyFraming::of_length(body.size()));
  write_chunk(body);
  finish();
}

void Http2Stream::start(int status, HeaderSpan headers, codec::BodyFraming framing) {
  if (state_ != State::kRunning) return;
  submit(status, headers, framing);
}

void Http2Stream::write_chunk(std::string_view payload) {
  if (state_ != State::kRunning || payload.empty()) return;
  FAIRLEAD_ASSERT(started_);
  if (framing_.kind == codec::BodyKind::kLength) {
    FAIRLEAD_ASSERT(payload.size() <= response_left_);
    response_left_ -= payload.size();
  }
  queue(payload);
  watch_writes();
}

// Only bytes that are framed by their length are the same in HTTP/2.
void Http2Stream::write_raw(std::string_view bytes) {
  FAIRLEAD_ASSERT(framing_.kind != codec::BodyKind::kChunked);
  write_chunk(bytes);
}

void Http2Stream::finish() {
  if (state_ != State::kRunning) return;
  FAIRLEAD_ASSERT(started_);
  if (!bodiless_ && framing_.kind == codec::BodyKind::kLength && response_left_ > 0) {
    return abort();
  }
  response_done_ = true;
  if (!bodiless_) nghttp2_session_resume_data(connection_->session_, id_);
  end_exchange();
}

void Http2Stream::abort() {
  if (state_ != State::kRunning) return;
  reset_stream(NGHTTP2_INTERNAL_ERROR);
  end_exchange();
}

void Http2Stream::end_exchange() {
  state_ = State::kFinished;
  observer_ = nullptr;
  --server_.counters_.requests_running;
  // The request's memory is not needed for the rest of the response.
  release_body();
  loop_.at_turn_end(*connection_);
}

// Armed once and asked again when it fires: arming for every write would cost more than it tells.
void Http2Stream::watch_writes() {
  if (timer_.armed()) return;
  progress_mark_ = sent_bytes_;
  timer_.arm(server_.options_.write_timeout);
}

void Http2Stream::reset_stream(std::uint32_t code) {
  nghttp2_submit_rst_stream(connection_->session_, NGHTTP2_FLAG_NONE, id_, code);
  loop_.at_turn_end(*connection_);
}

void Http2Stream::client_gone() {
  ++server_.counters_.clients_gone;
  state_ = State::kFinished;
  if (observer_ != nullptr) observer_->on_client_gone();
  end_exchange();
}

}  // namespace fairlead::net
