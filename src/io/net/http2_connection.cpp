// SPDX-License-Identifier: Apache-2.0
#include "io/net/http2_connection.h"

#include <algorithm>
#include <utility>

#include "io/net/http2_stream.h"

namespace fairlead::net {
namespace {

constexpr std::size_t kInputBytes = 64 * 1024;
// Larger than any frame that nghttp2 makes of DATA.
constexpr std::size_t kOutBytes = 64 * 1024;
constexpr std::size_t kUnsentHigh = 256 * 1024;
constexpr std::size_t kFreeStreamsMax = 256;

}  // namespace

Http2Connection::Http2Connection(Http1Server& server, const SocketAddress& peer)
    : Http2Session(server.loop_, {.input_bytes = kInputBytes,
                                  .out_bytes = kOutBytes,
                                  .unsent_high = kUnsentHigh,
                                  .unsent_max = server.options_.pending_bytes_max}),
      server_(server),
      peer_(peer),
      timer_(loop_, [this] { on_idle(); }) {}

Http2Connection::~Http2Connection() = default;

Result<void> Http2Connection::open(StreamSocket socket, Buffer seen) {
  ++server_.counters_.http2_connections;
  input_ = std::move(seen);
  if (auto made = make_session(); !made) return made;
  if (auto opened = open_socket(std::move(socket)); !opened) return opened;
  timer_.arm(server_.options_.head_timeout);
  idle_since_ = loop_.now();
  return {};
}

// The bytes of these streams have left, as far as they can tell; what follows may be theirs.
void Http2Connection::tell_drained() {
  drained_.swap(written_);
  for (Http2Stream* stream : drained_) {
    if (stream->overflowed_) {
      ++server_.counters_.pending_limit_hits;
      stream->overflowed_ = stream->owes_drained_ = false;
      stream->reset_stream(NGHTTP2_ENHANCE_YOUR_CALM);
      if (stream->state_ == Http2Stream::State::kRunning) stream->client_gone();
    } else if (!stream->out_.empty()) {
      written_.push_back(stream);
    } else {
      stream->owes_drained_ = false;
      if (stream->observer_ != nullptr) stream->observer_->on_drained();
    }
  }
  drained_.clear();
}

void Http2Connection::on_idle() {
  if (!streams_.empty()) return;
  ++server_.counters_.idle_closed;
  end_session(NGHTTP2_NO_ERROR);
}

void Http2Connection::head_timed_out() {
  [[maybe_unused]] const RefusalReply reply =
      server_.shape_refusal({RefusalKind::kHeadTimeout, 408, codec::Http1Error::kNone, {}});
  end_session(NGHTTP2_ENHANCE_YOUR_CALM);
}

void Http2Connection::on_server_draining() {
  nghttp2_submit_goaway(session_, NGHTTP2_FLAG_NONE,
                        nghttp2_session_get_last_proc_stream_id(session_), NGHTTP2_NO_ERROR,
                        nullptr, 0);
  loop_.at_turn_end(*this);
}

void Http2Connection::count_flood(Http2Flood flood) {
  ++server_.counters_.http2_floods[static_cast<std::size_t>(flood)];
}

void Http2Connection::on_stream_error() {
  ++server_.counters_.http2_stream_errors;
  ration(Http2Flood::kStreamErrors);
}

Http2Stream* Http2Connection::begin_stream(std::int32_t id) {
  auto& free = server_.free_streams_;
  std::unique_ptr<Http2Stream> stream;
  if (free.empty()) {
    stream = std::make_unique<Http2Stream>(server_);
  } else {
    stream = std::move(free.back());
    free.pop_back();
  }
  stream->index_ = streams_.size();
  stream->begin(*this, id);
  streams_.push_back(std::move(stream));
  timer_.cancel();
  if (++requests_ == server_.options_.requests_per_connection_max) on_server_draining();
  return streams_.back().get();
}

void Http2Connection::end_stream(Http2Stream& stream) {
  if (stream.owes_drained_) std::erase(written_, &stream);
  stream.release();
  const std::size_t index = stream.index_;
  std::swap(streams_[index], streams_.back());
  streams_[index]->index_ = index;
  auto& free = server_.free_streams_;
  if (free.size() < kFreeStreamsMax) {
    free.push_back(std::move(streams_.back()));
  } else {
    loop_.destroy_later(std::move(streams_.back()));
  }
  streams_.pop_back();
  server_.connections_.count_bytes(*this);
  if (!streams_.empty() || dead() || closing()) return;
  timer_.arm(server_.options_.idle_timeout);
  idle_since_ = loop_.now();
  if (server_.restraint_.keeps_alive) return;
  ++server_.counters_.keep_alives_ended;
  on_server_draining();
}

std::optional<Time> Http2Connection::idle_since() const {
  if (!streams_.empty() || dead() || closing()) return std::nullopt;
  return idle_since_;
}

void Http2Connection::drop_idle() { end_session(NGHTTP2_NO_ERROR); }

void Http2Connection::end_all_streams() {
  while (!streams_.empty()) {
    Http2Stream& stream = *streams_.back();
    nghttp2_session_set_stream_user_data(session_, stream.id_, nullptr);
    stream.on_closed();
    end_stream(stream);
  }
}

void Http2Connection::on_dead() {
  timer_.cancel();
  server_.forget(*this);
}

}  // namespace fairlead::net
