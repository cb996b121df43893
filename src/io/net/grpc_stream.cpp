// SPDX-License-Identifier: Apache-2.0
// Reading calls; grpc_reply.cpp answers them.
#include "io/net/grpc_stream.h"

#include <fmt/format.h>

#include <algorithm>
#include <utility>

#include "base/assert.h"
#include "io/net/grpc_connection.h"

namespace fairlead::net {
namespace {

// Memory for a message's parts before they come, on the word of its prefix.
constexpr std::size_t kFirstMessageBytes = 64 * 1024;
// What RFC 9113 §6.5.2 adds to a header.
constexpr std::size_t kHeaderBytes = 32;

bool is_grpc_type(std::string_view value) {
  static constexpr std::string_view kType = "application/grpc";
  if (!value.starts_with(kType)) return false;
  value.remove_prefix(kType.size());
  return value.empty() || value.front() == '+' || value.front() == ';';
}

}  // namespace

GrpcStream::GrpcStream(GrpcServer& server)
    : server_(server),
      loop_(server.loop_),
      deadline_timer_(loop_, [this] { on_deadline(); }),
      write_timer_(loop_, [this] { on_write_timer(); }) {}

const SocketAddress& GrpcStream::peer() const { return connection_->peer_; }

void GrpcStream::begin(GrpcConnection& connection, std::int32_t id) {
  connection_ = &connection;
  id_ = id;
  state_ = State::kHead;
  is_post_ = is_grpc_ = timeout_malformed_ = request_done_ = reset_by_peer_ = blamed_ = false;
  started_ = status_submitted_ = held_ = owes_drained_ = overflowed_ = false;
  head_bytes_ = held_bytes_ = 0;
  sent_bytes_ = 0;
  path_.clear();
  reader_.reset(server_.options_.message_bytes_max);
  received_at_ = loop_.now();
  deadline_ = Time::max();
}

void GrpcStream::add_header(std::string_view name, std::string_view value) {
  head_bytes_ += name.size() + value.size() + kHeaderBytes;
  if (head_bytes_ > server_.options_.head_bytes_max) return;
  if (name == ":path") {
    path_ = value;
  } else if (name == ":method") {
    is_post_ = value == "POST";
  } else if (name == "content-type") {
    is_grpc_ = is_grpc_type(value);
  } else if (name == "grpc-timeout") {
    const auto timeout = codec::parse_grpc_timeout(value);
    timeout_malformed_ = !timeout.has_value();
    if (timeout) deadline_ = received_at_ + *timeout;
  }
}

// Whether the headers are those of a call; if not, the client is told.
bool GrpcStream::acceptable() {
  if (head_bytes_ > server_.options_.head_bytes_max) {
    refuse(GrpcRefusal::kHeadTooLarge, GrpcStatus::kResourceExhausted,
           "The call's headers are larger than this server accepts.");
  } else if (!is_post_) {
    refuse_http(GrpcRefusal::kNotPost, "405");
  } else if (!is_grpc_) {
    refuse_http(GrpcRefusal::kNotGrpc, "415");
  } else if (timeout_malformed_) {
    refuse(GrpcRefusal::kBadTimeout, GrpcStatus::kInternal, "grpc-timeout is malformed.");
  } else {
    return true;
  }
  return false;
}

void GrpcStream::on_head(Follows follows) {
  request_done_ = follows == Follows::kNothing;
  if (!acceptable()) return;
  state_ = State::kRunning;
  ++server_.counters_.calls;
  ++server_.counters_.calls_running;
  observer_ = server_.handler_.on_call(*this);
  if (observer_ == nullptr) {
    FAIRLEAD_ASSERT(!started_);
    state_ = State::kHead;
    --server_.counters_.calls_running;
    return refuse(GrpcRefusal::kUnknownMethod, GrpcStatus::kUnimplemented,
                  fmt::format("There is no method {} here.", path_));
  }
  if (state_ != State::kRunning) return;
  if (deadline_ != Time::max()) deadline_timer_.arm_at(deadline_);
  if (request_done_) observer_->on_half_close();
}

void GrpcStream::add_data(std::string_view bytes) {
  // A window that nobody reads from any more stays shut.
  if (state_ != State::kRunning) return;
  if (held_) {
    held_bytes_ += bytes.size();
  } else {
    nghttp2_session_consume_stream(connection_->session_, id_, bytes.size());
  }
  deliver(bytes);
}

void GrpcStream::resume() {
  held_ = false;
  if (state_ != State::kRunning || held_bytes_ == 0) return;
  nghttp2_session_consume_stream(connection_->session_, id_, std::exchange(held_bytes_, 0));
  loop_.at_turn_end(*connection_);
}

void GrpcStream::deliver(std::string_view bytes) {
  using Kind = codec::GrpcFrameReader::Kind;
  while (!bytes.empty() && state_ == State::kRunning) {
    const codec::GrpcFrameReader::Step step = reader_.next(bytes);
    if (step.kind == Kind::kError) return refuse_frame();
    if (step.kind == Kind::kMore) continue;
    if (step.kind == Kind::kWhole) {
      ++server_.counters_.messages_received;
      observer_->on_message(step.bytes);
      continue;
    }
    if (!store(step.bytes)) return;
    if (step.kind == Kind::kPart) continue;
    ++server_.counters_.messages_received;
    const Buffer whole = std::move(message_);
    charge();
    observer_->on_message(whole.view());
  }
}

// Stores the next part of a message; false when the call was ended instead.
bool GrpcStream::store(std::string_view bytes) {
  if (message_.free_space().size() < bytes.size() || !message_.has_memory()) {
    // Doubling keeps the copies linear in the message; what is announced costs the client nothing.
    const std::size_t left = reader_.message_size() - message_.size();
    const std::size_t more = std::min(left, std::max(message_.size(), kFirstMessageBytes));
    loop_.buffers().grow(message_, std::max(more, bytes.size()));
  }
  message_.append(bytes);
  if (charge()) return true;
  refuse(GrpcRefusal::kOutOfMemory, GrpcStatus::kResourceExhausted,
         "The server holds as many bytes as it may. Try again shortly.");
  return false;
}

void GrpcStream::on_half_close() {
  if (std::exchange(request_done_, true) || state_ != State::kRunning) return;
  if (!reader_.at_boundary()) {
    return refuse(GrpcRefusal::kTruncatedMessage, GrpcStatus::kInternal,
                  "The call's last message is not complete.");
  }
  observer_->on_half_close();
}

void GrpcStream::refuse_frame() {
  switch (reader_.error()) {
    case codec::GrpcFrameError::kCompressed:
      return refuse(GrpcRefusal::kCompressed, GrpcStatus::kUnimplemented,
                    "This server reads no compressed messages.");
    case codec::GrpcFrameError::kTooLarge:
      return refuse(GrpcRefusal::kMessageTooLarge, GrpcStatus::kResourceExhausted,
                    fmt::format("A message has {} bytes; this server accepts {}.",
                                reader_.message_size(), server_.options_.message_bytes_max));
    default:
      return refuse(GrpcRefusal::kBadFrame, GrpcStatus::kInternal,
                    "What comes before a message is no gRPC prefix.");
  }
}

// nghttp2 has no such stream any more.
void GrpcStream::on_closed(GrpcGone gone) {
  if (live()) tell_gone(gone);
}

void GrpcStream::release() {
  FAIRLEAD_ASSERT(!live());
  state_ = State::kFree;
  deadline_timer_.cancel();
  write_timer_.cancel();
  connection_ = nullptr;
  observer_ = nullptr;
  message_.release();
  drop_pieces();
  charge();
  server_.release_call();
}

}  // namespace fairlead::net
