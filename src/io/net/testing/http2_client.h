// SPDX-License-Identifier: Apache-2.0
// For tests: an HTTP/2 client on nghttp2's client side that does as it is told, hostile things too.
// Threads: one.
#pragma once

#include <nghttp2/nghttp2.h>

#include <algorithm>
#include <map>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "io/net/testing/loop_fixture.h"

namespace fairlead::net::testing {

using HeaderList = std::vector<std::pair<std::string, std::string>>;

class Http2Client {
 public:
  struct Answer {
    int status = 0;
    std::map<std::string, std::string> headers;
    std::string body;
    bool ended = false;   // END_STREAM.
    bool closed = false;  // No such stream any more.
    std::uint32_t reset = 0;
  };
  struct Settings {
    std::uint32_t stream_window = 65'535;
    bool takes_windows = true;  // Gives bytes back to the window as they come.
  };

  Http2Client(EventLoop& loop, const SocketAddress& address)
      : Http2Client(loop, address, Settings{}) {}
  Http2Client(EventLoop& loop, const SocketAddress& address, Settings settings)
      : loop_(loop), raw_(loop, address), settings_(settings) {
    nghttp2_session_callbacks* calls = nullptr;
    nghttp2_session_callbacks_new(&calls);
    nghttp2_session_callbacks_set_on_header_callback(calls, on_header);
    nghttp2_session_callbacks_set_on_data_chunk_recv_callback(calls, on_data);
    nghttp2_session_callbacks_set_on_frame_recv_callback(calls, on_frame);
    nghttp2_session_callbacks_set_on_stream_close_callback(calls, on_close);
    nghttp2_option* option = nullptr;
    nghttp2_option_new(&option);
    nghttp2_option_set_no_auto_window_update(option, 1);
    nghttp2_option_set_no_http_messaging(option, 1);
    nghttp2_session_client_new2(&session_, calls, this, option);
    nghttp2_option_del(option);
    nghttp2_session_callbacks_del(calls);
    const nghttp2_settings_entry entry{NGHTTP2_SETTINGS_INITIAL_WINDOW_SIZE,
                                       settings.stream_window};
    nghttp2_submit_settings(session_, NGHTTP2_FLAG_NONE, &entry, 1);
    // Only streams hold the server back in these tests.
    nghttp2_session_set_local_window_size(session_, NGHTTP2_FLAG_NONE, 0, 64 << 20);
  }
  ~Http2Client() { nghttp2_session_del(session_); }
  Http2Client(const Http2Client&) = delete;
  Http2Client& operator=(const Http2Client&) = delete;

  static HeaderList get(std::string_view path) {
    return {{":method", "GET"},
            {":scheme", "http"},
            {":authority", "test"},
            {":path", std::string(path)}};
  }
  static HeaderList post(std::string_view path) {
    HeaderList headers = get(path);
    headers[0].second = "POST";
    return headers;
  }

  // Returns the stream. The body's bytes are kept here; without `whole` the request stays open.
  std::int32_t request(const HeaderList& headers, std::string body = {}, bool whole = true) {
    std::vector<nghttp2_nv> pairs;
    for (const auto& [name, value] : headers) {
      pairs.push_back({bytes(name), bytes(value), name.size(), value.size(), 0});
    }
    const bool has_body = !body.empty() || !whole;
    bodies_.push_back({std::move(body), 0, whole});
    nghttp2_data_provider provider{};
    provider.source.fd = static_cast<int>(bodies_.size() - 1);
    provider.read_callback = read_body;
    const std::int32_t id = nghttp2_submit_request(session_, nullptr, pairs.data(), pairs.size(),
                                                   has_body ? &provider : nullptr, nullptr);
    answers_[id] = {};
    body_of_[id] = bodies_.size() - 1;
    return id;
  }
  // More of the body of a request that is open.
  void append(std::int32_t id, std::string_view text, bool whole = false) {
    Body& body = bodies_[body_of_[id]];
    body.text.append(text);
    body.whole = whole;
    nghttp2_session_resume_data(session_, id);
  }
  void reset(std::int32_t id) {
    nghttp2_submit_rst_stream(session_, NGHTTP2_FLAG_NONE, id, NGHTTP2_CANCEL);
  }
  // Sends bytes that no client should.
  void send_raw(std::string_view bytes) {
    pump();
    raw_.send(bytes);
  }

  // Moves bytes both ways.
  void pump() {
    const std::string got = raw_.take();
    if (!got.empty()) {
      nghttp2_session_mem_recv(session_, reinterpret_cast<const std::uint8_t*>(got.data()),
                               got.size());
    }
    const std::uint8_t* data = nullptr;
    for (;;) {
      const ssize_t count = nghttp2_session_mem_send(session_, &data);
      if (count <= 0) break;
      raw_.send({reinterpret_cast<const char*>(data), static_cast<std::size_t>(count)});
    }
  }
  bool run_until(const std::function<bool()>& effect) {
    return testing::run_until(loop_, [&] {
      pump();
      return effect();
    });
  }
  // The answer, when it is whole or its stream is gone.
  Answer& wait(std::int32_t id) {
    run_until([&] { return answers_[id].closed || raw_.ended(); });
    return answers_[id];
  }
  Answer& answer(std::int32_t id) { return answers_[id]; }
  // Takes what a stream received off its window.
  void give_back(std::int32_t id, std::size_t count) {
    nghttp2_session_consume(session_, id, count);
  }

  bool ended() const { return raw_.ended(); }
  bool got_goaway() const { return goaway_; }
  std::uint32_t goaway_code() const { return goaway_code_; }
  RawClient& raw() { return raw_; }
  nghttp2_session* session() { return session_; }

 private:
  struct Body {
    std::string text;
    std::size_t sent = 0;
    bool whole = true;
  };
  static std::uint8_t* bytes(const std::string& text) {
    return reinterpret_cast<std::uint8_t*>(const_cast<char*>(text.data()));
  }
  static Http2Client& self(void* user) { return *static_cast<Http2Client*>(user); }

  static ssize_t read_body(nghttp2_session*, std::int32_t, std::uint8_t* out, std::size_t length,
                           std::uint32_t* flags, nghttp2_data_source* source, void* user) {
    Body& body = self(user).bodies_[static_cast<std::size_t>(source->fd)];
    const std::size_t count = std::min(length, body.text.size() - body.sent);
    std::copy_n(body.text.data() + body.sent, count, out);
    body.sent += count;
    if (body.sent == body.text.size() && body.whole) *flags |= NGHTTP2_DATA_FLAG_EOF;
    if (count == 0 && !body.whole) return NGHTTP2_ERR_DEFERRED;
    return static_cast<ssize_t>(count);
  }
  static int on_header(nghttp2_session*, const nghttp2_frame* frame, const std::uint8_t* name,
                       std::size_t name_size, const std::uint8_t* value, std::size_t value_size,
                       std::uint8_t, void* user) {
    Answer& to = self(user).answers_[frame->hd.stream_id];
    const std::string key(reinterpret_cast<const char*>(name), name_size);
    const std::string text(reinterpret_cast<const char*>(value), value_size);
    if (key == ":status") to.status = std::stoi(text);
    to.headers[key] = text;
    return 0;
  }
  static int on_data(nghttp2_session* session, std::uint8_t, std::int32_t id,
                     const std::uint8_t* data, std::size_t size, void* user) {
    self(user).answers_[id].body.append(reinterpret_cast<const char*>(data), size);
    nghttp2_session_consume_connection(session, size);
    if (self(user).settings_.takes_windows) nghttp2_session_consume_stream(session, id, size);
    return 0;
  }
  static int on_frame(nghttp2_session*, const nghttp2_frame* frame, void* user) {
    if (frame->hd.type == NGHTTP2_GOAWAY) {
      self(user).goaway_ = true;
      self(user).goaway_code_ = frame->goaway.error_code;
    } else if (frame->hd.stream_id != 0 && (frame->hd.flags & NGHTTP2_FLAG_END_STREAM) != 0) {
      self(user).answers_[frame->hd.stream_id].ended = true;
    }
    return 0;
  }
  static int on_close(nghttp2_session*, std::int32_t id, std::uint32_t code, void* user) {
    self(user).answers_[id].closed = true;
    self(user).answers_[id].reset = code;
    return 0;
  }

  EventLoop& loop_;
  RawClient raw_;
  Settings settings_;
  nghttp2_session* session_ = nullptr;
  std::vector<Body> bodies_;
  std::map<std::int32_t, std::size_t> body_of_;
  std::map<std::int32_t, Answer> answers_;
  bool goaway_ = false;
  std::uint32_t goaway_code_ = 0;
};

}  // namespace fairlead::net::testing
