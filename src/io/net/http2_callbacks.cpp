// SPDX-License-Identifier: Apache-2.0
// What nghttp2 calls: each function finds its Http2Stream and hands the event on. None of them may
// end the connection at once; that waits for the end of the turn.
#include <algorithm>

#include "io/net/http2_connection.h"
#include "io/net/http2_stream.h"

namespace fairlead::net {
namespace {

// A body of 1 MiB goes without waiting for us; all bodies of a connection share 4 MiB.
constexpr std::uint32_t kStreamWindow = std::uint32_t{1} << 20;
constexpr std::int32_t kConnectionWindow = std::int32_t{4} << 20;
constexpr std::size_t kFrameHeadBytes = 9;

std::string_view view_of(const std::uint8_t* bytes, std::size_t size) {
  return {reinterpret_cast<const char*>(bytes), size};
}

}  // namespace

struct Http2Connection::Callbacks {
  static Http2Connection& connection(void* user) { return *static_cast<Http2Connection*>(user); }
  // Null once the stream has ended here.
  static Http2Stream* stream(nghttp2_session* session, std::int32_t id) {
    return static_cast<Http2Stream*>(nghttp2_session_get_stream_user_data(session, id));
  }

  static int on_begin_headers(nghttp2_session* session, const nghttp2_frame* frame, void* user) {
    if (frame->headers.cat != NGHTTP2_HCAT_REQUEST) return 0;
    const std::int32_t id = frame->hd.stream_id;
    nghttp2_session_set_stream_user_data(session, id, connection(user).begin_stream(id));
    return 0;
  }

  // Trailers are read over.
  static int on_header(nghttp2_session* session, const nghttp2_frame* frame,
                       const std::uint8_t* name, std::size_t name_size, const std::uint8_t* value,
                       std::size_t value_size, std::uint8_t, void*) {
    Http2Stream* const at = stream(session, frame->hd.stream_id);
    if (at == nullptr || frame->headers.cat != NGHTTP2_HCAT_REQUEST) return 0;
    at->add_header(view_of(name, name_size), view_of(value, value_size));
    return 0;
  }

  static int on_invalid_header(nghttp2_session* session, const nghttp2_frame* frame,
                               const std::uint8_t*, std::size_t, const std::uint8_t*, std::size_t,
                               std::uint8_t, void*) {
    Http2Stream* const at = stream(session, frame->hd.stream_id);
    if (at != nullptr) at->on_invalid_header();
    return 0;
  }

  static int on_data(nghttp2_session* session, std::uint8_t, std::int32_t id,
                     const std::uint8_t* bytes, std::size_t size, void*) {
    Http2Stream* const at = stream(session, id);
    if (at != nullptr) {
      at->add_body(view_of(bytes, size));
    } else {
      nghttp2_session_consume_connection(session, size);
    }
    return 0;
  }

  static int on_frame(nghttp2_session* session, const nghttp2_frame* frame, void* user) {
    Http2Connection& at = connection(user);
    const bool acknowledges = (frame->hd.flags & NGHTTP2_FLAG_ACK) != 0;
    const bool ends = (frame->hd.flags & NGHTTP2_FLAG_END_STREAM) != 0;
    switch (frame->hd.type) {
      case NGHTTP2_HEADERS: {
        Http2Stream* const of = stream(session, frame->hd.stream_id);
        if (of == nullptr) break;
        if (frame->headers.cat == NGHTTP2_HCAT_REQUEST) {
          of->on_head(ends ? Http2Stream::Follows::kNothing : Http2Stream::Follows::kBody);
        } else if (ends) {
          of->on_request_end();
        }
        break;
      }
      case NGHTTP2_DATA:
        if (Http2Stream* const of = stream(session, frame->hd.stream_id); of != nullptr && ends) {
          of->on_request_end();
        } else if (frame->hd.length == 0) {
          at.ration(Http2Flood::kEmptyFrames);
        }
        break;
      case NGHTTP2_RST_STREAM:
        ++at.server_.counters_.http2_resets;
        if (Http2Stream* const of = stream(session, frame->hd.stream_id)) of->reset_by_peer_ = true;
        at.ration(Http2Flood::kResets);
        break;
      case NGHTTP2_PING:
        if (!acknowledges) at.ration(Http2Flood::kPings);
        break;
      case NGHTTP2_SETTINGS:
        if (!acknowledges) at.ration(Http2Flood::kSettings);
        break;
      default:
        break;
    }
    return 0;
  }

  static int on_invalid_frame(nghttp2_session* session, const nghttp2_frame* frame, int error,
                              void* user) {
    // A client that has not read yet how many streams it may open did nothing wrong; one that never
    // reads it is ended for it all the same.
    if (error == NGHTTP2_ERR_REFUSED_STREAM) {
      ++connection(user).server_.counters_.http2_streams_refused;
      connection(user).ration(Http2Flood::kStreamErrors);
      return 0;
    }
    if (Http2Stream* const of = stream(session, frame->hd.stream_id)) of->blamed_ = true;
    connection(user).on_stream_error();
    return 0;
  }

  static int on_stream_close(nghttp2_session* session, std::int32_t id, std::uint32_t code,
                             void* user) {
    Http2Stream* const at = stream(session, id);
    if (at == nullptr) return 0;
    // nghttp2 resets some streams, as that whose DATA is not its content-length, without a word;
    // nobody else here gives this reason.
    const bool in_silence = code == NGHTTP2_PROTOCOL_ERROR && !at->reset_by_peer_ && !at->blamed_;
    if (in_silence) connection(user).on_stream_error();
    at->on_closed();
    connection(user).end_stream(*at);
    return 0;
  }

  // A response that is whole before its request is: the client need not go on (RFC 9113 §8.1).
  static int on_frame_sent(nghttp2_session* session, const nghttp2_frame* frame, void*) {
    if (frame->hd.type != NGHTTP2_DATA && frame->hd.type != NGHTTP2_HEADERS) return 0;
    if ((frame->hd.flags & NGHTTP2_FLAG_END_STREAM) == 0) return 0;
    Http2Stream* const at = stream(session, frame->hd.stream_id);
    if (at != nullptr && !at->request_done_) {
      nghttp2_submit_rst_stream(session, NGHTTP2_FLAG_NONE, at->id_, NGHTTP2_NO_ERROR);
    }
    return 0;
  }

  static int send_data(nghttp2_session*, nghttp2_frame*, const std::uint8_t* head,
                       std::size_t length, nghttp2_data_source* source, void* user) {
    Http2Connection& at = connection(user);
    Http2Stream& of = *static_cast<Http2Stream*>(source->ptr);
    if (!at.has_room(kFrameHeadBytes + length)) return NGHTTP2_ERR_WOULDBLOCK;
    at.out_->append(view_of(head, kFrameHeadBytes));
    at.out_->append(of.out_.view().substr(0, length));
    of.out_.consume(length);
    if (of.out_.empty()) of.out_.release();
    of.sent_bytes_ += length;
    return 0;
  }

  static void set_all(nghttp2_session_callbacks* calls) {
    nghttp2_session_callbacks_set_on_begin_headers_callback(calls, &on_begin_headers);
    nghttp2_session_callbacks_set_on_header_callback(calls, &on_header);
    nghttp2_session_callbacks_set_on_invalid_header_callback(calls, &on_invalid_header);
    nghttp2_session_callbacks_set_on_data_chunk_recv_callback(calls, &on_data);
    nghttp2_session_callbacks_set_on_frame_recv_callback(calls, &on_frame);
    nghttp2_session_callbacks_set_on_invalid_frame_recv_callback(calls, &on_invalid_frame);
    nghttp2_session_callbacks_set_on_stream_close_callback(calls, &on_stream_close);
    nghttp2_session_callbacks_set_on_frame_send_callback(calls, &on_frame_sent);
    nghttp2_session_callbacks_set_send_data_callback(calls, &send_data);
  }
};

ssize_t Http2Connection::read_response(nghttp2_session*, std::int32_t, std::uint8_t*,
                                       std::size_t length, std::uint32_t* flags,
                                       nghttp2_data_source* source, void*) {
  const Http2Stream& stream = *static_cast<const Http2Stream*>(source->ptr);
  const std::size_t count = std::min(length, stream.out_.size());
  if (count == 0 && !stream.response_done_) return NGHTTP2_ERR_DEFERRED;
  *flags |= NGHTTP2_DATA_FLAG_NO_COPY;
  if (stream.response_done_ && count == stream.out_.size()) *flags |= NGHTTP2_DATA_FLAG_EOF;
  return static_cast<ssize_t>(count);
}

Result<void> Http2Connection::make_session() {
  const Http1ServerOptions& options = server_.options_;
  const nghttp2_settings_entry settings[] = {
      {NGHTTP2_SETTINGS_MAX_CONCURRENT_STREAMS, options.http2_streams_max},
      {NGHTTP2_SETTINGS_INITIAL_WINDOW_SIZE, kStreamWindow},
      {NGHTTP2_SETTINGS_MAX_HEADER_LIST_SIZE, static_cast<std::uint32_t>(options.head.head_bytes)},
      {NGHTTP2_SETTINGS_NO_RFC7540_PRIORITIES, 1},
  };
  return Http2Session::make_session(&Callbacks::set_all, this, settings, kConnectionWindow);
}

}  // namespace fairlead::net
