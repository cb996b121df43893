// SPDX-License-Identifier: Apache-2.0
// What is told of a request when it has ended: its access line and its spans.
#include "fronts/gateway/relay.h"

namespace fairlead::gateway {

void Relay::begin_trace() {
  const double ratio = generation_->settings.tracing.sample_ratio;
  host_.metrics().on_trace(trace_.begin(exchange_->head().headers, ratio, host_.trace_random()));
  if (trace_.recording()) host_.metrics().on_traced_request();
}

// Begins the span of the try that they are for.
exchange::TraceHeaders Relay::trace_headers() {
  if (!trace_.recording()) return trace_.headers();
  return trace_.begin_try(host_.picker().decision(id_), target_->name, target_->address.host(),
                          target_->address.port(), host_.loop().now());
}

exchange::AccessRecord Relay::access_record(int status, model::Outcome outcome) const {
  const Time began = exchange_->received_at();
  const model::InferenceRequest request = facts_.request();
  exchange::AccessRecord record;
  record.unix_seconds = host_.loop().unix_seconds();
  record.request_id = request_id_;
  record.client_address = client_address_;
  if (key_) record.tenant = key_->name;
  record.method = exchange_->head().method;
  record.path = exchange_->head().path();
  record.route = match_.route;
  record.model = request.model;
  record.status = status;
  record.outcome = outcome;
  record.reply_reason = reply_reason_;
  record.last_failure = last_failure_;
  if (target_) record.endpoint = target_->name;
  if (has_id_) record.decision = host_.picker().decision(id_);
  record.streaming = request.streaming;
  if (response_.held()) record.usage = watch_.facts().usage;
  record.request_bytes = request_bytes_ + from_client_;
  record.response_bytes = response_bytes_;
  if (departed_at_) record.queue = *departed_at_ - exchange_->complete_at();
  if (first_token_at_) record.first_token = *first_token_at_ - began;
  record.total = host_.loop().now() - began;
  return record;
}

void Relay::write_records(int status, model::Outcome outcome) {
  const exchange::AccessRecord record = access_record(status, outcome);
  if (host_.access_log() != nullptr) host_.access_log()->write(record, host_.scratch());
  if (!trace_.recording()) return;
  const bool tls = !generation_->settings.gateway.tls.cert_file.empty();
  host_.hand_over(
      trace_.end(record, tls ? "https" : "http", exchange_->received_at(), host_.loop().now()));
}

}  // namespace fairlead::gateway
