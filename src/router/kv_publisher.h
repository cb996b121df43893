// SPDX-License-Identifier: Apache-2.0
// The parts of a KvListener that its own files share: an endpoint that is listened to, and each of
// its ranks. Threads: the listener's.
#pragma once

#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "router/kv_listener.h"

namespace fairlead::router {

inline constexpr std::string_view kKvEventsLabel = "fairlead/kv-events";

// One rank's feed, and the rows that are its own.
class KvListener::Publisher final : public prefix::EventStreamSink {
 public:
  Publisher(KvListener& listener, Source& source);
  ~Publisher();
  Publisher(const Publisher&) = delete;
  Publisher& operator=(const Publisher&) = delete;

  prefix::BatchEffect apply(std::uint64_t sequence, std::string_view payload) override;
  void forget() override;
  void on_settled() override;

  // Before it has a stream: what another process knew of it, which is not proved yet.
  void resume(prefix::KvFeed::Saved saved) {
    feed_.resume(std::move(saved));
    unproved_ = true;
    sync_rows();
  }
  // Its stream is believed.
  void proved();

  void set_stream(fleet::KvStreamId id, const fleet::KvPublisherAddress& address) {
    id_ = id;
    address_ = address;
  }
  fleet::KvStreamId id() const { return id_; }
  const fleet::KvPublisherAddress& address() const { return address_; }
  const prefix::KvFeed& feed() const { return feed_; }
  // Whether its blocks have another size than when this was asked before; `at` counts up.
  bool tells_of(std::uint32_t block_tokens, std::uint64_t at) {
    if (block_tokens == 0 || block_tokens == block_tokens_) return false;
    block_tokens_ = block_tokens;
    told_at_ = at;
    return true;
  }
  std::uint32_t block_tokens() const { return block_tokens_; }  // 0: it has not told.
  std::uint64_t told_at() const { return told_at_; }

 private:
  void sync_rows();

  KvListener& listener_;
  Source& source_;
  prefix::KvFeed feed_;
  prefix::KvFeed::Slots rows_{};
  std::uint64_t version_ = 0;
  fleet::KvStreamId id_{};
  fleet::KvPublisherAddress address_;
  bool unproved_ = false;
  std::uint32_t block_tokens_ = 0;
  std::uint64_t told_at_ = 0;
};

struct KvListener::Source {
  model::EndpointRef ref;
  std::uint32_t slot() const { return ref.slot; }
  std::string name;
  std::vector<fleet::KvPublisherAddress> addresses;
  std::vector<std::unique_ptr<Publisher>> publishers;  // By rank.
  std::string hashes_say;                              // As told to the audits.
  bool has_own_seed = false;                           // It was logged.

  // The first rank that told of its blocks; null: none did.
  const Publisher* teller() const {
    for (const auto& publisher : publishers) {
      if (publisher->block_tokens() != 0) return publisher.get();
    }
    return nullptr;
  }
};

}  // namespace fairlead::router
