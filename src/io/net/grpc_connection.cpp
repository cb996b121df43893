// SPDX-License-Identifier: Apache-2.0
#include "io/net/grpc_connection.h"

#include <algorithm>
#include <cstring>
#include <utility>

#include "io/net/grpc_stream.h"

namespace fairlead::net {
namespace {

// Large, so that many calls' messages lie in one piece and a body's frames share a call.
constexpr std::size_t kInputBytes = 256 * 1024;
constexpr std::size_t kOutBytes = 256 * 1024;
// With so much unsent nothing more is framed or read: the rest waits in its streams.
constexpr std::size_t kUnsentHigh = 512 * 1024;
// What is beyond that are nghttp2's own frames, which it bounds.
constexpr std::size_t kUnsentMax = 8 * kUnsentHigh;
// One connection's share of a turn, of bytes received; more waits for the next.
constexpr std::size_t kPumpBytes = 1024 * 1024;
// How long a closing connection listens, so that the peer reads the last bytes before a reset
// reaches it, and how long a draining one waits for a sign that its first GOAWAY was read.
constexpr Duration kLinger = std::chrono::seconds(1);
constexpr std::size_t kFreeStreamsMax = 1024;
// The ration of Http2Flood.
constexpr double kFloodBurst = 1000;
constexpr double kFloodPerSecond = 100;
// Of calls that are reset before anything was sent to them: when an Envoy loses its own clients, it
// resets all their calls at once.
constexpr double kResetBurst = 10'000;
constexpr double kResetsPerSecond = 1000;
constexpr std::uint8_t kDrainPing[8] = {'d', 'r', 'a', 'i', 'n', 'i', 'n', 'g'};

}  // namespace

GrpcConnection::GrpcConnection(GrpcServer& server, const SocketAddress& peer)
    : server_(server),
      loop_(server.loop_),
      peer_(peer),
      stream_(loop_, *this, kUnsentMax),
      watch_timer_(loop_, [this] { on_watch_timer(); }),
      write_timer_(loop_, [this] { on_write_timer(); }),
      head_timer_(loop_,
                  [this] {
                    ++server_.counters_.head_timeouts;
                    end_session(NGHTTP2_ENHANCE_YOUR_CALM);
                  }),
      drain_timer_(loop_, [this] { on_drain_heard(); }),
      ration_(kFloodBurst, kFloodPerSecond, loop_.now()),
      resets_(std::max<double>(kResetBurst, 2.0 * server.options_.streams_max), kResetsPerSecond,
              loop_.now()) {}

GrpcConnection::~GrpcConnection() { nghttp2_session_del(session_); }

Result<void> GrpcConnection::open(StreamSocket socket) {
  auto session = new_session(*this);
  if (!session) return tl::unexpected<Error>(std::move(session.error()));
  session_ = *session;
  auto opened = stream_.open(std::move(socket), TcpStream::State::kOpen);
  if (!opened) return opened;
  watch_timer_.arm(server_.options_.open_timeout);
  loop_.at_turn_end(*this);
  return {};
}

void GrpcConnection::on_connected() { ++server_.counters_.tls.done; }

void GrpcConnection::pump() {
  if (dead()) return;
  const std::size_t budget_end = stream_.bytes_received() + kPumpBytes;
  more_ = false;
  while (stream_.readable()) {
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
    feed(input_.view());
    input_.clear();
  }
  input_.release();
  if (stream_.at_end()) return die();
  if (!head_open_) {
    head_timer_.cancel();
  } else if (!head_timer_.armed()) {
    head_timer_.arm(server_.options_.head_timeout);
  }
  loop_.at_turn_end(*this);
}

void GrpcConnection::feed(std::string_view bytes) {
  if (phase_ == Phase::kClosing || ended_) return;
  const ssize_t taken = nghttp2_session_mem_recv(
      session_, reinterpret_cast<const std::uint8_t*>(bytes.data()), bytes.size());
  if (taken >= 0) return;
  if (taken == NGHTTP2_ERR_BAD_CLIENT_MAGIC) return end_session(NGHTTP2_PROTOCOL_ERROR);
  // Where nghttp2 blames the client without a frame to say so: too many CONTINUATION frames or
  // settings, or acknowledgements that the client does not read.
  end_for_flood(Http2Flood::kContinuations);
}

void GrpcConnection::on_turn_end() {
  if (dead()) return;
  if (more_) pump();
  if (dead()) return;
  flush();
  if (dead()) return;
  tell_drained();
  close_when_done();
}

void GrpcConnection::flush() {
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
    out.append(frame);
  }
  emit(out);
  out_ = nullptr;
  stream_.flush();
  if (stream_.pending_bytes() > 0 && !write_timer_.armed()) watch_writes();
}

void GrpcConnection::emit(Buffer& out) {
  if (!out.empty()) stream_.write(out.view());
  out.clear();
}

void GrpcConnection::watch_writes() {
  written_mark_ = stream_.bytes_sent();
  write_timer_.arm(server_.options_.write_timeout);
}

// Calls time their own bytes; these have left their calls.
void GrpcConnection::on_write_timer() {
  if (stream_.pending_bytes() == 0) return;
  if (stream_.bytes_sent() != written_mark_) return watch_writes();
  ++server_.counters_.write_timeouts;
  stream_.abort();
  die();
}

// The bytes of these calls have left, as far as they can tell; what follows may be theirs.
void GrpcConnection::tell_drained() {
  drained_.swap(written_);
  for (GrpcStream* stream : drained_) {
    if (stream == nullptr) continue;
    if (stream->queued_ > 0 && !stream->overflowed_) {
      note_written(*stream);
      continue;
    }
    stream->owes_drained_ = false;
    if (stream->state_ != GrpcStream::State::kRunning) continue;
    if (!stream->overflowed_) {
      stream->observer_->on_drained();
    } else {
      stream->end_early(GrpcGone::kOverflow, GrpcStatus::kResourceExhausted, {});
    }
  }
  drained_.clear();
}

void GrpcConnection::note_written(GrpcStream& stream) {
  stream.written_index_ = written_.size();
  written_.push_back(&stream);
}

void GrpcConnection::on_writable() {
  if (phase_ == Phase::kClosing) return close_when_done();
  if (!stalled_) return;
  more_ = true;
  loop_.at_turn_end(*this);
}

void GrpcConnection::close_when_done() {
  if (phase_ == Phase::kClosing) {
    if (stream_.pending_bytes() == 0) linger();
    return;
  }
  if (nghttp2_session_want_read(session_) != 0 || nghttp2_session_want_write(session_) != 0) return;
  phase_ = Phase::kClosing;
  end_all_streams();
  drain_timer_.cancel();
  watch_timer_.arm(server_.options_.write_timeout);
  if (stream_.pending_bytes() == 0) linger();
}

void GrpcConnection::linger() {
  if (stream_.peer_half_closed()) return die();
  stream_.shutdown_write();
  watch_timer_.arm(kLinger);
}

void GrpcConnection::on_peer_half_closed() {
  if (!more_) die();
}

void GrpcConnection::on_stream_end(StreamEnd end) {
  if (end == StreamEnd::kTlsFailed) server_.counters_.tls.count(stream_.tls_failure());
  die();
}

void GrpcConnection::watch_peer() {
  received_mark_ = stream_.bytes_received();
  asked_ = false;
  watch_timer_.arm(server_.options_.ping_interval);
}

void GrpcConnection::on_watch_timer() {
  if (phase_ == Phase::kOpening) {
    ++server_.counters_.open_timeouts;
    if (stream_.in_handshake()) server_.counters_.tls.count(TlsFailure::kTimeout);
    return die();
  }
  if (phase_ == Phase::kClosing) return die();
  // While we do not read, silence says nothing; the write timer sees to that.
  if (stream_.bytes_received() != received_mark_ || stalled_) return watch_peer();
  if (asked_) {
    ++server_.counters_.ping_timeouts;
    stream_.abort();
    return die();
  }
  asked_ = true;
  nghttp2_submit_ping(session_, NGHTTP2_FLAG_NONE, nullptr);
  watch_timer_.arm(server_.options_.ping_timeout);
  loop_.at_turn_end(*this);
}

void GrpcConnection::on_first_frame() {
  if (phase_ != Phase::kOpening) return;
  phase_ = Phase::kOpen;
  watch_peer();
}

// Twice GOAWAY: what the client began before it heard of the first one still runs (RFC 9113 §6.8).
void GrpcConnection::drain() {
  if (phase_ == Phase::kOpening) return die();
  if (phase_ != Phase::kOpen || std::exchange(draining_, true)) return;
  nghttp2_submit_shutdown_notice(session_);
  nghttp2_submit_ping(session_, NGHTTP2_FLAG_NONE, kDrainPing);
  drain_timer_.arm(kLinger);
  loop_.at_turn_end(*this);
}

void GrpcConnection::on_ping_answered(const std::uint8_t* opaque) {
  if (draining_ && std::memcmp(opaque, kDrainPing, sizeof kDrainPing) == 0) on_drain_heard();
}

void GrpcConnection::on_drain_heard() {
  drain_timer_.cancel();
  nghttp2_submit_goaway(session_, NGHTTP2_FLAG_NONE,
                        nghttp2_session_get_last_proc_stream_id(session_), NGHTTP2_NO_ERROR,
                        nullptr, 0);
  loop_.at_turn_end(*this);
}

void GrpcConnection::on_goaway_sent(std::uint32_t code) {
  // Too many frames, or too slow, have counters of their own.
  if (code == NGHTTP2_NO_ERROR || code == NGHTTP2_ENHANCE_YOUR_CALM) return;
  ++server_.counters_.protocol_errors;
}

void GrpcConnection::on_stream_error() {
  ++server_.counters_.stream_errors;
  ration(Http2Flood::kStreamErrors);
}

bool GrpcConnection::ration(Http2Flood flood) {
  Http2Ration& ration = flood == Http2Flood::kResets ? resets_ : ration_;
  if (ration.take(loop_.now())) return true;
  end_for_flood(flood);
  return false;
}

void GrpcConnection::end_for_flood(Http2Flood flood) {
  if (ended_) return;
  ++server_.counters_.floods[static_cast<std::size_t>(flood)];
  end_session(NGHTTP2_ENHANCE_YOUR_CALM);
}

void GrpcConnection::end_session(std::uint32_t code) {
  ended_ = true;
  nghttp2_session_terminate_session(session_, code);
  loop_.at_turn_end(*this);
}

GrpcStream* GrpcConnection::begin_stream(std::int32_t id) {
  if (!server_.admit_call()) {
    nghttp2_submit_rst_stream(session_, NGHTTP2_FLAG_NONE, id, NGHTTP2_REFUSED_STREAM);
    return nullptr;
  }
  auto& free = server_.free_streams_;
  std::unique_ptr<GrpcStream> stream;
  if (free.empty()) {
    stream = std::make_unique<GrpcStream>(server_);
  } else {
    stream = std::move(free.back());
    free.pop_back();
  }
  stream->index_ = streams_.size();
  stream->begin(*this, id);
  streams_.push_back(std::move(stream));
  return streams_.back().get();
}

void GrpcConnection::end_stream(GrpcStream& stream) {
  if (stream.owes_drained_) written_[stream.written_index_] = nullptr;
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
}

void GrpcConnection::end_all_streams() {
  while (!streams_.empty()) {
    GrpcStream& stream = *streams_.back();
    nghttp2_session_set_stream_user_data(session_, stream.id_, nullptr);
    stream.on_closed(GrpcGone::kConnectionLost);
    end_stream(stream);
  }
}

void GrpcConnection::die() {
  if (dead()) return;
  phase_ = Phase::kDead;
  end_all_streams();
  for (Timer* timer : {&watch_timer_, &write_timer_, &head_timer_, &drain_timer_}) timer->cancel();
  stream_.close();
  server_.forget(*this);
}

}  // namespace fairlead::net
