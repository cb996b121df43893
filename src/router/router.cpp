// SPDX-License-Identifier: Apache-2.0
#include "router/router.h"

#include <utility>

#include "base/random.h"
#include "io/fleet/file_watch.h"

namespace fairlead::router {
namespace {

// Of the process seed: the keys of token blocks.
constexpr std::uint64_t kTokenStream = 0x746f6b656e73;
constexpr std::uint64_t kCacheStream = 0x6361636865;       // Those of texts that were tokenized.
constexpr std::uint64_t kSenderStream = 0x7265706c696361;  // This process's name among replicas.

}  // namespace

Router::Router(const std::shared_ptr<const Generation>& first, std::uint64_t process_seed, Log& log,
               MetricRegistry& metrics)
    : audits_(metrics),
      generation_(first),
      pool_(std::make_shared<const model::PoolSnapshot>()),
      access_(std::make_shared<const access::AccessRules>()),
      history_(first->settings.prefix.block_bytes,
               first->settings.prefix.bytes_per_endpoint.value_or(
                   first->settings.prefix.bytes_unreported)),
      process_seed_(process_seed),
      key_seed_(process_seed),
      log_(log),
      metrics_(metrics) {}

Result<std::shared_ptr<net::TlsServerContext>> open_client_tls(
    const config::GatewaySettings& gateway, net::Http2Offer http2) {
  if (gateway.tls.cert_file.empty()) return nullptr;
  net::TlsIdentity identity{gateway.tls.cert_file, gateway.tls.key_file, http2};
  if (gateway.http2.max_concurrent_streams == 0) identity.http2 = net::Http2Offer::kNo;
  for (const config::CertificateSetting& one : gateway.tls.certificates) {
    identity.more.push_back({one.cert_file, one.key_file});
  }
  identity.rules = {gateway.tls.min_minor, gateway.tls.cipher_list, gateway.tls.client_ca_file};
  return net::TlsServerContext::create(identity);
}

Result<std::shared_ptr<net::TlsClientContext>> open_engine_tls(
    const config::EngineTlsSettings& tls) {
  const auto verify = tls.insecure_skip_verify ? net::TlsVerify::kNobody : net::TlsVerify::kPeer;
  return net::TlsClientContext::create({tls.ca_file, verify});
}

Result<void> Router::open_tls() {
  const auto generation = generation_.load();
  // `fairlead epp` has its certificate of a flag, and speaks gRPC alone.
  const bool only_grpc = !generation->epp.tls.folder.empty();
  auto clients = open_client_tls(generation->settings.gateway,
                                 only_grpc ? net::Http2Offer::kOnly : net::Http2Offer::kYes);
  if (!clients) return with_context(clients.error(), "gateway.tls");
  auto engines = open_engine_tls(generation->settings.fleet.tls);
  if (!engines) return with_context(engines.error(), "fleet.tls");
  tls_ = {std::move(*clients), std::move(*engines)};
  return {};
}

Result<void> Router::open_replicas(const net::ResolverOptions& resolver) {
  const auto generation = generation_.load();
  const config::ReplicaSettings& settings = generation->settings.replicas;
  if (settings.addresses.empty()) return {};
  const auto text = fleet::FileWatch::read_file(settings.secret_file);
  if (!text) return with_context(text.error(), "replicas.secretFile");
  const auto secret = replication::ReplicaSecret::derive(*text);
  if (!secret) {
    return with_context(secret.error(),
                        fmt::format("replicas.secretFile: {}", settings.secret_file));
  }
  auto replicas = ReplicaExchange::create(settings, *secret, mix64(process_seed_ ^ kSenderStream),
                                          history_, log_, metrics_, {.resolver = resolver});
  if (!replicas) return tl::unexpected(replicas.error());
  replicas_ = std::move(*replicas);
  key_seed_ = secret->key_seed();
  return {};
}

Result<void> Router::open_restart() {
  const auto generation = generation_.load();
  const config::ServeSettings& settings = generation->settings;
  if (settings.restart.directory.empty()) return {};
  const auto seed = replicas_ ? std::optional(key_seed_) : std::nullopt;
  auto restart = Restart::open(settings.restart, settings.prefix.block_bytes, seed, log_, metrics_);
  if (!restart) return tl::unexpected(restart.error());
  restart_ = std::move(*restart);
  if (const codec::RestartImage* const image = restart_->image()) key_seed_ = image->head.key_seed;
  return {};
}

Result<void> Router::open_listener() {
  const auto generation = generation_.load();
  if (!generation->picker.events) return {};
  auto listener = KvListener::create(*generation->picker.events, mix64(key_seed_ ^ kTokenStream),
                                     log_, metrics_, audits_);
  if (!listener) return tl::unexpected(listener.error());
  listener_ = std::move(*listener);
  if (restart_ && restart_->image() != nullptr) listener_->restore(*restart_->image());
  if (generation->settings.tokens.models.empty()) return {};
  auto tokenizers =
      Tokenizers::load(generation->settings.tokens, mix64(process_seed_ ^ kCacheStream), metrics_);
  if (!tokenizers) return tl::unexpected(tokenizers.error());
  tokenizers_ = std::move(*tokenizers);
  return {};
}

exchange::TokenSettings Router::token_settings(exchange::ModelNames& models) const {
  if (!listener_) return {};
  return {&listener_->keys(), &listener_->block_tokens(), &models};
}

void Router::keep(LogLevel level, std::string text) {
  switch (level) {
    case LogLevel::kDebug:
      log_.debug("{}", text);
      break;
    case LogLevel::kInfo:
      log_.info("{}", text);
      break;
    case LogLevel::kWarning:
      log_.warning("{}", text);
      break;
    case LogLevel::kError:
      log_.error("{}", text);
      break;
  }
  events_.add(clock_.unix_seconds(), level, std::move(text));
}

picker::Limits Router::picker_limits(const config::ServeSettings& settings) {
  const config::RetrySettings& retry = settings.limits.retry;
  picker::Limits limits;
  limits.max_attempts = retry.max_attempts;
  limits.retry_ratio = retry.budget_ratio;
  limits.retries_per_second = retry.min_per_second;
  limits.waiting = {settings.limits.waiting.requests_max, settings.limits.waiting.patience};
  return limits;
}

picker::Picker Router::make_picker(std::uint32_t worker, scheduling::PluginWatch* watch) {
  const prefix::ToldKnowledge* const told = listener_ ? &listener_->knowledge() : nullptr;
  picker::DispatchRecorder& recorder =
      replicas_ ? static_cast<picker::DispatchRecorder&>(*replicas_) : history_;
  return picker::Picker({{inflight_, load_, ledger_, history_, &media_, told, &speeds_, &seen_},
                         recorder,
                         *this,
                         &decisions_.add(),
                         &media_,
                         listener_.get(),
                         watch},
                        picker_limits(generation_.load()->settings), mix64(process_seed_ + worker));
}

}  // namespace fairlead::router
