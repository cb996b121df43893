// SPDX-License-Identifier: Apache-2.0
#include "io/net/grpc_connection.h"

#include <algorithm>
#include <cstring>
#include <utility>

#include "io/net/grpc_stream.h"

namespace fairlead::net {
namespace {

// Large, so that many calls' messages lie in one piece and a body's frames share a call.
constexpr Http2SessionSizes kSizes{.input_bytes = 256 * 1024,
                                   .out_bytes = 256 * 1024,
                                   .unsent_high = 512 * 1024,
                                   .unsent_max = 4 * 1024 * 1024};
// How long a draining connection waits for a sign that its first GOAWAY was read.
constexpr Duration kDrainHearing = std::chrono::seconds(1);
constexpr std::size_t kFreeStreamsMax = 1024;
// Of calls that are reset before anything was sent to them: when an Envoy loses its own clients, it
// resets all their calls at once.
constexpr double kResetBurst = 10'000;
constexpr double kResetsPerSecond = 1000;
constexpr std::uint8_t kDrainPing[8] = {'d', 'r', 'a', 'i', 'n', 'i', 'n', 'g'};

}  // namespace

GrpcConnection::GrpcConnection(GrpcServer& server, const SocketAddress& peer)
    : Http2Session(server.loop_, kSizes),
      server_(server),
      peer_(peer),
      watch_timer_(loop_, [this] { on_watch_timer(); }),
      head_timer_(loop_,
                  [this] {
                    ++server_.counters_.head_timeouts;
                    end_session(NGHTTP2_ENHANCE_YOUR_CALM);
                  }),
      drain_timer_(loop_, [this] { on_drain_heard(); }),
      idle_timer_(loop_, [this] { on_idle_timer(); }),
      resets_(std::max<double>(kResetBurst, 2.0 * server.options_.streams_max), kResetsPerSecond,
              loop_.now()) {}

GrpcConnection::~GrpcConnection() = default;

Result<void> GrpcConnection::open(StreamSocket socket) {
  if (auto made = make_session(); !made) return made;
  if (auto opened = open_socket(std::move(socket)); !opened) return opened;
  watch_timer_.arm(server_.options_.open_timeout);
  watch_idle();
  return {};
}

void GrpcConnection::on_connected() { ++server_.counters_.tls.done; }

void GrpcConnection::on_fed() {
  if (!head_open_) {
    head_timer_.cancel();
  } else if (!head_timer_.armed()) {
    head_timer_.arm(server_.options_.head_timeout);
  }
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

void GrpcConnection::on_closing() {
  for (Timer* timer : {&watch_timer_, &head_timer_, &drain_timer_, &idle_timer_}) timer->cancel();
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
  if (!opened_) {
    ++server_.counters_.open_timeouts;
    if (stream_.in_handshake()) server_.counters_.tls.count(TlsFailure::kTimeout);
    return die();
  }
  // While we do not read, silence says nothing; the write timer sees to that.
  if (stream_.bytes_received() != received_mark_ || stalled()) return watch_peer();
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
  if (!std::exchange(opened_, true)) watch_peer();
}

// Twice GOAWAY: what the client began before it heard of the first one still runs (RFC 9113 §6.8).
void GrpcConnection::on_server_draining() {
  if (!opened_) return die();
  if (closing() || dead() || std::exchange(draining_, true)) return;
  nghttp2_submit_shutdown_notice(session_);
  nghttp2_submit_ping(session_, NGHTTP2_FLAG_NONE, kDrainPing);
  drain_timer_.arm(kDrainHearing);
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

void GrpcConnection::count_flood(Http2Flood flood) {
  ++server_.counters_.floods[static_cast<std::size_t>(flood)];
}

Http2Ration& GrpcConnection::ration_of(Http2Flood flood) {
  return flood == Http2Flood::kResets ? resets_ : Http2Session::ration_of(flood);
}

void GrpcConnection::watch_idle() {
  if (server_.options_.idle_timeout) idle_timer_.arm(*server_.options_.idle_timeout);
}

// A call may be on its way, so that the client hears of it as of a drain.
void GrpcConnection::on_idle_timer() {
  ++server_.counters_.idle_closed;
  on_server_draining();
}

GrpcStream* GrpcConnection::begin_stream(std::int32_t id) {
  if (!server_.admit_call()) return nullptr;
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
  idle_timer_.cancel();
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
  server_.connections_.count_bytes(*this);
  if (streams_.empty() && !dead() && !closing()) watch_idle();
}

void GrpcConnection::end_all_streams() {
  while (!streams_.empty()) {
    GrpcStream& stream = *streams_.back();
    nghttp2_session_set_stream_user_data(session_, stream.id_, nullptr);
    stream.on_closed(GrpcGone::kConnectionLost);
    end_stream(stream);
  }
}

void GrpcConnection::on_dead() {
  on_closing();
  server_.forget(*this);
}

}  // namespace fairlead::net
