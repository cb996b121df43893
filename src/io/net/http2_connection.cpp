// SPDX-License-Identifier: Apache-2.0
#include "io/net/http2_connection.h"

#include <algorithm>
#include <utility>

#include "base/assert.h"
#include "io/net/http2_stream.h"

namespace fairlead::net {
namespace {

constexpr std::size_t kInputBytes = 64 * 1024;
// Frames of a turn, gathered for one write. Larger than any frame that nghttp2 makes of DATA.
constexpr std::size_t kOutBytes = 64 * 1024;
// With so much unsent nothing more is framed or read: the rest waits in its streams.
constexpr std::size_t kUnsentHigh = 256 * 1024;
constexpr std::size_t kFreeStreamsMax = 256;
// The ration of Http2Flood: more than a client that cancels a whole batch at once needs.
constexpr double kFloodBurst = 1000;
constexpr double kFloodPerSecond = 100;

}  // namespace

Http2Connection::Http2Connection(Http1Server& server, const SocketAddress& peer)
    : server_(server),
      loop_(server.loop_),
      peer_(peer),
      stream_(loop_, *this, server.options_.pending_bytes_max),
      timer_(loop_, [this] { on_timer(); }),
      write_timer_(loop_, [this] { on_write_timer(); }),
      ration_(kFloodBurst, kFloodPerSecond, loop_.now()) {}

Http2Connection::~Http2Connection() { nghttp2_session_del(session_); }

Result<void> Http2Connection::open(StreamSocket socket, Buffer seen) {
  ++server_.counters_.http2_connections;
  input_ = std::move(seen);
  auto session = new_session(*this);
  if (!session) return tl::unexpected<Error>(std::move(session.error()));
  session_ = *session;
  auto opened = stream_.open(std::move(socket), TcpStream::State::kOpen);
  if (!opened) return opened;
  timer_.arm(server_.options_.head_timeout);
  idle_since_ = loop_.now();
  more_ = true;
  loop_.at_turn_end(*this);
  return {};
}

void Http2Connection::on_readable() { pump(); }

void Http2Connection::pump() {
  if (dead_) return;
  const std::size_t budget_end = stream_.bytes_received() + kPumpBytes;
  more_ = false;
  for (;;) {
    if (!input_.empty()) feed(input_.view());
    input_.clear();
    if (!stream_.readable()) break;
    if (stream_.pending_bytes() >= kUnsentHigh) {
      stalled_ = true;
      break;
    }
    if (stream_.bytes_received() >= budget_end) {
      more_ = true;
      break;
    }
    loop_.buffers().grow(input_, kInputBytes);
    if (stream_.read(input_) == 0) break;
  }
  input_.release();
  if (stream_.at_end()) return die();
  loop_.at_turn_end(*this);
}

void Http2Connection::feed(std::string_view bytes) {
  if (closing_ || flooded_) return;
  const ssize_t taken = nghttp2_session_mem_recv(
      session_, reinterpret_cast<const std::uint8_t*>(bytes.data()), bytes.size());
  if (taken >= 0) return;
  // Where nghttp2 blames the client without a frame to say so: too many CONTINUATION frames or
  // settings, or acknowledgements that the client does not read.
  end_for_flood(Http2Flood::kContinuations);
}

void Http2Connection::on_turn_end() {
  if (dead_) return;
  if (more_) pump();
  if (dead_) return;
  flush();
  if (dead_) return;
  tell_drained();
  close_when_done();
}

void Http2Connection::flush() {
  Buffer out;
  out_ = &out;
  stalled_ = false;
  for (;;) {
    if (stream_.pending_bytes() + out.size() >= kUnsentHigh) {
      stalled_ = true;
      break;
    }
    loop_.buffers().grow(out, out.has_memory() ? 0 : kOutBytes);
    out_full_ = false;
    const std::uint8_t* bytes = nullptr;
    const ssize_t count = nghttp2_session_mem_send(session_, &bytes);
    if (count < 0) {
      out_ = nullptr;
      return die();
    }
    if (count == 0 && !out_full_) break;
    const std::string_view frame(reinterpret_cast<const char*>(bytes),
                                 static_cast<std::size_t>(count));
    if (out_full_ || out.free_space().size() < frame.size()) emit(out);
    if (frame.size() <= out.free_space().size()) {
      out.append(frame);
    } else {
      stream_.write(frame);
    }
  }
  emit(out);
  out_ = nullptr;
  stream_.flush();
  if (stream_.pending_bytes() > 0 && !write_timer_.armed()) watch_writes();
}

void Http2Connection::watch_writes() {
  progress_mark_ = stream_.bytes_sent();
  write_timer_.arm(server_.options_.write_timeout);
}

// Streams time their own bytes; these have left their streams.
void Http2Connection::on_write_timer() {
  if (stream_.pending_bytes() == 0) return;
  if (stream_.bytes_sent() != progress_mark_) return watch_writes();
  ++server_.counters_.write_timeouts;
  stream_.abort();
  die();
}

void Http2Connection::emit(Buffer& out) {
  if (!out.empty()) stream_.write(out.view());
  out.clear();
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

void Http2Connection::on_writable() {
  if (closing_) return close_when_done();
  if (!stalled_) return;
  more_ = true;
  loop_.at_turn_end(*this);
}

void Http2Connection::close_when_done() {
  if (closing_) {
    if (stream_.pending_bytes() == 0) linger();
    return;
  }
  if (nghttp2_session_want_read(session_) != 0 || nghttp2_session_want_write(session_) != 0) return;
  closing_ = true;
  end_all_streams();
  timer_.arm(server_.options_.write_timeout);
  if (stream_.pending_bytes() == 0) linger();
}

void Http2Connection::linger() {
  if (stream_.peer_half_closed()) return die();
  stream_.shutdown_write();
  timer_.arm(kLinger);
}

void Http2Connection::on_peer_half_closed() {
  if (!more_) die();
}

void Http2Connection::on_stream_end(StreamEnd) { die(); }

void Http2Connection::on_timer() {
  if (closing_) return die();
  if (!streams_.empty()) return;
  ++server_.counters_.idle_closed;
  nghttp2_session_terminate_session(session_, NGHTTP2_NO_ERROR);
  loop_.at_turn_end(*this);
}

void Http2Connection::head_timed_out() {
  [[maybe_unused]] const RefusalReply reply =
      server_.shape_refusal({RefusalKind::kHeadTimeout, 408, codec::Http1Error::kNone, {}});
  nghttp2_session_terminate_session(session_, NGHTTP2_ENHANCE_YOUR_CALM);
  loop_.at_turn_end(*this);
}

void Http2Connection::on_server_draining() {
  nghttp2_submit_goaway(session_, NGHTTP2_FLAG_NONE,
                        nghttp2_session_get_last_proc_stream_id(session_), NGHTTP2_NO_ERROR,
                        nullptr, 0);
  loop_.at_turn_end(*this);
}

bool Http2Connection::ration(Http2Flood flood) {
  if (ration_.take(loop_.now())) return true;
  end_for_flood(flood);
  return false;
}

void Http2Connection::end_for_flood(Http2Flood flood) {
  if (std::exchange(flooded_, true)) return;
  ++server_.counters_.http2_floods[static_cast<std::size_t>(flood)];
  nghttp2_session_terminate_session(session_, NGHTTP2_ENHANCE_YOUR_CALM);
  loop_.at_turn_end(*this);
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
  server_.count_bytes(*this);
  if (!streams_.empty() || dead_ || closing_) return;
  timer_.arm(server_.options_.idle_timeout);
  idle_since_ = loop_.now();
  if (server_.restraint_.keeps_alive) return;
  ++server_.counters_.keep_alives_ended;
  on_server_draining();
}

std::optional<Time> Http2Connection::idle_since() const {
  if (!streams_.empty() || dead_ || closing_) return std::nullopt;
  return idle_since_;
}

void Http2Connection::drop_idle() {
  nghttp2_session_terminate_session(session_, NGHTTP2_NO_ERROR);
  loop_.at_turn_end(*this);
}

void Http2Connection::end_all_streams() {
  while (!streams_.empty()) {
    Http2Stream& stream = *streams_.back();
    nghttp2_session_set_stream_user_data(session_, stream.id_, nullptr);
    stream.on_closed();
    end_stream(stream);
  }
}

void Http2Connection::die() {
  if (std::exchange(dead_, true)) return;
  end_all_streams();
  timer_.cancel();
  write_timer_.cancel();
  stream_.close();
  server_.forget(*this);
}

}  // namespace fairlead::net
