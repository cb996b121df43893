// SPDX-License-Identifier: Apache-2.0
// RecordingPort: an owner of an ExtProcStream for tests. Keeps what the stream said, decides at
// once or when told, and checks the port's contract: bytes lent to it stay as they are until
// drained, and nothing comes behind an end. Threads: one owner.
#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/assert.h"
#include "core/exchange/extproc_stream.h"

namespace fairlead::exchange::testing {

class RecordingPort final : public ExtProcPort {
 public:
  enum class Decide { kAtOnce, kLater };

  explicit RecordingPort(Decide decide = Decide::kAtOnce) : decide_(decide) {}
  void attach(ExtProcStream& stream) { stream_ = &stream; }

  void send(std::string_view head, std::string_view body) override {
    broken_contract |= finished.has_value() || ends > 0;
    messages.push_back(std::string(head) + std::string(body));
  }
  void send_stored(std::string_view head, std::string_view body) override {
    send(head, body);
    lent_.push_back({body, std::string(body)});
  }
  void finish(StreamStatus status, std::string_view message) override {
    broken_contract |= finished.has_value() || ends > 0;
    finished = status;
    finish_message = message;
  }
  void make_request_id(std::string& out) override { out = "made-id"; }

  void on_decide(const ExtProcRequest& request) override {
    broken_contract |= ends > 0;
    ++decides;
    model = request.inference.model;
    client_model = request.client_model;
    keys.assign(request.inference.keys.begin(), request.inference.keys.end());
    if (decide_ == Decide::kAtOnce) decide();
  }
  void decide() {
    if (refusal) return stream_->reply({*refusal, {}, {}}, retry_after);
    stream_->forward(target);
  }
  void on_dispatched() override { ++dispatched; }
  void on_response_head(int status, std::string_view endpoint) override {
    statuses.push_back(status);
    served = endpoint;
  }
  void on_first_token() override { ++first_tokens; }
  void on_progress(std::size_t bytes) override { progress += bytes; }
  void on_usage(const codec::Usage& seen) override { usage = seen; }
  std::span<const codec::MetadataNumber> on_last_piece(const codec::Usage&) override {
    ++last_pieces;
    return reported;
  }
  void on_reply(model::ReplyReason reason) override {
    broken_contract |= finished.has_value() || ends > 0 || replied.has_value();
    replied = reason;
  }
  void on_end(model::Outcome with) override {
    ++ends;
    outcome = with;
  }

  // What was lent has left; false when it was changed before.
  bool drain() {
    bool intact = true;
    for (const auto& [view, copy] : lent_) intact = intact && view == copy;
    lent_.clear();
    stream_->on_drained();
    return intact;
  }

  ExtProcTarget target{.endpoints = "10.0.0.1:8000"};
  std::vector<codec::MetadataNumber> reported;
  std::optional<model::ReplyReason> refusal;
  Duration retry_after{};

  std::vector<std::string> messages;
  std::optional<StreamStatus> finished;
  std::string finish_message;
  int decides = 0;
  int dispatched = 0;
  int first_tokens = 0;
  int last_pieces = 0;
  int ends = 0;
  std::size_t progress = 0;
  std::vector<int> statuses;
  std::string served;
  std::string model;
  std::string client_model;
  std::vector<std::uint64_t> keys;
  std::optional<codec::Usage> usage;
  std::optional<model::ReplyReason> replied;
  std::optional<model::Outcome> outcome;
  bool broken_contract = false;

 private:
  struct Lent {
    std::string_view view;
    std::string copy;
  };
  Decide decide_;
  ExtProcStream* stream_ = nullptr;
  std::vector<Lent> lent_;
};

}  // namespace fairlead::exchange::testing
