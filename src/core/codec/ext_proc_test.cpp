// SPDX-License-Identifier: Apache-2.0
#include "core/codec/ext_proc.h"

#include <envoy/service/ext_proc/v3/external_processor.pb.h>
#include <gtest/gtest.h>

#include <string>
#include <vector>

#include "base/random.h"

namespace fairlead::codec {
namespace {

namespace pb = envoy::service::ext_proc::v3;
using google::protobuf::Struct;

constexpr int kRounds = 3000;

std::string random_text(Random& random, std::size_t max) {
  std::string text(random.below(max + 1), ' ');
  for (char& c : text) c = static_cast<char>(' ' + random.below(95));
  return text;
}

std::string random_bytes(Random& random, std::size_t max) {
  std::string bytes(random.below(max + 1), '\0');
  for (char& c : bytes) c = static_cast<char>(random.next());
  return bytes;
}

void fill(Random& random, envoy::config::core::v3::HeaderMap& map) {
  for (std::uint64_t i = random.below(6); i > 0; --i) {
    auto& header = *map.add_headers();
    header.set_key(random_text(random, 20));
    if (random.below(2) == 0) header.set_value(random_text(random, 200));
    if (random.below(2) == 0) header.set_raw_value(random_bytes(random, 200));
  }
}

void fill(Random& random, Struct& object, int depth) {
  for (std::uint64_t i = random.below(4); i > 0; --i) {
    auto& value = (*object.mutable_fields())[random_text(random, 8)];
    switch (random.below(6)) {
      case 0:
        value.set_number_value(random.uniform());
        break;
      case 1:
        value.set_string_value(random_text(random, 30));
        break;
      case 2:
        value.set_bool_value(true);
        break;
      case 3:
        value.set_null_value(google::protobuf::NULL_VALUE);
        break;
      case 4:
        value.mutable_list_value()->add_values()->set_string_value("x");
        break;
      default:
        if (depth > 0) fill(random, *value.mutable_struct_value(), depth - 1);
        break;
    }
  }
}

void fill(Random& random, pb::HttpHeaders& headers) {
  fill(random, *headers.mutable_headers());
  headers.set_end_of_stream(random.below(2) == 0);
  if (random.below(4) == 0) fill(random, (*headers.mutable_attributes())["a"], 1);
}

void fill(Random& random, pb::HttpBody& body) {
  body.set_body(random_bytes(random, random.below(8) == 0 ? 70'000 : 300));
  body.set_end_of_stream(random.below(2) == 0);
}

void fill_phase(Random& random, pb::ProcessingRequest& message) {
  switch (random.below(7)) {
    case 0:
      return fill(random, *message.mutable_request_headers());
    case 1:
      return fill(random, *message.mutable_response_headers());
    case 2:
      return fill(random, *message.mutable_request_body());
    case 3:
      return fill(random, *message.mutable_response_body());
    case 4:
      return fill(random, *message.mutable_request_trailers()->mutable_trailers());
    case 5:
      return fill(random, *message.mutable_response_trailers()->mutable_trailers());
    default:
      return;
  }
}

void fill_hints(Random& random, Struct& hint) {
  auto& value = (*hint.mutable_fields())[std::string(kSubsetKey)];
  if (random.below(4) == 0) return value.set_string_value("10.0.0.1:8000");
  auto& list = *value.mutable_list_value();
  for (std::uint64_t i = random.below(4); i > 0; --i) {
    auto& item = *list.add_values();
    random.below(4) == 0 ? item.set_number_value(7)
                         : item.set_string_value("10.0.0." + std::to_string(i) + ":8000");
  }
}

pb::ProcessingRequest random_request(Random& random) {
  pb::ProcessingRequest message;
  fill_phase(random, message);
  if (random.below(2) == 0) {
    auto& metadata = *message.mutable_metadata_context()->mutable_filter_metadata();
    fill(random, metadata[random_text(random, 8)], 2);
    if (random.below(2) == 0) fill_hints(random, metadata[std::string(kSubsetNamespace)]);
    auto& served = (*metadata[std::string(kLoadBalancerNamespace)].mutable_fields());
    if (random.below(2) == 0) served[std::string(kServedKey)].set_string_value("10.0.0.9:80");
  }
  if (random.below(4) == 0) fill(random, (*message.mutable_attributes())["envoy"], 2);
  message.set_observability_mode(random.below(8) == 0);
  if (random.below(3) == 0) {
    auto& config = *message.mutable_protocol_config();
    using Mode = envoy::extensions::filters::http::ext_proc::v3::ProcessingMode;
    config.set_request_body_mode(static_cast<Mode::BodySendMode>(random.below(6)));
    config.set_response_body_mode(static_cast<Mode::BodySendMode>(random.below(6)));
    config.set_send_body_without_waiting_for_header_response(random.below(2) == 0);
  }
  return message;
}

void expect_headers(const envoy::config::core::v3::HeaderMap& wanted, std::string_view map) {
  HeaderMapReader reader(map);
  Http1Header header;
  for (const auto& want : wanted.headers()) {
    ASSERT_TRUE(reader.next(header));
    EXPECT_EQ(header.name, want.key());
    EXPECT_EQ(header.value, want.raw_value().empty() ? want.value() : want.raw_value());
  }
  EXPECT_FALSE(reader.next(header));
  EXPECT_TRUE(reader.ok());
}

void expect_metadata(const pb::ProcessingRequest& wanted, std::string_view metadata) {
  const auto& spaces = wanted.metadata_context().filter_metadata();
  for (const auto& [space, fields] : spaces) {
    for (const auto& [key, value] : fields.fields()) {
      EXPECT_EQ(find_metadata(metadata, space, key), value.SerializeAsString());
    }
  }
  const auto hint = spaces.find(std::string(kSubsetNamespace));
  const bool has_list =
      hint != spaces.end() && hint->second.fields().at(std::string(kSubsetKey)).has_list_value();
  std::vector<std::string_view> subset;
  ASSERT_EQ(read_subset_hint(metadata, 4, subset), has_list);
  std::size_t at = 0;
  if (has_list) {
    const auto& list = hint->second.fields().at(std::string(kSubsetKey)).list_value();
    for (const auto& item : list.values()) {
      if (!item.has_string_value()) continue;
      ASSERT_LT(at, subset.size());
      EXPECT_EQ(subset[at++], item.string_value());
    }
  }
  EXPECT_EQ(at, subset.size());
  const auto balancer = spaces.find(std::string(kLoadBalancerNamespace));
  const bool served = balancer != spaces.end() && balancer->second.fields().size() == 1;
  EXPECT_EQ(served_endpoint(metadata), served ? "10.0.0.9:80" : "");
}

void expect_phase(const pb::ProcessingRequest& wanted, const ProcessingRequest& got) {
  switch (wanted.request_case()) {
    case pb::ProcessingRequest::kRequestHeaders:
    case pb::ProcessingRequest::kResponseHeaders: {
      const bool request = wanted.has_request_headers();
      EXPECT_EQ(got.phase,
                request ? ProcessingPhase::kRequestHeaders : ProcessingPhase::kResponseHeaders);
      const auto& headers = request ? wanted.request_headers() : wanted.response_headers();
      EXPECT_EQ(got.end_of_stream, headers.end_of_stream());
      return expect_headers(headers.headers(), got.headers);
    }
    case pb::ProcessingRequest::kRequestBody:
    case pb::ProcessingRequest::kResponseBody: {
      const bool request = wanted.has_request_body();
      EXPECT_EQ(got.phase,
                request ? ProcessingPhase::kRequestBody : ProcessingPhase::kResponseBody);
      const auto& body = request ? wanted.request_body() : wanted.response_body();
      EXPECT_EQ(got.end_of_stream, body.end_of_stream());
      EXPECT_TRUE(got.body == body.body());
      return;
    }
    case pb::ProcessingRequest::kRequestTrailers:
      EXPECT_EQ(got.phase, ProcessingPhase::kRequestTrailers);
      return expect_headers(wanted.request_trailers().trailers(), got.headers);
    case pb::ProcessingRequest::kResponseTrailers:
      EXPECT_EQ(got.phase, ProcessingPhase::kResponseTrailers);
      return expect_headers(wanted.response_trailers().trailers(), got.headers);
    case pb::ProcessingRequest::REQUEST_NOT_SET:
      EXPECT_EQ(got.phase, ProcessingPhase::kNone);
      return;
  }
}

TEST(ExtProc, DecodesWhatLibprotobufWrites) {
  Random random(1);
  for (int round = 0; round < kRounds; ++round) {
    SCOPED_TRACE(round);
    const pb::ProcessingRequest wanted = random_request(random);
    const std::string message = wanted.SerializeAsString();
    ProcessingRequest got;
    ASSERT_TRUE(decode_processing_request(message, got));
    expect_phase(wanted, got);
    EXPECT_EQ(got.observability_mode, wanted.observability_mode());
    ASSERT_EQ(got.protocol.has_value(), wanted.has_protocol_config());
    if (got.protocol) {
      EXPECT_EQ(static_cast<int>(got.protocol->request_body),
                wanted.protocol_config().request_body_mode());
      EXPECT_EQ(static_cast<int>(got.protocol->response_body),
                wanted.protocol_config().response_body_mode());
    }
    expect_metadata(wanted, got.metadata);
    if (HasFailure()) return;
  }
}

// libprotobuf is stricter about text only, and no message here holds any that is not ASCII.
TEST(ExtProc, TakesACutMessageForWholeOnlyWhereLibprotobufDoes) {
  Random random(2);
  for (int round = 0; round < kRounds; ++round) {
    std::string message = random_request(random).SerializeAsString();
    if (message.size() > 2000) continue;
    message.resize(random.below(message.size() + 1));
    ProcessingRequest got;
    pb::ProcessingRequest referee;
    // Headers and metadata are looked into later, so more is let through here.
    if (referee.ParseFromString(message)) {
      EXPECT_TRUE(decode_processing_request(message, got)) << "round " << round;
    }
  }
}

struct ChangeTexts {
  std::vector<std::string> storage;
  std::vector<Http1Header> headers;
  std::vector<std::string_view> names;
};

ChangeTexts random_changes(Random& random) {
  ChangeTexts texts;
  const std::size_t headers = random.below(4);
  const std::size_t names = random.below(3);
  for (std::size_t i = 0; i < headers; ++i) {
    texts.storage.push_back(random_text(random, 20));
    texts.storage.push_back(random_bytes(random, 300));
  }
  for (std::size_t i = 0; i < names; ++i) texts.storage.push_back(random_text(random, 20));
  for (std::size_t i = 0; i < headers; ++i) {
    texts.headers.push_back({texts.storage[2 * i], texts.storage[2 * i + 1]});
  }
  for (std::size_t i = 0; i < names; ++i) texts.names.push_back(texts.storage[2 * headers + i]);
  return texts;
}

void expect_changes(const pb::HeaderMutation& got, const ChangeTexts& wanted) {
  ASSERT_EQ(static_cast<std::size_t>(got.set_headers_size()), wanted.headers.size());
  for (int i = 0; i < got.set_headers_size(); ++i) {
    EXPECT_EQ(got.set_headers(i).header().key(), wanted.headers[static_cast<std::size_t>(i)].name);
    EXPECT_TRUE(got.set_headers(i).header().raw_value() ==
                wanted.headers[static_cast<std::size_t>(i)].value);
  }
  ASSERT_EQ(static_cast<std::size_t>(got.remove_headers_size()), wanted.names.size());
  for (int i = 0; i < got.remove_headers_size(); ++i) {
    EXPECT_EQ(got.remove_headers(i), wanted.names[static_cast<std::size_t>(i)]);
  }
}

void expect_destination(const pb::ProcessingResponse& got, const Destination& wanted) {
  ASSERT_EQ(got.has_dynamic_metadata(), !wanted.endpoints.empty());
  if (wanted.endpoints.empty()) return;
  const auto& fields =
      got.dynamic_metadata().fields().at(std::string(kLoadBalancerNamespace)).struct_value();
  EXPECT_EQ(fields.fields().at(std::string(kDestinationHeader)).string_value(), wanted.endpoints);
}

Destination random_destination(Random& random) {
  if (random.below(2) == 0) return {};
  return {"10.0.0.1:8000,[fd00::1]:8000"};
}

TEST(ExtProc, LibprotobufReadsRepliesToHeaders) {
  Random random(3);
  for (int round = 0; round < kRounds; ++round) {
    SCOPED_TRACE(round);
    const ChangeTexts texts = random_changes(random);
    HeadersReply reply;
    reply.side = random.below(2) == 0 ? ProcessingSide::kRequest : ProcessingSide::kResponse;
    reply.changes = {texts.headers, texts.names};
    reply.route_cache = random.below(2) == 0 ? RouteCache::kClear : RouteCache::kKeep;
    reply.destination = random_destination(random);
    std::string message;
    append_headers_reply(reply, message);
    pb::ProcessingResponse got;
    ASSERT_TRUE(got.ParseFromString(message));
    const bool request = reply.side == ProcessingSide::kRequest;
    ASSERT_EQ(got.has_request_headers(), request);
    ASSERT_EQ(got.has_response_headers(), !request);
    const auto& common = (request ? got.request_headers() : got.response_headers()).response();
    EXPECT_EQ(common.status(), pb::CommonResponse::CONTINUE);
    EXPECT_EQ(common.clear_route_cache(), reply.route_cache == RouteCache::kClear);
    expect_changes(common.header_mutation(), texts);
    expect_destination(got, reply.destination);
    if (HasFailure()) return;
  }
}

TEST(ExtProc, LibprotobufReadsScoresBesideTheDestination) {
  constexpr NamedNumber kScores[] = {{"10.0.0.1:8000", 0.75}, {"[fd00::1]:80", -12.5}, {"c", 0}};
  std::string bytes;
  append_headers_reply({.destination = {"10.0.0.1:8000", kScores}}, bytes);
  pb::ProcessingResponse reply;
  ASSERT_TRUE(reply.ParseFromString(bytes));
  const auto& space = reply.dynamic_metadata().fields().at("envoy.lb").struct_value().fields();
  EXPECT_EQ(space.at("x-gateway-destination-endpoint").string_value(), "10.0.0.1:8000");
  const auto& scores = space.at("x-gateway-destination-endpoint-scores").struct_value().fields();
  ASSERT_EQ(scores.size(), 3U);
  for (const NamedNumber& one : kScores) {
    EXPECT_EQ(scores.at(std::string(one.name)).number_value(), one.value) << one.name;
  }
}

TEST(ExtProc, LibprotobufReadsNumbersThatTravelWithAReply) {
  constexpr MetadataNumber kNumbers[] = {
      {"envoy.lb", "cost", 42}, {"billing", "tokens", 7}, {"envoy.lb", "more", 0.5}};
  std::string bytes;
  append_metadata(kNumbers, bytes);
  append_streamed_head(ProcessingSide::kResponse, 3, BodyEnd::kLast, bytes);
  bytes += "abc";
  pb::ProcessingResponse reply;
  ASSERT_TRUE(reply.ParseFromString(bytes));
  EXPECT_EQ(reply.response_body().response().body_mutation().streamed_response().body(), "abc");
  const auto& spaces = reply.dynamic_metadata().fields();
  ASSERT_EQ(spaces.size(), 2U);
  const auto& lb = spaces.at("envoy.lb").struct_value().fields();
  EXPECT_EQ(lb.at("cost").number_value(), 42);
  EXPECT_EQ(lb.at("more").number_value(), 0.5);
  EXPECT_EQ(spaces.at("billing").struct_value().fields().at("tokens").number_value(), 7);
  bytes.clear();
  append_metadata({}, bytes);
  EXPECT_EQ(bytes, "");
}

TEST(ExtProc, LibprotobufReadsPiecesOfABodyWhoseBytesFollow) {
  for (const std::size_t size :
       {0U, 1U, 100U, 115U, 120U, 127U, 128U, 16'383U, 62'000U, 3'000'000U}) {
    for (const BodyEnd end : {BodyEnd::kMore, BodyEnd::kLast}) {
      for (const ProcessingSide side : {ProcessingSide::kRequest, ProcessingSide::kResponse}) {
        const std::string body(size, 'b');
        std::string message;
        append_streamed_head(side, size, end, message);
        message += body;
        pb::ProcessingResponse got;
        ASSERT_TRUE(got.ParseFromString(message)) << size;
        const bool request = side == ProcessingSide::kRequest;
        ASSERT_EQ(got.has_request_body(), request);
        const auto& mutation =
            (request ? got.request_body() : got.response_body()).response().body_mutation();
        ASSERT_TRUE(mutation.has_streamed_response());
        EXPECT_TRUE(mutation.streamed_response().body() == body);
        EXPECT_EQ(mutation.streamed_response().end_of_stream(), end == BodyEnd::kLast);
      }
    }
  }
}

TEST(ExtProc, LibprotobufReadsRepliesToBufferedBodies) {
  Random random(4);
  for (int round = 0; round < kRounds; ++round) {
    SCOPED_TRACE(round);
    const ChangeTexts texts = random_changes(random);
    const std::string body = random_bytes(random, 20'000);
    BodyReply reply;
    reply.side = random.below(2) == 0 ? ProcessingSide::kRequest : ProcessingSide::kResponse;
    reply.changes = {texts.headers, texts.names};
    reply.route_cache = random.below(2) == 0 ? RouteCache::kClear : RouteCache::kKeep;
    reply.destination = random_destination(random);
    reply.body = static_cast<BodyChange>(random.below(3));
    reply.body_bytes = body.size();
    std::string message;
    append_body_reply(reply, message);
    if (reply.body == BodyChange::kReplaced) message += body;
    pb::ProcessingResponse got;
    ASSERT_TRUE(got.ParseFromString(message));
    const bool request = reply.side == ProcessingSide::kRequest;
    ASSERT_EQ(got.has_request_body(), request);
    const auto& common = (request ? got.request_body() : got.response_body()).response();
    EXPECT_EQ(common.clear_route_cache(), reply.route_cache == RouteCache::kClear);
    EXPECT_EQ(common.has_body_mutation(), reply.body != BodyChange::kKept);
    EXPECT_EQ(common.body_mutation().clear_body(), reply.body == BodyChange::kCleared);
    if (reply.body == BodyChange::kReplaced) {
      EXPECT_TRUE(common.body_mutation().body() == body);
    }
    expect_changes(common.header_mutation(), texts);
    expect_destination(got, reply.destination);
    if (HasFailure()) return;
  }
}

TEST(ExtProc, LibprotobufReadsImmediateAndTrailersReplies) {
  const Http1Header headers[] = {{"content-type", "application/json"}, {"retry-after", "2"}};
  std::string message;
  append_immediate_reply(
      {.status = 503, .headers = headers, .body = "{}", .details = "no_endpoint"}, message);
  pb::ProcessingResponse got;
  ASSERT_TRUE(got.ParseFromString(message));
  EXPECT_EQ(got.immediate_response().status().code(), 503);
  EXPECT_EQ(got.immediate_response().body(), "{}");
  EXPECT_EQ(got.immediate_response().details(), "no_endpoint");
  ASSERT_EQ(got.immediate_response().headers().set_headers_size(), 2);
  EXPECT_EQ(got.immediate_response().headers().set_headers(1).header().raw_value(), "2");

  message.clear();
  append_trailers_reply(ProcessingSide::kRequest, message);
  ASSERT_TRUE(got.ParseFromString(message));
  EXPECT_TRUE(got.has_request_trailers());
  message.clear();
  append_trailers_reply(ProcessingSide::kResponse, message);
  ASSERT_TRUE(got.ParseFromString(message));
  EXPECT_TRUE(got.has_response_trailers());
}

TEST(WireReader, PassesOverGroupsAndRefusesThoseThatDoNotEnd) {
  const std::string whole("\x0b\x10\x05\x13\x08\x01\x14\x0c\x18\x07", 10);
  WireReader reader(whole);
  ASSERT_TRUE(reader.next());
  EXPECT_TRUE(reader.is_varint(3));
  EXPECT_EQ(reader.number(), 7U);
  EXPECT_FALSE(reader.next());
  EXPECT_TRUE(reader.ok());
  for (const std::string_view bad : {"\x0b\x10\x05", "\x0b\x14", "\x0c", "\x0b\x13\x0c\x14"}) {
    WireReader broken(bad);
    EXPECT_FALSE(broken.next());
    EXPECT_FALSE(broken.ok());
  }
  const std::string nested(WireReader::kGroupDepthMax + 1, '\x0b');
  WireReader deep(nested);
  EXPECT_FALSE(deep.next());
  EXPECT_FALSE(deep.ok());
}

TEST(WireReader, RefusesBytesThatAreNoField) {
  using namespace std::string_view_literals;
  for (const std::string_view bad :
       {"\x00\x01"sv, "\x0e\x01"sv, "\x0f"sv, "\x0a\x05zzzz"sv, "\x09\x01\x02"sv, "\x0d\x01"sv,
        "\x08"sv, "\x08\x80"sv, "\x08\x80\x80\x80\x80\x80\x80\x80\x80\x80\x80\x01"sv,
        "\x88\x80\x80\x80\x80\x01\x01"sv, "\x0a\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01z"sv}) {
    WireReader reader(bad);
    while (reader.next()) {
    }
    EXPECT_FALSE(reader.ok());
  }
}

}  // namespace
}  // namespace fairlead::codec
