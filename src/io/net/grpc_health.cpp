// SPDX-License-Identifier: Apache-2.0
#include "io/net/grpc_health.h"

#include <optional>
#include <utility>

namespace fairlead::net {
namespace {

constexpr std::string_view kCheck = "/grpc.health.v1.Health/Check";
constexpr std::string_view kWatch = "/grpc.health.v1.Health/Watch";
constexpr std::string_view kList = "/grpc.health.v1.Health/List";
constexpr std::size_t kServiceBytesMax = 1024;

}  // namespace

class GrpcHealth::Call final : public GrpcCallObserver {
 public:
  enum class Method : std::uint8_t { kCheck, kWatch, kList };

  Call(GrpcHealth& owner, GrpcCall& call, Method method)
      : owner_(owner), call_(call), method_(method) {}

  // Tells a watcher what it has not been told, unless it has not taken the last yet: then later.
  void tell() {
    if (!watching_ || call_.pending_bytes() > 0) return;
    const codec::HealthStatus status = owner_.statuses_.status_of(service_);
    if (status == told_) return;
    told_ = status;
    send(status);
  }

  void leave() {
    if (std::exchange(watching_, false)) {
      call_.finish(GrpcStatus::kUnavailable, "The server goes away.");
    }
  }

 private:
  friend class GrpcHealth;

  void on_message(std::string_view message) override {
    // A second request says nothing to a watcher that it has not said already.
    const auto service = codec::parse_health_request(message);
    if (watching_ || !service || service->size() > kServiceBytesMax) {
      ++owner_.counters_.malformed;
      return call_.finish(GrpcStatus::kInvalidArgument, "The message is no HealthCheckRequest.");
    }
    switch (method_) {
      case Method::kCheck:
        return check(*service);
      case Method::kList:
        return list();
      case Method::kWatch:
        service_ = *service;
        watching_ = true;
        return tell();
    }
  }
  void on_half_close() override {
    if (watching_) return;
    ++owner_.counters_.malformed;
    call_.finish(GrpcStatus::kInvalidArgument, "There is no HealthCheckRequest.");
  }
  void on_drained() override { tell(); }
  void on_done() override { owner_.end(*this); }
  void on_gone(GrpcGone) override { owner_.end(*this); }

  void check(std::string_view service) {
    ++owner_.counters_.checks;
    const codec::HealthStatus status = owner_.statuses_.status_of(service);
    if (status == codec::HealthStatus::kServiceUnknown) {
      return call_.finish(GrpcStatus::kNotFound, "There is no such service.");
    }
    send(status);
    call_.finish(GrpcStatus::kOk);
  }

  void list() {
    std::string& out = owner_.scratch_;
    out.clear();
    for (const std::string& service : owner_.statuses_.services()) {
      codec::append_health_entry(out, service, owner_.statuses_.status_of(service));
    }
    send_small(out);
    call_.finish(GrpcStatus::kOk);
  }

  void send(codec::HealthStatus status) {
    owner_.scratch_.clear();
    codec::append_health_response(owner_.scratch_, status);
    send_small(owner_.scratch_);
  }
  // A head is always copied.
  void send_small(std::string_view message) { call_.send(message, {}); }

  GrpcHealth& owner_;
  GrpcCall& call_;
  Method method_;
  bool watching_ = false;
  std::string service_;
  std::optional<codec::HealthStatus> told_;
  std::size_t index_ = 0;
};

GrpcHealth::GrpcHealth(const GrpcHealthStatuses& statuses, std::size_t watchers_max)
    : statuses_(statuses), watchers_max_(watchers_max) {}
GrpcHealth::~GrpcHealth() = default;

bool GrpcHealth::serves(std::string_view path) {
  return path == kCheck || path == kWatch || path == kList;
}

GrpcCallObserver* GrpcHealth::on_call(GrpcCall& call) {
  if (!serves(call.path())) return nullptr;
  Call::Method method = Call::Method::kCheck;
  if (call.path() == kWatch) method = Call::Method::kWatch;
  if (call.path() == kList) method = Call::Method::kList;
  auto made = std::make_unique<Call>(*this, call, method);
  made->index_ = calls_.size();
  calls_.push_back(std::move(made));
  if (method == Call::Method::kWatch && ++watchers_ > watchers_max_) {
    ++counters_.watchers_refused;
    call.finish(GrpcStatus::kResourceExhausted, "There are as many watchers as there may be.");
  }
  return calls_.back().get();
}

void GrpcHealth::end(Call& call) {
  if (call.method_ == Call::Method::kWatch) --watchers_;
  const std::size_t index = call.index_;
  std::swap(calls_[index], calls_.back());
  calls_[index]->index_ = index;
  calls_.pop_back();
}

void GrpcHealth::end_watches() {
  for (const auto& call : calls_) call->leave();
}

void GrpcHealth::on_change() {
  for (const auto& call : calls_) call->tell();
}

}  // namespace fairlead::net
