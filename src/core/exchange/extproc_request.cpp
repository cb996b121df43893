// SPDX-License-Identifier: Apache-2.0
// The request's way through an ExtProcStream, up to its decision.
#include <algorithm>
#include <charconv>
#include <limits>
#include <system_error>

#include "base/assert.h"
#include "core/codec/gzip_body.h"
#include "core/codec/json_completion.h"
#include "core/codec/json_text.h"
#include "core/exchange/extproc_stream.h"
#include "core/exchange/request_head.h"

namespace fairlead::exchange {
namespace {

using model::ReplyReason;

// What llm-d takes a request without any path for.
constexpr std::string_view kAssumedPath = "/v1/completions";

std::string_view without_query(std::string_view path) { return path.substr(0, path.find('?')); }

std::string_view query_of(std::string_view path) {
  const std::size_t mark = path.find('?');
  return mark == std::string_view::npos ? std::string_view() : path.substr(mark + 1);
}

}  // namespace

ExtProcRequest ExtProcStream::request() const {
  ExtProcRequest request;
  request.inference = facts_.request();
  request.inference.id = request_id_;
  request.client_model = facts_.client_model();
  request.route = match_.route;
  request.method = method_;
  request.path = path_;
  request.headers = headers_;
  request.controls = controls_;
  request.subset = &subset_;
  request.previous_response = facts_.previous_response();
  request.body_bytes = body_bytes_;
  return request;
}

void ExtProcStream::on_request_headers(const codec::ProcessingRequest& message) {
  if (phase_ != Phase::kStart) return fault(ExtProcFault::kSecondRequestHeaders);
  phase_ = Phase::kCollecting;
  request_ended_ = ended_at_head_ = message.end_of_stream;
  if (!read_head(message.headers)) return;
  read_subset(message.metadata);
  if (refuse_head()) return;
  if (decides_at_head()) return decide_at_head();
  collected_ = true;
  if (is_full_duplex()) return;
  // Envoy sends the body when the head has been answered, and keeps the head until then.
  out_.clear();
  codec::append_headers_reply({}, out_);
  send_reply();
}

// The views of a map are larger than what they show, which may be nothing.
ExtProcStream::HeadRead ExtProcStream::read_headers(std::string_view map,
                                                    codec::Http1Headers& headers) {
  headers.clear();
  codec::HeaderMapReader reader(map);
  for (codec::Http1Header next; reader.next(next);) {
    if (headers.size() == kHeadersMax) return HeadRead::kTooLarge;
    headers.push_back(next);
  }
  return reader.ok() ? HeadRead::kWhole : HeadRead::kMalformed;
}

bool ExtProcStream::refuse_large_head() {
  port_.make_request_id(request_id_);
  reply({ReplyReason::kHeaderTooLarge, {}, {}});
  return false;
}

// False: the stream has ended.
bool ExtProcStream::read_head(std::string_view map) {
  if (map.size() > settings_->head_bytes_max) return refuse_large_head();
  head_ = map;
  switch (read_headers(head_, headers_)) {
    case HeadRead::kWhole:
      break;
    case HeadRead::kTooLarge:
      return refuse_large_head();
    case HeadRead::kMalformed:
      fault(ExtProcFault::kMalformed);
      return false;
  }
  method_ = header(":method");
  for (const std::string_view name : {":path", "x-original-path", "x-forwarded-path"}) {
    if (path_.empty()) path_ = header(name);
  }
  if (path_.empty()) path_ = kAssumedPath;
  match_route();
  read_controls();
  const std::string_view sent = header(settings_->request_id_header);
  if (is_request_id(sent)) {
    request_id_ = sent;
  } else {
    port_.make_request_id(request_id_);
  }
  return true;
}

void ExtProcStream::match_route() {
  const std::string_view path = without_query(path_);
  match_ = match_route_suffix(method_, path);
  if (match_.handling != Handling::kScan && match_.handling != Handling::kTunnel) return;
  const auto parser = scheduling::parser_for(settings_->parsers, path);
  if (!parser || *parser == scheduling::ParserKind::kPassthrough) match_ = {};
}

void ExtProcStream::read_controls() {
  const auto either = [this](std::string_view name, std::string_view deprecated) {
    const std::string_view value = header(name);
    return value.empty() ? header(deprecated) : value;
  };
  controls_.fairness_id =
      either("x-llm-d-inference-fairness-id", "x-gateway-inference-fairness-id");
  controls_.objective = either("x-llm-d-inference-objective", "x-gateway-inference-objective");
  controls_.model_rewrite = either("x-llm-d-model-name-rewrite", "x-gateway-model-name-rewrite");
}

void ExtProcStream::read_subset(std::string_view metadata) {
  if (!subset_.read(metadata)) ++shared_.counters.subsets_too_long;
}

bool ExtProcStream::decides_at_head() const {
  return ended_at_head_ || match_.handling != Handling::kScan || request_mode_ == Mode::kNone ||
         request_mode_ == Mode::kStreamed;
}

// Whether the head alone is enough to refuse the request; then it was.
bool ExtProcStream::refuse_head() {
  if (ended_at_head_) return false;
  const bool is_known = match_.handling == Handling::kScan || match_.handling == Handling::kTunnel;
  if (!is_known && settings_->unknown_path == UnknownPath::kRefused) {
    reply({match_.allow.empty() ? ReplyReason::kNotFound : ReplyReason::kMethodNotAllowed, {}, {}});
    return true;
  }
  if (decides_at_head()) return false;
  if (codec::body_coding(headers_) != codec::BodyCoding::kIdentity) {
    reply({ReplyReason::kUnsupportedEncoding,
           "The body's Content-Encoding is not supported here. Send it plain.",
           {}});
    return true;
  }
  // In this mode only a part is shown.
  if (request_mode_ == Mode::kBufferedPartial) return false;
  if (announced_bytes() <= settings_->body_bytes_max) return false;
  reply({ReplyReason::kTooLarge, {}, {}});
  return true;
}

std::uint64_t ExtProcStream::announced_bytes() const {
  const std::string_view length = header("content-length");
  std::uint64_t bytes = 0;
  const auto read = std::from_chars(length.data(), length.data() + length.size(), bytes);
  if (read.ec == std::errc::result_out_of_range) return std::numeric_limits<std::uint64_t>::max();
  return bytes;
}

// As far as the client's word goes: more than could be read is not believed, or one request would
// be the load of a whole pool.
std::uint64_t ExtProcStream::unread_bytes(std::size_t shown) const {
  const std::uint64_t bytes = std::min<std::uint64_t>(announced_bytes(), settings_->body_bytes_max);
  return bytes - std::min<std::uint64_t>(bytes, shown);
}

void ExtProcStream::on_request_body(const codec::ProcessingRequest& message) {
  if (phase_ == Phase::kStart) return fault(ExtProcFault::kBodyBeforeHeaders);
  if (request_ended_) {
    // Envoy 1.35 and later may deliver the last piece of a large body twice.
    if (!is_full_duplex() || !message.end_of_stream || ended_at_head_ || trailers_due_) {
      return fault(ExtProcFault::kRequestAfterEnd);
    }
    ++shared_.counters.repeated_ends;
    return;
  }
  if (request_mode_ == Mode::kNone || (is_buffered() && body_seen_)) {
    return fault(ExtProcFault::kBodyNotAsked);
  }
  body_seen_ = true;
  request_ended_ = message.end_of_stream;
  body_bytes_ += message.body.size();
  if (phase_ == Phase::kCollecting || phase_ == Phase::kDeciding) read_subset(message.metadata);
  if (is_full_duplex()) return duplex_body(message.body);
  replied_body(message.body);
}

// False: it does not fit, and the client was told.
bool ExtProcStream::store(std::string_view bytes) {
  if (body_.view().size() + bytes.size() > settings_->body_bytes_max) {
    reply({ReplyReason::kTooLarge, {}, {}});
    return false;
  }
  if (!body_.append(bytes)) {
    reply({ReplyReason::kOverloaded, {}, {}});
    return false;
  }
  return true;
}

void ExtProcStream::duplex_body(std::string_view bytes) {
  switch (phase_) {
    case Phase::kCollecting:
      if (store(bytes) && request_ended_) read_body_and_decide(body_.view());
      return;
    case Phase::kDeciding:
      static_cast<void>(store(bytes));
      return;
    case Phase::kForwarded:
      in_parts_ = true;
      send_request_bytes(bytes, Source::kPassing);
      return conclude_request();
    default:
      return;
  }
}

// In the modes in which each body message wants a reply.
void ExtProcStream::replied_body(std::string_view bytes) {
  if (phase_ != Phase::kCollecting) {
    ++bodies_due_;
    in_parts_ = true;
    if (phase_ == Phase::kForwarded) return send_body_replies();
    if (phase_ == Phase::kForeign) return send_body_reply(Side::kRequest);
    return;
  }
  if (bytes.size() > settings_->body_bytes_max) return reply({ReplyReason::kTooLarge, {}, {}});
  // Only a body that will be changed is needed after it was read.
  if (controls_.model_rewrite.empty()) return read_body_and_decide(bytes);
  if (store(bytes)) read_body_and_decide(body_.view());
}

void ExtProcStream::on_request_trailers() {
  if (phase_ == Phase::kStart) return fault(ExtProcFault::kBodyBeforeHeaders);
  if (request_ended_) return fault(ExtProcFault::kRequestAfterEnd);
  request_ended_ = trailers_due_ = true;
  switch (phase_) {
    case Phase::kCollecting:
      if (is_full_duplex()) return read_body_and_decide(body_.view());
      // The head has been answered and there is no body whose reply could say where to go.
      return reply(
          {ReplyReason::kBadRequest, "The request body is empty; send a JSON object.", {}});
    case Phase::kForwarded:
      in_parts_ = true;
      return conclude_request();
    case Phase::kForeign:
      return send_trailers(Side::kRequest);
    default:
      return;
  }
}

codec::ScanStatus ExtProcStream::read_facts(std::string_view body) {
  const auto read = [&](std::string_view text) {
    return facts_.read(match_.route, headers_, text, settings_->keys, shared_.desk,
                       controls_.model_rewrite);
  };
  const codec::ScanStatus status = read(body);
  const bool may_be_cut = request_mode_ == Mode::kBufferedPartial && !request_ended_;
  if (status.ok() || !may_be_cut) return status;
  // Envoy showed the beginning of a body that does not fit into its buffer.
  const bool is_readable = codec::complete_json(body, piece_) && read(piece_).ok();
  // A model whose name was cut, or stands behind the cut, is none.
  if (!is_readable || facts_.model_range().end > body.size()) facts_.set_tunnel({}, headers_);
  facts_.add_unread(match_.route, unread_bytes(body.size()));
  return {};
}

void ExtProcStream::read_body_and_decide(std::string_view body) {
  const codec::ScanStatus status = read_facts(body);
  if (!status.ok()) {
    const bool too_large = status.error == codec::ScanError::kBodyTooLarge;
    return reply({too_large ? ReplyReason::kTooLarge : ReplyReason::kBadRequest, status.message(),
                  status.field});
  }
  if (!facts_.model_replaced()) return decide(body);
  if (rewrite_model()) decide(body_.view());
}

// In the stored bytes, so that everything else in them stays. False: the client was told.
bool ExtProcStream::rewrite_model() {
  piece_.clear();
  codec::append_json_string(piece_, facts_.request().model);
  const codec::ByteRange range = facts_.model_range();
  if (!body_.splice(range.begin, range.end, piece_)) {
    reply({ReplyReason::kOverloaded, {}, {}});
    return false;
  }
  piece_.clear();
  codec::append_json_string(piece_, facts_.client_model());
  swap_.set(facts_.request().model, piece_);
  return true;
}

void ExtProcStream::decide_at_head() {
  model_.clear();
  if (match_.handling == Handling::kTunnel &&
      model_of_query(query_of(path_), model_) != QueryModel::kFound) {
    model_.clear();
  }
  facts_.set_tunnel(model_, headers_);
  facts_.add_unread(match_.route, unread_bytes(0));
  decide({});
}

void ExtProcStream::decide(std::string_view body) {
  phase_ = Phase::kDeciding;
  ExtProcRequest request = this->request();
  request.token_form = facts_.token_form();
  request.body = body;
  port_.on_decide(request);
}

void ExtProcStream::set_tokens(std::span<const std::uint32_t> tokens) {
  FAIRLEAD_ASSERT(phase_ == Phase::kDeciding);
  facts_.set_tokens(tokens, settings_->keys.tokens);
}

}  // namespace fairlead::exchange
