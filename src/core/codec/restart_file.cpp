// SPDX-License-Identifier: Apache-2.0
#include "core/codec/restart_file.h"

#include <fmt/format.h>
#include <xxhash.h>

#include <algorithm>
#include <bit>
#include <cstring>
#include <utility>

#include "base/assert.h"
#include "base/mutant.h"

namespace fairlead::codec {
namespace {

constexpr std::string_view kMagic("FLRESUM\n", 8);
constexpr std::size_t kFileHead = 16;
constexpr std::size_t kRecordHead = 16;
// Runs of one record, about; a single run may be longer.
constexpr std::size_t kRunsBytes = std::size_t{256} << 10;
constexpr std::uint32_t kKinds = 8;
constexpr std::uint32_t kTiersMax = 8;
constexpr std::uint32_t kGroupsMax = 1024;

std::uint64_t checksum(std::uint64_t number, std::uint32_t kind, std::string_view payload) {
  const std::uint64_t seed = number << 32 ^ std::uint64_t{kind} << 56 ^ payload.size();
  return XXH3_64bits_withSeed(payload.data(), payload.size(), seed);
}

template <class T>
void put(std::string& out, T value) {
  static_assert(std::endian::native == std::endian::little);
  const std::size_t at = out.size();
  out.resize(at + sizeof(T));
  std::memcpy(out.data() + at, &value, sizeof(T));
}

void put_text(std::string& out, std::string_view text) {
  text = text.substr(0, kRestartTextMax);
  put(out, static_cast<std::uint32_t>(text.size()));
  out.append(text);
}

void put_maybe(std::string& out, std::optional<double> value) {
  put(out, static_cast<std::uint8_t>(value.has_value()));
  put(out, value.value_or(0));
}

void put_words(std::string& out, std::span<const std::uint64_t> words) {
  out.append(reinterpret_cast<const char*>(words.data()), words.size_bytes());
}

// Reads a payload. Once something was missing or wrong, all that follows reads as nothing.
class Cursor {
 public:
  explicit Cursor(std::string_view bytes) : bytes_(bytes) {}

  template <class T>
  T take() {
    T value{};
    if (const auto part = bytes(sizeof(T)); good_) std::memcpy(&value, part.data(), sizeof(T));
    return value;
  }
  std::uint32_t count(std::uint32_t most) {
    const auto value = take<std::uint32_t>();
    good_ = good_ && value <= most;
    return good_ ? value : 0;
  }
  std::string text() { return std::string(bytes(count(kRestartTextMax))); }
  bool flag() {
    const auto value = take<std::uint8_t>();
    good_ = good_ && value <= 1;
    return value == 1;
  }
  std::optional<double> maybe() {
    const bool known = flag();
    const auto value = take<double>();
    return known ? std::optional(value) : std::nullopt;
  }
  // Replaces `out` by so many words; no memory is taken for what is not there.
  void words(std::size_t count, std::vector<std::uint64_t>& out) {
    out.clear();
    if (count > bytes_.size() / 8) good_ = false;
    if (!good_ || count == 0) return;
    out.resize(count);
    const auto part = bytes(count * 8);
    std::memcpy(out.data(), part.data(), part.size());
  }
  void require(bool truth) { good_ = good_ && truth; }
  bool good() const { return good_; }
  std::size_t left() const { return good_ ? bytes_.size() : 0; }

 private:
  std::string_view bytes(std::size_t size) {
    if (size > bytes_.size()) good_ = false;
    if (!good_) return {};
    const std::string_view part = bytes_.substr(0, size);
    bytes_.remove_prefix(size);
    return part;
  }

  std::string_view bytes_;
  bool good_ = true;
};

void write(std::string& out, const RestartRun& run) {
  FAIRLEAD_ASSERT(run.keys.size() == run.hashes.size() && !run.keys.empty() &&
                  run.keys.size() <= kRestartRunBlocksMax &&
                  run.names.size() <= kRestartRunNamesMax);
  put(out, static_cast<std::uint32_t>(run.keys.size()));
  put(out, static_cast<std::uint32_t>(run.names.size()));
  put(out, static_cast<std::uint32_t>(run.holders.size()));
  put_words(out, run.keys);
  put_words(out, run.hashes);
  for (const RestartRun::Name& name : run.names) {
    put(out, name.offset);
    put(out, name.hash);
  }
  for (const RestartRun::Holder& holder : run.holders) {
    put(out, holder.slot);
    put(out, holder.blocks);
  }
}

void read(Cursor& from, RestartRun& run) {
  const std::uint32_t blocks = from.count(kRestartRunBlocksMax);
  const std::uint32_t names = from.count(kRestartRunNamesMax);
  const std::uint32_t holders = from.count(0xffff);
  from.require(blocks > 0);
  from.words(blocks, run.keys);
  from.words(blocks, run.hashes);
  from.require(names <= from.left() / 12);
  run.names.clear();
  for (std::uint32_t i = 0; i < names && from.good(); ++i) {
    const auto offset = from.take<std::uint32_t>();
    run.names.push_back({offset, from.take<std::uint64_t>()});
    from.require(offset < blocks);
  }
  from.require(holders <= from.left() / 4);
  run.holders.clear();
  for (std::uint32_t i = 0; i < holders && from.good(); ++i) {
    const auto slot = from.take<std::uint16_t>();
    const auto held = from.take<std::uint16_t>();
    run.holders.push_back({slot, held});
    from.require(held > 0 && held <= blocks);
  }
}

RestartHead read_head(Cursor& from) {
  RestartHead head;
  head.key_seed = from.take<std::uint64_t>();
  head.saved_at = from.take<double>();
  head.block_bytes = from.take<std::uint64_t>();
  head.tokens_asked = from.take<std::uint32_t>();
  head.tokens_told = from.take<std::uint32_t>();
  head.domains = from.count(kRestartDomainsMax);
  return head;
}

RestartEndpoint read_endpoint(Cursor& from) {
  RestartEndpoint endpoint;
  endpoint.name = from.text();
  endpoint.address = from.text();
  endpoint.started_at = from.maybe();
  endpoint.prefix_queries = from.maybe();
  endpoint.budget_bytes = from.take<std::uint64_t>();
  endpoint.cold_age = from.take<std::uint64_t>();
  return endpoint;
}

RestartHistory read_history(Cursor& from, std::size_t endpoints) {
  RestartHistory history;
  history.endpoint = from.take<std::uint32_t>();
  from.require(history.endpoint < endpoints);
  const auto kind = from.take<std::uint8_t>();
  from.require(kind <= static_cast<std::uint8_t>(RestartHistory::Kind::kMedia));
  history.kind = static_cast<RestartHistory::Kind>(kind);
  const auto stretches = from.take<std::uint32_t>();
  from.require(stretches <= from.left() / 8);
  std::size_t keys = 0;
  for (std::uint32_t i = 0; i < stretches && from.good(); ++i) {
    const auto parent = from.take<std::uint32_t>();
    const auto blocks = from.take<std::uint32_t>();
    from.require((parent == kRestartNone || parent < i) && blocks > 0);
    keys += blocks;
    history.stretches.push_back({parent, blocks});
  }
  from.words(keys, history.keys);
  return history;
}

RestartPublisher read_publisher(Cursor& from, const RestartHead& head) {
  RestartPublisher publisher;
  publisher.endpoint = from.text();
  publisher.events = from.text();
  publisher.replay = from.text();
  publisher.topic = from.text();
  publisher.rank = from.take<std::uint32_t>();
  publisher.next = from.take<std::uint64_t>();
  publisher.witness = from.take<std::uint64_t>();
  publisher.complete = from.flag();
  publisher.settled = from.take<std::uint64_t>();
  from.require(publisher.next > 0);
  for (std::uint32_t i = from.count(kTiersMax); i > 0; --i) {
    publisher.slots.push_back(from.take<std::uint32_t>());
    from.require(publisher.slots.back() < 0xffff || publisher.slots.back() == kRestartNone);
  }
  for (std::uint32_t i = from.count(kGroupsMax); i > 0; --i) {
    const auto number = from.take<std::uint32_t>();
    publisher.groups.push_back({number, from.take<std::uint8_t>()});
  }
  publisher.block_tokens = from.take<std::uint32_t>();
  publisher.domain = from.take<std::uint32_t>();
  from.require(publisher.domain < head.domains || publisher.domain == kRestartNone);
  return publisher;
}

}  // namespace

enum class RestartWriter::Kind : std::uint32_t {
  kHead = 1,
  kCalibration,
  kEndpoint,
  kHistory,
  kDomain,
  kPublisher,
  kRuns,
  kEnd = kKinds,
};

RestartWriter::RestartWriter() {
  out_.append(kMagic);
  put(out_, kRestartVersion);
  put(out_, std::uint32_t{0});
}

void RestartWriter::record(Kind kind, std::string_view payload) {
  FAIRLEAD_ASSERT(payload.size() <= kRestartRecordBytesMax);
  put(out_, static_cast<std::uint32_t>(payload.size()));
  put(out_, static_cast<std::uint32_t>(kind));
  put(out_, checksum(records_, static_cast<std::uint32_t>(kind), payload));
  out_.append(payload);
  ++records_;
}

void RestartWriter::flush_runs() {
  if (runs_.empty()) return;
  record(Kind::kRuns, runs_);
  runs_.clear();
}

void RestartWriter::add(const RestartHead& head) {
  scratch_.clear();
  put(scratch_, head.key_seed);
  put(scratch_, head.saved_at);
  put(scratch_, head.block_bytes);
  put(scratch_, head.tokens_asked);
  put(scratch_, head.tokens_told);
  put(scratch_, head.domains);
  record(Kind::kHead, scratch_);
}

void RestartWriter::add(const RestartCalibration& calibration) {
  scratch_.clear();
  put(scratch_, calibration.version);
  put(scratch_, calibration.turn);
  record(Kind::kCalibration, scratch_);
}

void RestartWriter::add(const RestartEndpoint& endpoint) {
  scratch_.clear();
  put_text(scratch_, endpoint.name);
  put_text(scratch_, endpoint.address);
  put_maybe(scratch_, endpoint.started_at);
  put_maybe(scratch_, endpoint.prefix_queries);
  put(scratch_, endpoint.budget_bytes);
  put(scratch_, endpoint.cold_age);
  record(Kind::kEndpoint, scratch_);
}

void RestartWriter::add(const RestartHistory& history) {
  scratch_.clear();
  put(scratch_, history.endpoint);
  put(scratch_, static_cast<std::uint8_t>(history.kind));
  put(scratch_, static_cast<std::uint32_t>(history.stretches.size()));
  for (const RestartHistory::Stretch& stretch : history.stretches) {
    put(scratch_, stretch.parent);
    put(scratch_, stretch.blocks);
  }
  put_words(scratch_, history.keys);
  record(Kind::kHistory, scratch_);
}

void RestartWriter::add(const RestartDomain& domain) {
  scratch_.clear();
  put(scratch_, domain.algorithm);
  put_text(scratch_, domain.seed);
  put(scratch_, domain.domain);
  record(Kind::kDomain, scratch_);
}

void RestartWriter::add(const RestartPublisher& publisher) {
  flush_runs();
  scratch_.clear();
  put_text(scratch_, publisher.endpoint);
  put_text(scratch_, publisher.events);
  put_text(scratch_, publisher.replay);
  put_text(scratch_, publisher.topic);
  put(scratch_, publisher.rank);
  put(scratch_, publisher.next);
  put(scratch_, publisher.witness);
  put(scratch_, static_cast<std::uint8_t>(publisher.complete));
  put(scratch_, publisher.settled);
  put(scratch_, static_cast<std::uint32_t>(publisher.slots.size()));
  for (const std::uint32_t slot : publisher.slots) put(scratch_, slot);
  put(scratch_, static_cast<std::uint32_t>(publisher.groups.size()));
  for (const RestartPublisher::Group& group : publisher.groups) {
    put(scratch_, group.number);
    put(scratch_, group.kind);
  }
  put(scratch_, publisher.block_tokens);
  put(scratch_, publisher.domain);
  record(Kind::kPublisher, scratch_);
}

void RestartWriter::add(const RestartRun& run) {
  write(runs_, run);
  if (runs_.size() >= kRunsBytes) flush_runs();
}

void RestartWriter::finish() {
  flush_runs();
  scratch_.clear();
  put(scratch_, records_);
  record(Kind::kEnd, scratch_);
}

std::string RestartWriter::take() {
  taken_ += out_.size();
  return std::exchange(out_, {});
}

std::string_view to_string(RestartFault::Kind kind) {
  switch (kind) {
    case RestartFault::Kind::kForeign:
      return "foreign";
    case RestartFault::Kind::kVersion:
      return "version";
    case RestartFault::Kind::kTruncated:
      return "truncated";
    case RestartFault::Kind::kChecksum:
      return "checksum";
    case RestartFault::Kind::kMalformed:
      return "malformed";
  }
  return "unknown";
}

std::string RestartFault::describe() const { return fmt::format("byte {}: {}", offset, what); }

bool RestartRuns::next(RestartRun& run) {
  while (record_ < records_.size()) {
    Cursor from(records_[record_].substr(at_));
    if (from.left() == 0) {
      ++record_;
      at_ = 0;
      continue;
    }
    read(from, run);
    at_ = records_[record_].size() - from.left();
    return true;
  }
  return false;
}

class RestartReader {
 public:
  using Kind = RestartWriter::Kind;

  explicit RestartReader(std::string_view bytes) : bytes_(bytes) {}

  std::optional<RestartFault> read(RestartImage& image) {
    image = {};
    if (!read_file_head()) return fault_;
    while (!ended_) {
      if (!read_record()) return fault_;
    }
    if (at_ != bytes_.size()) {
      refuse(RestartFault::Kind::kMalformed, "something follows the last record");
      return fault_;
    }
    image = std::move(image_);
    return std::nullopt;
  }

 private:
  bool refuse(RestartFault::Kind kind, std::string_view what) {
    fault_ = {kind, at_, what};
    return false;
  }

  bool read_file_head() {
    using enum RestartFault::Kind;
    const std::size_t known = std::min(bytes_.size(), kMagic.size());
    if (bytes_.substr(0, known) != kMagic.substr(0, known)) {
      return refuse(kForeign, "this is no file of a router's restart");
    }
    if (bytes_.size() < kFileHead) return refuse(kTruncated, "the file ends in its head");
    Cursor from(bytes_.substr(kMagic.size()));
    if (from.take<std::uint32_t>() != kRestartVersion) {
      return refuse(kVersion, "another version of the program wrote it");
    }
    if (from.take<std::uint32_t>() != 0) return refuse(kMalformed, "its head has unknown marks");
    at_ = kFileHead;
    return true;
  }

  bool read_record() {
    using enum RestartFault::Kind;
    Cursor head(bytes_.substr(at_));
    const auto size = head.take<std::uint32_t>();
    const auto kind = head.take<std::uint32_t>();
    const auto sum = head.take<std::uint64_t>();
    if (!head.good()) return refuse(kTruncated, "the file ends before its last record");
    if (size > kRestartRecordBytesMax || kind == 0 || kind > kKinds) {
      return refuse(kChecksum, "a record has an impossible head");
    }
    if (size > head.left()) return refuse(kTruncated, "the file ends in a record");
    const std::string_view payload = bytes_.substr(at_ + kRecordHead, size);
    if (checksum(records_, kind, payload) != sum && !planted(Mutant::kUncheckedFile)) {
      return refuse(kChecksum, "a record is not what was written");
    }
    if ((records_ == 0) != (static_cast<Kind>(kind) == Kind::kHead)) {
      return refuse(kMalformed, "its first record is not the only head");
    }
    if (!take(static_cast<Kind>(kind), payload)) {
      return refuse(kMalformed, "a record makes no sense");
    }
    ++records_;
    at_ += kRecordHead + size;
    return true;
  }

  bool take(Kind kind, std::string_view payload) {
    Cursor from(payload);
    switch (kind) {
      case Kind::kHead:
        image_.head = read_head(from);
        break;
      case Kind::kCalibration:
        return take_calibration(from);
      case Kind::kEndpoint:
        image_.endpoints.push_back(read_endpoint(from));
        break;
      case Kind::kHistory:
        image_.histories.push_back(read_history(from, image_.endpoints.size()));
        break;
      case Kind::kDomain: {
        RestartDomain domain;
        domain.algorithm = from.take<std::uint32_t>();
        domain.seed = from.text();
        domain.domain = from.take<std::uint32_t>();
        from.require(domain.domain < image_.head.domains);
        image_.domains.push_back(std::move(domain));
        break;
      }
      case Kind::kPublisher:
        image_.publishers.push_back(read_publisher(from, image_.head));
        break;
      case Kind::kRuns:
        while (from.left() > 0) codec::read(from, run_);
        image_.runs.records_.push_back(payload);
        break;
      case Kind::kEnd:
        from.require(from.take<std::uint64_t>() == records_);
        ended_ = true;
        break;
    }
    return from.good() && from.left() == 0;
  }

  bool take_calibration(Cursor& from) {
    RestartCalibration calibration;
    calibration.version = from.take<std::uint32_t>();
    if (calibration.version != 1) return from.good();
    calibration.turn = from.take<std::uint64_t>();
    image_.calibration = calibration;
    return from.good() && from.left() == 0;
  }

  std::string_view bytes_;
  std::uint64_t at_ = 0;
  std::uint64_t records_ = 0;
  bool ended_ = false;
  RestartFault fault_;
  RestartImage image_;
  RestartRun run_;
};

std::optional<RestartFault> read_restart(std::string_view bytes, RestartImage& image) {
  return RestartReader(bytes).read(image);
}

}  // namespace fairlead::codec
