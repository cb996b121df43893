// SPDX-License-Identifier: Apache-2.0
#include "lab/engine/realtime.h"

#include <algorithm>
#include <nlohmann/json.hpp>
#include <utility>

#include "core/codec/json_text.h"
#include "core/tokens/estimate.h"
#include "lab/engine/output_text.h"

namespace fairlead::engine {
namespace {

using Kind = codec::WebSocketFrame::Kind;

constexpr std::size_t kReadBytes = 16 * 1024;
constexpr std::uint16_t kNormalClosure = 1000;
constexpr std::uint16_t kUnsupported = 1003;

}  // namespace

RealtimeSession::RealtimeSession(net::ServerExchange& exchange, RealtimeSettings settings,
                                 std::function<void(RealtimeSession&)> on_end)
    : exchange_(&exchange),
      settings_(std::move(settings)),
      on_end_(std::move(on_end)),
      step_(exchange.loop(), [this] { say_token(); }) {
  exchange.set_observer(this);
  const std::string accept =
      codec::websocket_accept(codec::header_value(exchange.head().headers, "sec-websocket-key"));
  const codec::Http1Header header{"sec-websocket-accept", accept};
  exchange.upgrade({&header, 1});
  std::string hello = R"({"type":"session.created","session":{"model":)";
  codec::append_json_string(hello, settings_.model);
  send_text(hello + "}}");
  step_.arm(Duration{});  // Reads what the client sent ahead, once the owner has this session.
}

RealtimeSession::~RealtimeSession() {
  if (exchange_ != nullptr) exchange_->abort();
}

void RealtimeSession::on_client_gone() { end(); }

void RealtimeSession::read() {
  while (exchange_ != nullptr && left_ == 0) {
    if (take_frames()) continue;
    if (exchange_ == nullptr || left_ > 0) return;
    exchange_->loop().buffers().grow(input_, kReadBytes);
    if (exchange_->read_upgraded(input_) > 0) continue;
    if (!exchange_->upgraded_input_ended()) return;
    // No closing handshake: it just left.
    exchange_->finish();
    return end();
  }
}

// True when a frame was taken.
bool RealtimeSession::take_frames() {
  codec::WebSocketFrame frame;
  const codec::FrameRead read = codec::read_client_frame(input_.view(), kFrameBytesMax, frame);
  switch (read.progress) {
    case codec::FrameProgress::kNeedMore:
      return false;
    case codec::FrameProgress::kError:
      close(read.close_code);
      return false;
    case codec::FrameProgress::kFrame:
      break;
  }
  input_.consume(read.consumed);
  take(frame);
  return true;
}

void RealtimeSession::take(const codec::WebSocketFrame& frame) {
  switch (frame.kind) {
    case Kind::kText:
      return take_text(frame.payload);
    case Kind::kBinary:
      return close(kUnsupported);
    case Kind::kClose:
      return close(kNormalClosure);
    case Kind::kPing:
      return send(Kind::kPong, frame.payload);
    case Kind::kPong:
      return;
  }
}

void RealtimeSession::take_text(const std::string& text) {
  const auto json = nlohmann::json::parse(text, nullptr, false);
  if (json.is_object() && json.value("type", nlohmann::json()) == "session.update") {
    const auto model = json.find("model");
    if (model != json.end() &&
        (!model->is_string() || !settings_.knows_model(model->get_ref<const std::string&>()))) {
      return send_text(R"({"type":"error","error":{"code":"model_not_found"}})");
    }
    return send_text(R"({"type":"session.updated"})");
  }
  left_ = static_cast<std::uint32_t>(
      std::clamp<std::uint64_t>(tokens::estimate_tokens(text.size()), 1, kTokensMax));
  step_.arm(settings_.step);
}

void RealtimeSession::say_token() {
  if (exchange_ == nullptr) return;
  if (left_ > 0) {
    std::string event = R"({"type":"response.text.delta","delta":")";
    append_output_text(event, settings_.seed, said_++, 1);
    send_text(event + "\"}");
    if (--left_ > 0) return step_.arm(settings_.step);
    send_text(R"({"type":"response.done"})");
  }
  read();
}

void RealtimeSession::send_text(std::string_view text) { send(Kind::kText, text); }

void RealtimeSession::send(Kind kind, std::string_view payload) {
  frame_.clear();
  codec::append_server_frame(frame_, kind, payload);
  exchange_->write_raw(frame_);
}

void RealtimeSession::close(std::uint16_t code) {
  if (exchange_ == nullptr) return;
  send(Kind::kClose, codec::close_payload(code));
  exchange_->finish();
  end();
}

void RealtimeSession::end() {
  exchange_ = nullptr;
  step_.cancel();
  on_end_(*this);
}

}  // namespace fairlead::engine
