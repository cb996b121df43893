// SPDX-License-Identifier: Apache-2.0
#include "io/net/resolver.h"

#include <ares.h>
#include <netdb.h>

#include <algorithm>
#include <array>
#include <cstring>
#include <limits>
#include <optional>
#include <utility>

#include "io/net/event_loop.h"
#include "io/net/socket.h"

namespace fairlead::net {
namespace {

// Of one name server, doubled at each further try; the lookup's own deadline bounds the whole.
constexpr int kTryMilliseconds = 1000;
constexpr int kTries = 3;

LookupFailure failure_of(int status) {
  switch (status) {
    case ARES_ENOTFOUND:
    case ARES_ENODATA:
    case ARES_EBADNAME:
    case ARES_ENONAME:
      return LookupFailure::kNotFound;
    case ARES_ETIMEOUT:
      return LookupFailure::kTimeout;
    case ARES_EBADRESP:
      return LookupFailure::kMalformed;
    case ARES_ESERVFAIL:
    case ARES_EREFUSED:
    case ARES_EFORMERR:
    case ARES_ENOTIMP:
    case ARES_ECONNREFUSED:
      return LookupFailure::kServer;
    default:
      return LookupFailure::kLocal;
  }
}

// In the order that callers see: family, then the address's bytes.
struct RawAddress {
  int family = AF_INET;
  std::array<unsigned char, 16> bytes{};
  auto operator<=>(const RawAddress&) const = default;
};

RawAddress raw_address(int family, const void* bytes) {
  RawAddress raw{family, {}};
  std::memcpy(raw.bytes.data(), bytes, family == AF_INET ? sizeof(in_addr) : sizeof(in6_addr));
  return raw;
}

std::string text_of(const RawAddress& raw) {
  sockaddr_storage storage{};
  storage.ss_family = static_cast<sa_family_t>(raw.family);
  if (raw.family == AF_INET) {
    std::memcpy(&reinterpret_cast<sockaddr_in&>(storage).sin_addr, raw.bytes.data(),
                sizeof(in_addr));
  } else {
    std::memcpy(&reinterpret_cast<sockaddr_in6&>(storage).sin6_addr, raw.bytes.data(),
                sizeof(in6_addr));
  }
  return SocketAddress::from(storage).host();
}

}  // namespace

std::string_view to_string(LookupFailure failure) {
  switch (failure) {
    case LookupFailure::kNotFound:
      return "no address for this name";
    case LookupFailure::kTimeout:
      return "no name server answered in time";
    case LookupFailure::kServer:
      return "the name servers failed or refused";
    case LookupFailure::kMalformed:
      return "a name server's answer is malformed";
    case LookupFailure::kLocal:
      return "too many lookups at once, or no memory or descriptors left";
  }
  return "";
}

// The c-ares side of one lookup. What c-ares calls only takes notes, because it must not be
// destroyed or asked for more from inside.
class Lookup::Query {
 public:
  Query(EventLoop& loop, const ResolverOptions& options, const std::string& host);
  ~Query() {
    if (channel_ != nullptr) ares_destroy(channel_);
  }
  Query(const Query&) = delete;
  Query& operator=(const Query&) = delete;

  bool done() const { return waiting_ == 0; }
  LookupResult result() const;
  // When c-ares wants to be called without an event; nullopt while nothing is out.
  std::optional<Duration> patience() const;
  void on_timer() { ares_process_fd(channel_, ARES_SOCKET_BAD, ARES_SOCKET_BAD); }
  std::function<void()> on_progress;

 private:
  struct Socket final : FdHandler {
    Socket(Query& owner, int descriptor) : query(owner), fd(descriptor) {}
    void on_events(std::uint32_t ready) override { query.on_ready(fd, ready); }
    Query& query;
    int fd;
    std::uint32_t events = 0;
  };

  bool read_hosts_file(const std::string& host);
  void on_ready(int fd, std::uint32_t ready);
  void watch(int fd, std::uint32_t events);
  void take(int status, ares_addrinfo* answer);

  EventLoop& loop_;
  ares_channel channel_ = nullptr;
  std::vector<std::unique_ptr<Socket>> sockets_;
  int waiting_ = 0;  // Families without an answer.
  std::vector<RawAddress> addresses_;
  int ttl_ = std::numeric_limits<int>::max();
  std::optional<LookupFailure> failure_;  // The gravest: anything before kNotFound.
};

Lookup::Query::Query(EventLoop& loop, const ResolverOptions& options, const std::string& host)
    : loop_(loop) {
  ares_options wanted{};
  char lookups[] = "b";  // The hosts file is read below: its answer needs no name server.
  wanted.lookups = lookups;
  wanted.timeout = kTryMilliseconds;
  wanted.tries = kTries;
  wanted.sock_state_cb_data = this;
  wanted.sock_state_cb = [](void* self, ares_socket_t fd, int reads, int writes) {
    const std::uint32_t events = (reads != 0 ? EPOLLIN : 0U) | (writes != 0 ? EPOLLOUT : 0U);
    static_cast<Query*>(self)->watch(fd, events);
  };
  const int mask = ARES_OPT_LOOKUPS | ARES_OPT_TIMEOUTMS | ARES_OPT_TRIES | ARES_OPT_SOCK_STATE_CB;
  const bool is_ready =
      ares_init_options(&channel_, &wanted, mask) == ARES_SUCCESS &&
      (options.servers.empty() ||
       ares_set_servers_ports_csv(channel_, options.servers.c_str()) == ARES_SUCCESS);
  if (!is_ready) {
    failure_ = LookupFailure::kLocal;
    return;
  }
  if (read_hosts_file(host)) return;
  for (const int family : {AF_INET, AF_INET6}) {
    ares_addrinfo_hints hints{};
    hints.ai_family = family;
    hints.ai_flags = ARES_AI_NOSORT;  // c-ares sorts by connecting to each of them.
    ++waiting_;
    ares_getaddrinfo(
        channel_, host.c_str(), nullptr, &hints,
        [](void* self, int status, int, ares_addrinfo* answer) {
          static_cast<Query*>(self)->take(status, answer);
        },
        this);
  }
}

bool Lookup::Query::read_hosts_file(const std::string& host) {
  for (const int family : {AF_INET, AF_INET6}) {
    hostent* found = nullptr;
    if (ares_gethostbyname_file(channel_, host.c_str(), family, &found) != ARES_SUCCESS) continue;
    for (char** address = found->h_addr_list; *address != nullptr; ++address) {
      addresses_.push_back(raw_address(found->h_addrtype, *address));
    }
    ares_free_hostent(found);
  }
  if (addresses_.empty()) return false;
  ttl_ = 0;
  return true;
}

void Lookup::Query::take(int status, ares_addrinfo* answer) {
  --waiting_;
  if (status != ARES_SUCCESS) {
    const LookupFailure failure = failure_of(status);
    if (!failure_ || *failure_ == LookupFailure::kNotFound) failure_ = failure;
  }
  if (answer == nullptr) return;
  for (const auto* alias = answer->cnames; alias != nullptr; alias = alias->next) {
    ttl_ = std::min(ttl_, alias->ttl);
  }
  for (const auto* node = answer->nodes; node != nullptr; node = node->ai_next) {
    ttl_ = std::min(ttl_, node->ai_ttl);
    if (node->ai_family == AF_INET) {
      const auto* v4 = reinterpret_cast<const sockaddr_in*>(node->ai_addr);
      addresses_.push_back(raw_address(AF_INET, &v4->sin_addr));
    } else if (node->ai_family == AF_INET6) {
      const auto* v6 = reinterpret_cast<const sockaddr_in6*>(node->ai_addr);
      addresses_.push_back(raw_address(AF_INET6, &v6->sin6_addr));
    }
  }
  ares_freeaddrinfo(answer);
}

LookupResult Lookup::Query::result() const {
  std::vector<RawAddress> sorted = addresses_;
  if (sorted.empty()) return tl::unexpected(failure_.value_or(LookupFailure::kNotFound));
  std::ranges::sort(sorted);
  sorted.erase(std::unique(sorted.begin(), sorted.end()), sorted.end());
  HostAddresses found;
  for (const RawAddress& raw : sorted) {
    if (found.addresses.size() < Resolver::kAddressesMax) found.addresses.push_back(text_of(raw));
  }
  found.ttl = std::chrono::seconds(std::max(ttl_, 0));
  found.partial = sorted.size() > Resolver::kAddressesMax ||
                  (failure_ && *failure_ != LookupFailure::kNotFound);
  return found;
}

std::optional<Duration> Lookup::Query::patience() const {
  timeval wait{};
  if (ares_timeout(channel_, nullptr, &wait) == nullptr) return std::nullopt;
  return std::chrono::seconds(wait.tv_sec) + std::chrono::microseconds(wait.tv_usec);
}

void Lookup::Query::on_ready(int fd, std::uint32_t ready) {
  const bool reads = (ready & ~static_cast<std::uint32_t>(EPOLLOUT)) != 0;
  const bool writes = (ready & EPOLLOUT) != 0;
  ares_process_fd(channel_, reads ? fd : ARES_SOCKET_BAD, writes ? fd : ARES_SOCKET_BAD);
  on_progress();
}

// Level-triggered: c-ares does not promise to read until there is nothing left.
void Lookup::Query::watch(int fd, std::uint32_t events) {
  auto known = std::ranges::find(sockets_, fd, [](const auto& socket) { return socket->fd; });
  if (known == sockets_.end()) {
    if (events == 0) return;
    known = sockets_.insert(known, std::make_unique<Socket>(*this, fd));
  }
  Socket& socket = **known;
  if (socket.events == events) return;
  if (socket.events != 0) loop_.remove(fd, socket);
  socket.events = events;
  if (events == 0) {
    loop_.destroy_later(std::move(*known));  // This may run inside its on_events().
    sockets_.erase(known);
  } else if (!loop_.add(fd, events, socket)) {
    socket.events = 0;  // Nobody hears the answer: the lookup times out.
  }
}

Resolver::Resolver(EventLoop& loop, ResolverOptions options)
    : loop_(loop), options_(std::move(options)) {}

Lookup::Lookup(Resolver& resolver)
    : resolver_(resolver), timer_(resolver.loop_, [this] { on_timer(); }) {}

Lookup::~Lookup() { cancel(); }

void Lookup::start(const std::string& host, Callback callback) {
  callback_ = std::move(callback);
  deadline_ = resolver_.loop_.now() + resolver_.options_.timeout;
  if (resolver_.active_ >= resolver_.options_.lookups_max) return timer_.arm(Duration{});
  ++resolver_.active_;
  query_ = std::make_unique<Query>(resolver_.loop_, resolver_.options_, host);
  query_->on_progress = [this] { schedule(); };
  schedule();
}

void Lookup::schedule() {
  if (query_->done()) return timer_.arm(Duration{});
  const Time now = resolver_.loop_.now();
  const Duration left = deadline_ - now;
  timer_.arm_at(now + std::min(left, query_->patience().value_or(left)));
}

void Lookup::on_timer() {
  LookupResult result = tl::unexpected(LookupFailure::kLocal);
  if (query_) {
    const bool is_late = resolver_.loop_.now() >= deadline_;
    if (!query_->done()) query_->on_timer();
    if (!query_->done() && !is_late) return schedule();
    result = query_->result();
    if (!query_->done()) {
      // One family may have come; which address is missing is not known.
      if (result) result->partial = true;
      if (!result) result = tl::unexpected(LookupFailure::kTimeout);
    }
  }
  const Callback callback = std::exchange(callback_, nullptr);
  cancel();
  callback(result);
}

void Lookup::cancel() {
  callback_ = nullptr;
  timer_.cancel();
  if (!query_) return;
  query_.reset();
  --resolver_.active_;
}

}  // namespace fairlead::net
