// SPDX-License-Identifier: Apache-2.0
// Generation: one completion request while its sequences run: takes their tokens, writes the
// answer, whole or as events, and misbehaves where a fault says so.
//
// A stream's head leaves at once, as vLLM's does, and an event leaves with the first token, then
// for every `stream_interval` tokens, and with the last one.
// Threads: the loop's thread. It dies by the host's hand, after on_generation_end().
#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "base/time.h"
#include "io/net/http1_server.h"
#include "io/net/timer.h"
#include "lab/engine/model/engine_model.h"
#include "lab/engine/response_writer.h"
#include "lab/engine/serving_metrics.h"

namespace fairlead::engine {

class Generation;

enum class GenerationEnd : std::uint8_t {
  kComplete,
  kClientGone,
  kFault,  // The connection was reset on purpose.
};

class GenerationHost {
 public:
  // The exchange is over; living sequences are to be aborted.
  virtual void on_generation_end(Generation& generation, GenerationEnd end) = 0;

 protected:
  ~GenerationHost() = default;
};

struct Choice {
  SequenceId id{};
  std::uint64_t seed = 0;
  std::int64_t prompt_tokens = 0;
  std::uint32_t output_tokens = 0;
  FinishReason finish = FinishReason::kLength;
  bool first_of_prompt = false;  // Usage counts each prompt once.
  Time ready{};                  // Model time at which it reaches the scheduler.

  std::uint32_t made = 0;
  std::uint32_t written = 0;
  std::uint32_t cached_tokens = 0;
  Duration queued{};  // Real time.
  Time first_token_at{};
  Time last_token_at{};

  bool finished() const { return made == output_tokens; }
};

struct GenerationFaults {
  std::optional<std::uint64_t> abort_after;    // Events.
  std::optional<std::uint64_t> partial_after;  // Events.
  std::optional<Duration> delay;               // Of the first byte.
};

struct GenerationSetup {
  Delivery delivery = Delivery::kWhole;
  bool include_usage = false;
  bool continuous_usage = false;
  bool pooling = false;  // The token at the end of a prompt is not one of an answer.
  std::uint32_t stream_interval = 1;
  std::int64_t block_size = 1;
  double speed = 1;
  GenerationFaults faults;
};

class Generation final : private net::ExchangeObserver {
 public:
  // `slot` is the host's.
  Generation(GenerationHost& host, std::uint32_t slot, ServingMetrics& metrics,
             net::ServerExchange& exchange, const ResponseWriter& writer,
             const GenerationSetup& setup);
  Generation(const Generation&) = delete;
  Generation& operator=(const Generation&) = delete;

  void add_choice(const Choice& choice) { choices_.push_back(choice); }
  std::span<const Choice> choices() const { return choices_; }
  std::uint32_t slot() const { return slot_; }
  // When all choices are there.
  void begin();
  // May end the generation.
  void on_token(std::size_t choice, const TokenEvent& event);
  // Resets the connection; the host is not told.
  void reset_connection();

 private:
  void on_client_gone() override;

  bool stream() const { return setup_.delivery == Delivery::kStream; }
  void observe_token(Choice& choice, const TokenEvent& event, Time now);
  void observe_finish(const Choice& choice, Time now);
  void start_stream();
  void write_all_due();
  bool write_due(std::size_t index);
  bool write_roles();
  bool emit();
  void freeze_event();
  void complete();
  void complete_stream();
  void complete_whole();
  void end_by_fault();
  static AnswerPart whole_part(const Choice& choice, std::size_t index);
  UsageFigures usage_of(const Choice& choice) const;
  UsageFigures total_usage() const;

  GenerationHost& host_;
  std::uint32_t slot_;
  ServingMetrics& metrics_;
  net::EventLoop& loop_;
  net::ServerExchange* exchange_;
  ResponseWriter writer_;
  GenerationSetup setup_;
  std::vector<Choice> choices_;
  std::optional<net::Timer> delay_timer_;
  std::string text_;  // The event being written.
  Time received_at_;
  std::uint64_t events_ = 0;
  std::size_t finished_ = 0;  // Choices.
  bool held_ = false;         // The first byte is delayed.
  bool frozen_ = false;       // Half an event was written: nothing follows.
  bool roles_written_ = false;
  bool frames_by_hand_ = false;  // A chunk may have to be left unfinished.
};

}  // namespace fairlead::engine
