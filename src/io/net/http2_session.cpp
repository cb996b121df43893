// SPDX-License-Identifier: Apache-2.0
#include "io/net/http2_session.h"

#include <utility>

#include "io/net/server_connection.h"

namespace fairlead::net {
namespace {

// The ration of Http2Flood: more than a client that cancels a whole batch at once needs.
constexpr double kFloodBurst = 1000;
constexpr double kFloodPerSecond = 100;
// Http2Flood::kResets rations these; nghttp2's own ration would hide the reason, and counts calls
// that Envoy resets although they were answered.
constexpr std::uint64_t kNoResetLimit = std::uint64_t{1} << 40;
constexpr std::size_t kAcknowledgementsMax = 2000;  // More than the ration, which has a name.

}  // namespace

Http2Session::Http2Session(EventLoop& loop, const Http2SessionSizes& sizes)
    : loop_(loop),
      stream_(loop, *this, sizes.unsent_max),
      sizes_(sizes),
      write_timer_(loop, [this] { on_write_timer(); }),
      closing_timer_(loop, [this] { die(); }),
      ration_(kFloodBurst, kFloodPerSecond, loop.now()) {}

Http2Session::~Http2Session() { nghttp2_session_del(session_); }

Result<void> Http2Session::make_session(RegisterCallbacks register_all, void* user,
                                        std::span<const nghttp2_settings_entry> settings,
                                        std::int32_t connection_window) {
  nghttp2_session_callbacks* calls = nullptr;
  nghttp2_option* option = nullptr;
  const bool made = nghttp2_session_callbacks_new(&calls) == 0 && nghttp2_option_new(&option) == 0;
  if (made) {
    register_all(calls);
    nghttp2_option_set_no_auto_window_update(option, 1);
    nghttp2_option_set_no_closed_streams(option, 1);
    nghttp2_option_set_stream_reset_rate_limit(option, kNoResetLimit, kNoResetLimit);
    nghttp2_option_set_max_outbound_ack(option, kAcknowledgementsMax);
    nghttp2_session_server_new2(&session_, calls, user, option);
  }
  nghttp2_session_callbacks_del(calls);
  nghttp2_option_del(option);
  if (session_ == nullptr) return fail(ErrorCode::kUnavailable, "HTTP/2: out of memory");
  nghttp2_submit_settings(session_, NGHTTP2_FLAG_NONE, settings.data(), settings.size());
  nghttp2_session_set_local_window_size(session_, NGHTTP2_FLAG_NONE, 0, connection_window);
  return {};
}

Result<void> Http2Session::open_socket(StreamSocket socket) {
  auto opened = stream_.open(std::move(socket), TcpStream::State::kOpen);
  if (!opened) return opened;
  more_ = !input_.empty();
  loop_.at_turn_end(*this);
  return {};
}

void Http2Session::pump() {
  if (dead_) return;
  const std::size_t budget_end = stream_.bytes_received() + kPumpBytes;
  more_ = false;
  for (;;) {
    if (!input_.empty()) feed(input_.view());
    input_.clear();
    if (!stream_.readable()) break;
    if (stream_.pending_bytes() >= sizes_.unsent_high) {
      stalled_ = true;
      break;
    }
    if (stream_.bytes_received() >= budget_end) {
      more_ = true;
      break;
    }
    loop_.buffers().grow(input_, sizes_.input_bytes);
    if (stream_.read(input_) == 0) break;
  }
  input_.release();
  if (stream_.at_end()) return die();
  on_fed();
  loop_.at_turn_end(*this);
}

void Http2Session::feed(std::string_view bytes) {
  if (closing_ || ended_) return;
  const ssize_t taken = nghttp2_session_mem_recv(
      session_, reinterpret_cast<const std::uint8_t*>(bytes.data()), bytes.size());
  if (taken >= 0) return;
  if (taken == NGHTTP2_ERR_BAD_CLIENT_MAGIC) return end_session(NGHTTP2_PROTOCOL_ERROR);
  // Where nghttp2 blames the client without a frame to say so: too many CONTINUATION frames or
  // settings, or acknowledgements that the client does not read.
  end_for_flood(Http2Flood::kContinuations);
}

void Http2Session::on_turn_end() {
  if (dead_) return;
  if (more_) pump();
  if (dead_) return;
  flush();
  if (dead_) return;
  tell_drained();
  close_when_done();
}

void Http2Session::flush() {
  Buffer out;
  out_ = &out;
  stalled_ = false;
  for (;;) {
    if (stream_.pending_bytes() + out.size() >= sizes_.unsent_high) {
      stalled_ = true;
      break;
    }
    loop_.buffers().grow(out, out.has_memory() ? 0 : sizes_.out_bytes);
    out_full_ = false;
    const std::uint8_t* bytes = nullptr;
    const ssize_t count = nghttp2_session_mem_send(session_, &bytes);
    if (count < 0) {
      out_ = nullptr;
      return die();
    }
    if (count == 0 && !out_full_) break;
    gather({reinterpret_cast<const char*>(bytes), static_cast<std::size_t>(count)}, out);
  }
  emit(out);
  out_ = nullptr;
  stream_.flush();
  if (stream_.pending_bytes() > 0 && !write_timer_.armed()) watch_writes();
}

void Http2Session::gather(std::string_view frame, Buffer& out) {
  if (out_full_ || out.free_space().size() < frame.size()) emit(out);
  if (frame.size() <= out.free_space().size()) {
    out.append(frame);
  } else {
    stream_.write(frame);
  }
}

void Http2Session::emit(Buffer& out) {
  if (!out.empty()) stream_.write(out.view());
  out.clear();
}

bool Http2Session::has_room(std::size_t frame_bytes) {
  if (out_->free_space().size() >= frame_bytes) return true;
  out_full_ = true;
  return false;
}

void Http2Session::watch_writes() {
  written_mark_ = stream_.bytes_sent();
  write_timer_.arm(write_timeout());
}

// Streams time their own bytes; these have left their streams.
void Http2Session::on_write_timer() {
  if (stream_.pending_bytes() == 0) return;
  if (stream_.bytes_sent() != written_mark_) return watch_writes();
  count_write_timeout();
  stream_.abort();
  die();
}

void Http2Session::on_writable() {
  if (closing_) return close_when_done();
  if (!stalled_) return;
  more_ = true;
  loop_.at_turn_end(*this);
}

void Http2Session::close_when_done() {
  if (closing_) {
    if (stream_.pending_bytes() == 0) linger();
    return;
  }
  if (nghttp2_session_want_read(session_) != 0 || nghttp2_session_want_write(session_) != 0) return;
  closing_ = true;
  end_all_streams();
  on_closing();
  closing_timer_.arm(write_timeout());
  if (stream_.pending_bytes() == 0) linger();
}

void Http2Session::linger() {
  if (stream_.peer_half_closed()) return die();
  stream_.shutdown_write();
  closing_timer_.arm(kLinger);
}

void Http2Session::on_peer_half_closed() {
  if (!more_) die();
}

void Http2Session::on_stream_end(StreamEnd) { die(); }

bool Http2Session::ration(Http2Flood flood) {
  if (ration_of(flood).take(loop_.now())) return true;
  end_for_flood(flood);
  return false;
}

void Http2Session::end_for_flood(Http2Flood flood) {
  if (ended_) return;
  count_flood(flood);
  end_session(NGHTTP2_ENHANCE_YOUR_CALM);
}

void Http2Session::end_session(std::uint32_t code) {
  ended_ = true;
  nghttp2_session_terminate_session(session_, code);
  loop_.at_turn_end(*this);
}

void Http2Session::die() {
  if (std::exchange(dead_, true)) return;
  end_all_streams();
  write_timer_.cancel();
  closing_timer_.cancel();
  stream_.close();
  on_dead();
}

}  // namespace fairlead::net
