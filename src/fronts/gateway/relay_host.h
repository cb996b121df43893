// SPDX-License-Identifier: Apache-2.0
// RelayHost: what the requests of one worker share: picker, outbox, upstream connections, scanner,
// published snapshots, metrics, access log, and the pool of Relay objects themselves. Relays are
// reused, so that a request allocates nothing once the worker is warm.
// Threads: the worker's thread, but for construction and destruction while its loop does not run.
#pragma once

#include <cstdint>
#include <deque>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/published.h"
#include "base/random.h"
#include "core/access/key_table.h"
#include "core/admission/overload.h"
#include "core/codec/gzip_body.h"
#include "core/exchange/request_facts.h"
#include "core/picker/picker.h"
#include "fronts/gateway/gateway_metrics.h"
#include "fronts/gateway/model_list.h"
#include "fronts/gateway/upstream_targets.h"
#include "io/net/event_loop.h"
#include "io/net/http1_client.h"
#include "router/access_log.h"
#include "router/action_desk.h"
#include "router/prompt_desk.h"
#include "router/router.h"

namespace fairlead::gateway {

class Relay;

// Memory of decoded request bodies that a worker may hold.
inline constexpr std::size_t kDecodedBytesMax = std::size_t{256} << 20;

class RelayHost final {
 public:
  // `access_log` may be null.
  RelayHost(net::EventLoop& loop, router::Router& router, router::AccessLog* access_log,
            std::uint32_t worker);
  ~RelayHost();
  RelayHost(const RelayHost&) = delete;
  RelayHost& operator=(const RelayHost&) = delete;

  Relay& take();
  // After its exchange ended; nothing may use the relay in this call stack.
  void release(Relay& relay);
  std::size_t live() const { return relays_.size() - free_.size(); }
  // Ends every running request with a typed error: the time for draining is over.
  void cut_off_all();

  std::shared_ptr<const router::Generation> generation() { return generation_.share(); }
  // Whether it is the newest one.
  bool in_force(const router::Generation& generation) { return &generation_.get() == &generation; }
  std::shared_ptr<const model::PoolSnapshot> pool_snapshot() { return pool_snapshot_.share(); }
  std::shared_ptr<const UpstreamTarget> target(model::EndpointRef ref);
  std::string_view model_list() { return model_list_.body(pool_snapshot_.share()); }
  // Empty when no endpoint serves it.
  std::string_view model_card(std::string_view name) {
    return model_list_.card(pool_snapshot_.share(), name);
  }
  router::PromptDesk& prompts() { return prompts_; }
  void make_request_id(std::string& out);
  router::SharedResponses& responses() { return responses_; }
  Random& trace_random() { return trace_random_; }
  // Of a request that ended; the oldest are dropped where nobody takes them.
  void hand_over(codec::OtlpSpans spans) { traces_.push(std::move(spans)); }
  // Takes over what a new generation changes for the whole worker. Between two requests.
  void adopt(const router::Generation& generation);
  // Valid until the next call; shared_access() is the same, to be kept.
  const access::AccessRules& access() { return access_.get(); }
  // The key that a client shows in its headers; null: none that is known. `note`, 0 at first, keeps
  // what was found for the next call with the same headers, as long as the same keys are in force.
  const access::Key* find_key(const codec::Http1Headers& headers, std::uint64_t& note);
  std::shared_ptr<const access::AccessRules> shared_access() { return access_.share(); }
  // As the worker last read them.
  void set_overload(admission::OverloadActions actions) { overload_ = actions; }
  admission::OverloadActions overload() const { return overload_; }
  // One of limits.tunnels, which all workers share; false when none is left.
  bool take_tunnel();
  void give_back_tunnel();
  // What decoded bodies hold, of kDecodedBytesMax; relays add and subtract their own.
  std::size_t& decoded_bytes() { return decoded_bytes_; }
  std::unique_ptr<codec::GzipDecoder> take_decoder();
  void give_back_decoder(std::unique_ptr<codec::GzipDecoder> decoder);
  // Somebody waits for an endpoint with room: turns are dealt out until nobody does.
  void expect_turns();
  // Calls decode_on() in a later turn: of one relay a turn, each in its turn.
  void decode_later(Relay& relay);
  // Of a relay that ends before its body was decoded.
  void stop_decoding(Relay& relay, std::unique_ptr<codec::GzipDecoder> decoder);

  net::EventLoop& loop() { return loop_; }
  net::UpstreamPool& upstream() { return upstream_; }
  picker::Picker& picker() { return picker_; }
  router::ActionDesk<Relay>& actions() { return actions_; }
  exchange::ReadingDesk& desk() { return *desk_; }
  GatewayMetrics& metrics() { return metrics_; }
  fleet::TrafficTable& traffic() { return traffic_; }
  router::AccessLog* access_log() { return access_log_; }
  std::uint64_t key_seed() const { return key_seed_; }
  // For composing one reply or log line; whoever uses it clears it first.
  std::string& scratch() { return scratch_; }
  codec::Http1Headers& header_scratch() { return header_scratch_; }

 private:
  void decode_next();
  void deal_turns();

  net::EventLoop& loop_;
  Published<router::Generation>::Reader generation_;
  Published<model::PoolSnapshot>::Reader pool_snapshot_;
  router::PromptDesk prompts_;
  Published<access::AccessRules>::Reader access_;
  access::KeyHasher hasher_;
  // Those of the newest note, alive, so that no others can be where they were; and their number.
  std::shared_ptr<const access::AccessRules> noted_rules_;
  std::uint64_t noted_number_ = 0;
  std::vector<std::unique_ptr<codec::GzipDecoder>> free_decoders_;
  std::deque<Relay*> decoding_;  // Bodies that wait for their next slice; a relay each at most.
  net::Timer decode_timer_;
  std::size_t decoded_bytes_ = 0;
  admission::OverloadActions overload_;
  router::OverloadState& shared_state_;
  std::uint32_t tunnels_ = 0;  // Of this worker, asked for or open.
  std::uint32_t tunnels_max_ = 0;
  router::AccessLog* access_log_;
  std::uint64_t key_seed_;
  Random random_;
  Random trace_random_;
  router::SharedResponses& responses_;
  Handoff<codec::OtlpSpans>& traces_;
  GatewayMetrics metrics_;
  fleet::TrafficTable& traffic_;
  std::optional<exchange::ReadingDesk> desk_;
  std::size_t desk_bytes_ = 0;
  picker::Picker picker_;
  router::ActionDesk<Relay> actions_;
  net::Timer turn_timer_;
  UpstreamTargets targets_;
  ModelList model_list_;
  std::string scratch_;
  codec::Http1Headers header_scratch_;
  net::UpstreamPool upstream_;
  std::vector<std::unique_ptr<Relay>> relays_;
  std::vector<Relay*> free_;
};

}  // namespace fairlead::gateway
