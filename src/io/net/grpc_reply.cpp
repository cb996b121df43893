// SPDX-License-Identifier: Apache-2.0
// The reply side of GrpcStream.
#include <algorithm>
#include <array>
#include <limits>
#include <utility>

#include "base/assert.h"
#include "io/net/grpc_connection.h"
#include "io/net/grpc_stream.h"

namespace fairlead::net {
namespace {

constexpr std::size_t kStatusTextMax = 1024;

// nghttp2 copies it, unless it is a constant.
nghttp2_nv pair_of(std::string_view name, std::string_view value,
                   std::uint8_t flags = NGHTTP2_NV_FLAG_NO_COPY_NAME) {
  const auto bytes = [](std::string_view text) {
    return reinterpret_cast<std::uint8_t*>(const_cast<char*>(text.data()));
  };
  return {bytes(name), bytes(value), name.size(), value.size(), flags};
}

nghttp2_nv constant(std::string_view name, std::string_view value) {
  return pair_of(name, value, NGHTTP2_NV_FLAG_NO_COPY_NAME | NGHTTP2_NV_FLAG_NO_COPY_VALUE);
}

std::string_view digits_of(GrpcStatus status) {
  static constexpr std::array<std::string_view, codec::kGrpcStatusCount> kDigits = {
      "0", "1", "2", "3", "4", "5", "6", "7", "8", "9", "10", "11", "12", "13", "14", "15", "16"};
  return kDigits[static_cast<std::size_t>(status)];
}

}  // namespace

void GrpcStream::send(std::string_view head, std::string_view body) {
  if (state_ != State::kRunning || overflowed_) return;
  const std::size_t size = head.size() + body.size();
  FAIRLEAD_ASSERT(size <= std::numeric_limits<std::uint32_t>::max());
  if (!std::exchange(owes_drained_, true)) connection_->note_written(*this);
  loop_.at_turn_end(*connection_);
  if (queued_ + size + codec::kGrpcPrefixBytes > server_.options_.pending_bytes_max) {
    overflowed_ = true;
    return;
  }
  ++server_.counters_.messages_sent;
  start();
  const auto prefix = codec::grpc_prefix(static_cast<std::uint32_t>(size));
  const bool borrows = body.size() >= kGrpcBorrowBytes;
  const std::size_t copied = prefix.size() + head.size() + (borrows ? 0 : body.size());
  loop_.buffers().grow(out_, copied);
  copy({prefix.data(), prefix.size()});
  copy(head);
  if (borrows) {
    pieces_.push_back({body.data(), body.size()});
    queued_ += body.size();
  } else {
    copy(body);
  }
  if (!charge()) overflowed_ = true;
  nghttp2_session_resume_data(connection_->session_, id_);
  watch_writes();
}

void GrpcStream::start() {
  if (std::exchange(started_, true)) return;
  const std::array pairs = {constant(":status", "200"),
                            constant("content-type", "application/grpc")};
  nghttp2_data_provider body{};
  body.source.ptr = this;
  body.read_callback = &GrpcStream::read_reply;
  nghttp2_submit_response(connection_->session_, id_, pairs.data(), pairs.size(), &body);
}

void GrpcStream::copy(std::string_view bytes) {
  if (bytes.empty()) return;
  out_.append(bytes);
  queued_ += bytes.size();
  if (pieces_.size() > first_piece_ && pieces_.back().borrowed == nullptr) {
    pieces_.back().size += bytes.size();
  } else {
    pieces_.push_back({nullptr, bytes.size()});
  }
}

// How many bytes can go; the status goes behind the last of them.
ssize_t GrpcStream::read_reply(nghttp2_session*, std::int32_t, std::uint8_t*, std::size_t length,
                               std::uint32_t* flags, nghttp2_data_source* source, void*) {
  GrpcStream& stream = *static_cast<GrpcStream*>(source->ptr);
  const std::size_t count = std::min(length, stream.queued_);
  // An empty frame would only cost both sides.
  if (count == 0) return NGHTTP2_ERR_DEFERRED;
  *flags |= NGHTTP2_DATA_FLAG_NO_COPY;
  if (count == stream.queued_ && stream.owes_status()) {
    *flags |= NGHTTP2_DATA_FLAG_EOF | NGHTTP2_DATA_FLAG_NO_END_STREAM;
    stream.submit_status();
  }
  return static_cast<ssize_t>(count);
}

// Needs the room in `to`.
void GrpcStream::take_pieces(std::size_t length, Buffer& to) {
  queued_ -= length;
  sent_bytes_ += length;
  while (length > 0) {
    Piece& piece = pieces_[first_piece_];
    const std::size_t count = std::min(length, piece.size);
    if (piece.borrowed != nullptr) {
      to.append({piece.borrowed, count});
      piece.borrowed += count;
    } else {
      to.append(out_.view().substr(0, count));
      out_.consume(count);
    }
    piece.size -= count;
    length -= count;
    if (piece.size == 0) ++first_piece_;
  }
  if (queued_ > 0) return;
  drop_pieces();
  charge();
}

void GrpcStream::drop_pieces() {
  out_.release();
  pieces_.clear();
  first_piece_ = 0;
  queued_ = 0;
}

bool GrpcStream::charge() {
  return server_.charge(charged_bytes_, message_.capacity() + out_.capacity());
}

void GrpcStream::finish(GrpcStatus status, std::string_view message) {
  if (state_ != State::kRunning || overflowed_) return;
  state_ = State::kFinishing;
  status_ = status;
  status_text_.clear();
  codec::append_grpc_message(status_text_, message.substr(0, kStatusTextMax));
  message_.release();
  charge();
  if (queued_ == 0) submit_status();
  loop_.at_turn_end(*connection_);
}

void GrpcStream::submit_status() {
  status_submitted_ = true;
  std::array<nghttp2_nv, 4> pairs;
  std::size_t count = 0;
  if (!started_) {
    pairs[count++] = constant(":status", "200");
    pairs[count++] = constant("content-type", "application/grpc");
  }
  pairs[count++] = constant("grpc-status", digits_of(status_));
  if (!status_text_.empty()) pairs[count++] = pair_of("grpc-message", status_text_);
  if (std::exchange(started_, true)) {
    nghttp2_submit_trailer(connection_->session_, id_, pairs.data(), count);
  } else {
    nghttp2_submit_response(connection_->session_, id_, pairs.data(), count, nullptr);
  }
  loop_.at_turn_end(*connection_);
}

void GrpcStream::on_status_sent() {
  if (status_submitted_) ++server_.counters_.finished[static_cast<std::size_t>(status_)];
  // The client need not go on (RFC 9113 §8.1).
  if (!request_done_) reset_stream(NGHTTP2_NO_ERROR);
  if (state_ != State::kFinishing) return;
  state_ = State::kOver;
  deadline_timer_.cancel();
  --server_.counters_.calls_running;
  std::exchange(observer_, nullptr)->on_done();
}

void GrpcStream::refuse(GrpcRefusal refusal, GrpcStatus status, std::string_view text) {
  server_.count(refusal);
  if (state_ == State::kRunning) return end_early(GrpcGone::kBadMessage, status, text);
  state_ = State::kOver;
  status_ = status;
  status_text_.clear();
  codec::append_grpc_message(status_text_, text.substr(0, kStatusTextMax));
  submit_status();
}

// In gRPC's terms, because what a client makes of REFUSED_STREAM says nothing of the reason.
void GrpcConnection::refuse_call(std::int32_t id) {
  static constexpr GrpcStatus kStatus = GrpcStatus::kResourceExhausted;
  const std::array pairs = {
      constant(":status", "200"), constant("content-type", "application/grpc"),
      constant("grpc-status", digits_of(kStatus)),
      constant("grpc-message", "The server runs as many calls as it may. Try again shortly.")};
  ++server_.counters_.finished[static_cast<std::size_t>(kStatus)];
  nghttp2_submit_response(session_, id, pairs.data(), pairs.size(), nullptr);
}

void GrpcStream::refuse_http(GrpcRefusal refusal, std::string_view status) {
  server_.count(refusal);
  state_ = State::kOver;
  started_ = true;
  const nghttp2_nv pair = constant(":status", status);
  nghttp2_submit_response(connection_->session_, id_, &pair, 1, nullptr);
  loop_.at_turn_end(*connection_);
}

void GrpcStream::end_early(GrpcGone gone, GrpcStatus status, std::string_view text) {
  if (queued_ == 0 && !status_submitted_ && gone != GrpcGone::kOverflow) {
    status_ = status;
    status_text_.clear();
    codec::append_grpc_message(status_text_, text);
    submit_status();
  } else {
    reset_stream(gone == GrpcGone::kOverflow ? NGHTTP2_ENHANCE_YOUR_CALM : NGHTTP2_CANCEL);
  }
  tell_gone(gone);
}

void GrpcStream::tell_gone(GrpcGone gone) {
  state_ = State::kOver;
  deadline_timer_.cancel();
  write_timer_.cancel();
  message_.release();
  drop_pieces();
  charge();
  --server_.counters_.calls_running;
  ++server_.counters_.gone[static_cast<std::size_t>(gone)];
  std::exchange(observer_, nullptr)->on_gone(gone);
}

void GrpcStream::on_deadline() {
  if (!live()) return;
  end_early(GrpcGone::kDeadline, GrpcStatus::kDeadlineExceeded, "The call's deadline has passed.");
}

// Armed once and asked again when it fires: arming for every message would cost more than it tells.
void GrpcStream::watch_writes() {
  if (write_timer_.armed()) return;
  sent_mark_ = sent_bytes_;
  write_timer_.arm(server_.options_.write_timeout);
}

void GrpcStream::on_write_timer() {
  if (queued_ == 0) return;
  if (sent_bytes_ != sent_mark_) return watch_writes();
  end_early(GrpcGone::kStalled, GrpcStatus::kCancelled, {});
}

void GrpcStream::reset_stream(std::uint32_t code) {
  nghttp2_submit_rst_stream(connection_->session_, NGHTTP2_FLAG_NONE, id_, code);
  loop_.at_turn_end(*connection_);
}

}  // namespace fairlead::net
