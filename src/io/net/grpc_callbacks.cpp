// SPDX-License-Identifier: Apache-2.0
// What nghttp2 calls: each function finds its GrpcStream and hands the event on. None of them may
// end the connection at once; that waits for the end of the turn.
#include <utility>

#include "io/net/grpc_connection.h"
#include "io/net/grpc_stream.h"

namespace fairlead::net {
namespace {

// All calls of a connection share it, and it is given back at once: as much as may be on its way.
constexpr std::int32_t kConnectionWindow = std::int32_t{64} << 20;
// A message in one frame need not be gathered.
constexpr std::uint32_t kFrameBytesMax = std::uint32_t{1} << 20;
constexpr std::size_t kFrameHeadBytes = 9;
// Room for the status that may follow a message, so that both are in one write: an Envoy that saw
// them apart could hand on a response that it should have let pass.
constexpr std::size_t kStatusBytes = 2048;

std::string_view view_of(const std::uint8_t* bytes, std::size_t size) {
  return {reinterpret_cast<const char*>(bytes), size};
}

}  // namespace

struct GrpcConnection::Callbacks {
  static GrpcConnection& connection(void* user) { return *static_cast<GrpcConnection*>(user); }
  // Null once the stream has ended here.
  static GrpcStream* stream(nghttp2_session* session, std::int32_t id) {
    return static_cast<GrpcStream*>(nghttp2_session_get_stream_user_data(session, id));
  }

  static int on_begin_headers(nghttp2_session* session, const nghttp2_frame* frame, void* user) {
    if (frame->headers.cat != NGHTTP2_HCAT_REQUEST) return 0;
    const std::int32_t id = frame->hd.stream_id;
    connection(user).head_open_ = true;
    nghttp2_session_set_stream_user_data(session, id, connection(user).begin_stream(id));
    return 0;
  }

  // Trailers are read over.
  static int on_header(nghttp2_session* session, const nghttp2_frame* frame,
                       const std::uint8_t* name, std::size_t name_size, const std::uint8_t* value,
                       std::size_t value_size, std::uint8_t, void*) {
    GrpcStream* const at = stream(session, frame->hd.stream_id);
    if (at == nullptr || frame->headers.cat != NGHTTP2_HCAT_REQUEST) return 0;
    at->add_header(view_of(name, name_size), view_of(value, value_size));
    return 0;
  }

  static int on_data(nghttp2_session* session, std::uint8_t, std::int32_t id,
                     const std::uint8_t* bytes, std::size_t size, void*) {
    nghttp2_session_consume_connection(session, size);
    GrpcStream* const at = stream(session, id);
    if (at != nullptr) at->add_data(view_of(bytes, size));
    return 0;
  }

  static int on_frame(nghttp2_session* session, const nghttp2_frame* frame, void* user) {
    GrpcConnection& at = connection(user);
    at.on_first_frame();
    // Nothing comes between the frames of a head (RFC 9113 §6.10).
    at.head_open_ = false;
    const bool acknowledges = (frame->hd.flags & NGHTTP2_FLAG_ACK) != 0;
    switch (frame->hd.type) {
      case NGHTTP2_HEADERS:
        on_headers(session, *frame, at);
        break;
      case NGHTTP2_DATA:
        on_data_end(session, *frame, at);
        break;
      case NGHTTP2_RST_STREAM:
        on_reset(session, *frame, at);
        break;
      case NGHTTP2_PING:
        if (acknowledges) {
          at.on_ping_answered(frame->ping.opaque_data);
        } else if (!std::exchange(at.pings_free_, false)) {
          at.ration(Http2Flood::kPings);
        }
        break;
      case NGHTTP2_SETTINGS:
        if (!acknowledges) at.ration(Http2Flood::kSettings);
        break;
      default:
        break;
    }
    return 0;
  }

  static void on_headers(nghttp2_session* session, const nghttp2_frame& frame, GrpcConnection& at) {
    GrpcStream* const of = stream(session, frame.hd.stream_id);
    const bool ends = (frame.hd.flags & NGHTTP2_FLAG_END_STREAM) != 0;
    const bool begins = frame.headers.cat == NGHTTP2_HCAT_REQUEST;
    if (of == nullptr) {
      if (begins) at.refuse_call(frame.hd.stream_id);
    } else if (begins) {
      of->on_head(ends ? GrpcStream::Follows::kNothing : GrpcStream::Follows::kMessages);
    } else if (ends) {
      of->on_half_close();
    }
  }

  static void on_data_end(nghttp2_session* session, const nghttp2_frame& frame,
                          GrpcConnection& at) {
    if ((frame.hd.flags & NGHTTP2_FLAG_END_STREAM) != 0) {
      if (GrpcStream* const of = stream(session, frame.hd.stream_id)) of->on_half_close();
    } else if (frame.hd.length == 0) {
      at.ration(Http2Flood::kEmptyFrames);
    }
  }

  static void on_reset(nghttp2_session* session, const nghttp2_frame& frame, GrpcConnection& at) {
    ++at.server_.counters_.resets;
    GrpcStream* const of = stream(session, frame.hd.stream_id);
    if (of == nullptr) return;
    of->reset_by_peer_ = true;
    if (of->started_) return;
    ++at.server_.counters_.unanswered_resets;
    at.ration(Http2Flood::kResets);
  }

  static int on_invalid_frame(nghttp2_session* session, const nghttp2_frame* frame, int error,
                              void* user) {
    if (frame->hd.type == NGHTTP2_HEADERS) connection(user).head_open_ = false;
    // A client that has not read yet how many calls it may make at a time, such as Envoy on a new
    // connection, did nothing wrong; one that never does is ended for it all the same.
    if (error == NGHTTP2_ERR_REFUSED_STREAM) {
      connection(user).server_.count(GrpcRefusal::kTooManyCalls);
      connection(user).ration(Http2Flood::kStreamErrors);
      return 0;
    }
    if (GrpcStream* const of = stream(session, frame->hd.stream_id)) of->blamed_ = true;
    connection(user).on_stream_error();
    return 0;
  }

  static int on_stream_close(nghttp2_session* session, std::int32_t id, std::uint32_t, void* user) {
    GrpcStream* const at = stream(session, id);
    if (at == nullptr) return 0;
    // nghttp2 resets some streams, as that whose DATA is not its content-length, without a word.
    if (at->live() && !at->reset_by_peer_ && !at->blamed_) connection(user).on_stream_error();
    at->on_closed(at->reset_by_peer_ ? GrpcGone::kReset : GrpcGone::kBadMessage);
    connection(user).end_stream(*at);
    return 0;
  }

  static int on_frame_sent(nghttp2_session* session, const nghttp2_frame* frame, void* user) {
    if (frame->hd.type == NGHTTP2_GOAWAY) {
      connection(user).on_goaway_sent(frame->goaway.error_code);
    } else if (frame->hd.type == NGHTTP2_DATA) {
      connection(user).pings_free_ = true;
    } else if (frame->hd.type == NGHTTP2_HEADERS) {
      connection(user).pings_free_ = true;
      if ((frame->hd.flags & NGHTTP2_FLAG_END_STREAM) == 0) return 0;
      if (GrpcStream* const of = stream(session, frame->hd.stream_id)) {
        of->on_status_sent();
      } else if (nghttp2_session_get_stream_remote_close(session, frame->hd.stream_id) == 0) {
        // A refused call: the client need not go on (RFC 9113 §8.1).
        nghttp2_submit_rst_stream(session, NGHTTP2_FLAG_NONE, frame->hd.stream_id,
                                  NGHTTP2_NO_ERROR);
      }
    }
    return 0;
  }

  static int send_data(nghttp2_session*, nghttp2_frame*, const std::uint8_t* head,
                       std::size_t length, nghttp2_data_source* source, void* user) {
    GrpcConnection& at = connection(user);
    GrpcStream& of = *static_cast<GrpcStream*>(source->ptr);
    // The frame was begun in a turn before, and its call has ended since.
    if (of.queued_ < length) return NGHTTP2_ERR_TEMPORAL_CALLBACK_FAILURE;
    if (!at.has_room(kFrameHeadBytes + length + kStatusBytes)) return NGHTTP2_ERR_WOULDBLOCK;
    at.out_->append(view_of(head, kFrameHeadBytes));
    of.take_pieces(length, *at.out_);
    return 0;
  }

  static void set_all(nghttp2_session_callbacks* calls) {
    nghttp2_session_callbacks_set_on_begin_headers_callback(calls, &on_begin_headers);
    nghttp2_session_callbacks_set_on_header_callback(calls, &on_header);
    nghttp2_session_callbacks_set_on_data_chunk_recv_callback(calls, &on_data);
    nghttp2_session_callbacks_set_on_frame_recv_callback(calls, &on_frame);
    nghttp2_session_callbacks_set_on_invalid_frame_recv_callback(calls, &on_invalid_frame);
    nghttp2_session_callbacks_set_on_stream_close_callback(calls, &on_stream_close);
    nghttp2_session_callbacks_set_on_frame_send_callback(calls, &on_frame_sent);
    nghttp2_session_callbacks_set_send_data_callback(calls, &send_data);
  }
};

Result<void> GrpcConnection::make_session() {
  const GrpcServerOptions& options = server_.options_;
  const nghttp2_settings_entry settings[] = {
      {NGHTTP2_SETTINGS_MAX_CONCURRENT_STREAMS, options.streams_max},
      {NGHTTP2_SETTINGS_INITIAL_WINDOW_SIZE, options.stream_window},
      {NGHTTP2_SETTINGS_MAX_FRAME_SIZE, kFrameBytesMax},
      {NGHTTP2_SETTINGS_MAX_HEADER_LIST_SIZE, options.head_bytes_max},
      {NGHTTP2_SETTINGS_NO_RFC7540_PRIORITIES, 1},
  };
  return Http2Session::make_session(&Callbacks::set_all, this, settings, kConnectionWindow);
}

}  // namespace fairlead::net
