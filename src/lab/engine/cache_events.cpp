// SPDX-License-Identifier: Apache-2.0
#include "lab/engine/cache_events.h"

#include <charconv>
#include <nlohmann/json.hpp>
#include <span>
#include <utility>

namespace fairlead::engine {
namespace {

using codec::KvEvent;
using codec::KvEventKind;
using Json = nlohmann::json;

constexpr std::string_view kFlag = "kv-events-config";
constexpr std::uint64_t kMost = 10'000'000;

tl::unexpected<Error> wrong(std::string_view key, std::string_view wanted) {
  return fail(ErrorCode::kInvalidArgument, "{}: {}: must be {}", kFlag, key, wanted);
}

Result<void> read_text(const Json& value, std::string_view key, std::string& out) {
  if (value.is_null()) return {};
  if (!value.is_string()) return wrong(key, "a text");
  out = value.get<std::string>();
  return {};
}

template <class Number>
Result<void> read_number(const Json& value, std::string_view key, Number& out) {
  if (!value.is_number_unsigned() || value.get<std::uint64_t>() == 0 ||
      value.get<std::uint64_t>() > kMost) {
    return wrong(key, "a whole number above 0");
  }
  out = value.get<Number>();
  return {};
}

Result<void> read_key(const Json& value, const std::string& key, CacheEventsConfig& out,
                      bool& enabled, std::string& publisher) {
  net::ZmqPublisherOptions& to = out.publisher;
  if (key == "enable_kv_cache_events") {
    if (!value.is_boolean()) return wrong(key, "true or false");
    enabled = value.get<bool>();
    return {};
  }
  if (key == "publisher") return read_text(value, key, publisher);
  if (key == "endpoint") return read_text(value, key, to.endpoint);
  if (key == "replay_endpoint") return read_text(value, key, to.replay_endpoint);
  if (key == "topic") return read_text(value, key, to.topic);
  if (key == "buffer_steps") return read_number(value, key, to.kept_max);
  if (key == "hwm") return read_number(value, key, to.queue_max);
  if (key == "max_queue_size") {
    std::uint64_t unused = 0;  // Nothing waits between the engine and its publisher here.
    return read_number(value, key, unused);
  }
  return fail(ErrorCode::kInvalidArgument, "{}: there is no key {}", kFlag, key);
}

// "tcp://127.0.0.1:5557" and 2 make "tcp://127.0.0.1:5559"; a port that is not given stays so.
Result<std::string> endpoint_of(const std::string& endpoint, std::uint32_t number) {
  if (number == 0 || endpoint.empty() || endpoint.ends_with(":*")) return endpoint;
  const std::size_t colon = endpoint.rfind(':');
  std::uint32_t port = 0;
  const char* end = endpoint.data() + endpoint.size();
  if (endpoint.starts_with("tcp://") && colon > 5) {
    const auto parsed = std::from_chars(endpoint.data() + colon + 1, end, port);
    if (parsed.ec == std::errc() && parsed.ptr == end && port + number <= 65'535) {
      return fmt::format("{}:{}", endpoint.substr(0, colon), port + number);
    }
  }
  return fail(ErrorCode::kInvalidArgument, "{}: {}: no port to count from for engine {}", kFlag,
              endpoint, number);
}

}  // namespace

Result<std::optional<CacheEventsConfig>> parse_kv_events_config(std::string_view text) {
  const Json json = Json::parse(text, nullptr, false);
  if (!json.is_object()) return fail(ErrorCode::kInvalidArgument, "{}: no JSON object", kFlag);
  CacheEventsConfig config;
  bool enabled = false;
  std::string publisher = "zmq";
  for (const auto& [key, value] : json.items()) {
    auto read = read_key(value, key, config, enabled, publisher);
    if (!read) return tl::unexpected(read.error());
  }
  if (publisher != "zmq" && publisher != "null") return wrong("publisher", "zmq or null");
  if (!enabled || publisher == "null") return std::nullopt;
  return config;
}

Result<std::unique_ptr<CacheEvents>> CacheEvents::create(std::shared_ptr<net::ZmqContext> context,
                                                         net::EventLoop& loop,
                                                         const CacheEventsConfig& config,
                                                         std::uint32_t number,
                                                         std::int64_t block_size) {
  net::ZmqPublisherOptions options = config.publisher;
  // Many engines may connect to one listener; only what is bound needs a port for each.
  if (net::binds(options)) {
    auto endpoint = endpoint_of(options.endpoint, number);
    if (!endpoint) return tl::unexpected(endpoint.error());
    options.endpoint = *endpoint;
  }
  auto replay = endpoint_of(options.replay_endpoint, number);
  if (!replay) return tl::unexpected(replay.error());
  options.replay_endpoint = *replay;
  std::unique_ptr<CacheEvents> events(
      new CacheEvents(std::move(context), loop, options, config.encoding, block_size));
  auto opened = events->reopen();
  if (!opened) return with_context(opened.error(), kFlag);
  return events;
}

Result<void> CacheEvents::reopen() {
  if (publisher_) return {};
  auto publisher = net::ZmqPublisher::create(context_, loop_, options_);
  if (!publisher) return tl::unexpected(publisher.error());
  publisher_ = std::move(*publisher);
  if (!net::binds(options_)) return {};
  // From now on with the ports that were taken.
  options_.attach = net::ZmqAttach::kBind;
  options_.endpoint = publisher_->endpoint();
  options_.replay_endpoint = publisher_->replay_endpoint();
  return {};
}

void CacheEvents::close() { publisher_.reset(); }

void CacheEvents::publish(const CacheLog& log, double timestamp, Arrival arrival) {
  if (!publisher_) return;
  for (const CacheChange& change : log) {
    KvEvent event;
    switch (change.kind) {
      case CacheChange::Kind::kStored:
        add_stored(change);
        break;
      case CacheChange::Kind::kRemoved:
        event.kind = KvEventKind::kRemoved;
        event.hashes = std::span(&change.hash, 1);
        event.medium = "GPU";
        event.group = 0;
        writer_.add(event);
        break;
      case CacheChange::Kind::kCleared:
        event.kind = KvEventKind::kCleared;
        writer_.add(event);
        break;
    }
  }
  std::string payload;
  writer_.finish(timestamp, 0, payload);
  if (arrival == Arrival::kSent) {
    publisher_->publish(std::move(payload));
  } else {
    publisher_->lose(std::move(payload));
  }
}

void CacheEvents::add_stored(const CacheChange& change) {
  const SequenceContent& content = *change.content;
  const auto block = static_cast<std::size_t>(block_size_);
  KvEvent event;
  event.hashes = change.hashes;
  event.parent = change.parent;
  event.tokens =
      std::span(content.tokens).subspan(change.first_block * block, change.hashes.size() * block);
  event.block_size = static_cast<std::uint32_t>(block_size_);
  event.medium = "GPU";
  event.group = 0;
  event.spec_kind = "full_attention";
  const bool salted = change.first_block == 0 && !content.cache_salt.empty();
  if (!content.adapter.empty()) {
    event.lora_id = content.adapter_number;
    event.lora_name = content.adapter;
  }
  if (salted || !content.adapter.empty()) {
    extras_.clear();
    codec::append_msgpack_array(extras_, change.hashes.size());
    for (std::size_t i = 0; i < change.hashes.size(); ++i) {
      const bool salt = salted && i == 0;
      const std::size_t items = (content.adapter.empty() ? 0 : 1) + (salt ? 1 : 0);
      if (items == 0) {
        codec::append_msgpack_nil(extras_);
        continue;
      }
      codec::append_msgpack_array(extras_, items);
      if (!content.adapter.empty()) codec::append_msgpack_text(extras_, content.adapter);
      if (salt) codec::append_msgpack_text(extras_, content.cache_salt);
    }
    event.extra_keys = codec::KvExtraKeys(extras_);
  }
  writer_.add(event);
}

}  // namespace fairlead::engine
