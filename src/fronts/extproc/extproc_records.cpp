// SPDX-License-Identifier: Apache-2.0
// What is told of a request when it has ended: its access line and its spans.
#include <algorithm>

#include "fronts/extproc/extproc_call.h"
#include "fronts/extproc/label_budget.h"

namespace fairlead::extproc {
namespace {

// Envoy appends whom it took the request from.
std::string_view last_hop(std::string_view forwarded_for) {
  const std::size_t comma = forwarded_for.rfind(',');
  std::string_view hop =
      comma == std::string_view::npos ? forwarded_for : forwarded_for.substr(comma + 1);
  hop.remove_prefix(std::min(hop.find_first_not_of(' '), hop.size()));
  return hop;
}

}  // namespace

// Without a collector the client's context passes through untouched.
void ExtProcCall::begin_trace() {
  const config::TracingSettings& tracing = generation_->settings.tracing;
  if (tracing.endpoint.empty()) return;
  host_.metrics().on_trace(
      trace_.begin(stream_.request().headers, tracing.sample_ratio, host_.trace_random()));
  if (trace_.recording()) host_.metrics().on_traced_request();
}

// Begins the span of the try that they are for.
exchange::TraceHeaders ExtProcCall::trace_headers(const model::Endpoint& chosen,
                                                  const picker::Decision& decision) {
  if (!trace_.recording()) return trace_.headers();
  return trace_.begin_try(decision, chosen.name, chosen.dial(), chosen.port, host_.loop().now());
}

exchange::AccessRecord ExtProcCall::access_record(int status, model::Outcome outcome) const {
  const exchange::ExtProcRequest request = stream_.request();
  exchange::AccessRecord record;
  record.unix_seconds = host_.loop().unix_seconds();
  record.request_id = stream_.request_id();
  record.client_address = last_hop(codec::header_value(request.headers, "x-forwarded-for"));
  record.tenant = request.controls.fairness_id.substr(0, kLabelBytesMax);
  record.method = request.method;
  record.path = request.path.substr(0, request.path.find('?'));
  record.route = request.route;
  record.model = request.inference.model;
  record.status = status;
  record.outcome = outcome;
  record.reply_reason = reply_reason_;
  record.last_failure = failure_;
  record.endpoint = endpoint_;
  if (has_id_) record.decision = host_.picker().decision(id_);
  record.streaming = request.inference.streaming;
  record.usage = usage_;
  record.request_bytes = request.body_bytes;
  record.response_bytes = response_bytes_;
  if (decided_at_) record.queue = *decided_at_ - deciding_at_;
  if (first_token_at_) record.first_token = *first_token_at_ - began_;
  record.total = host_.loop().now() - began_;
  return record;
}

void ExtProcCall::write_records(int status, model::Outcome outcome) {
  const exchange::AccessRecord record = access_record(status, outcome);
  if (host_.access_log() != nullptr) host_.access_log()->write(record, host_.scratch());
  if (!trace_.recording()) return;
  const std::string_view scheme = codec::header_value(stream_.request().headers, ":scheme");
  host_.hand_over(trace_.end(record, scheme.empty() ? "http" : scheme, began_, host_.loop().now()));
}

}  // namespace fairlead::extproc
