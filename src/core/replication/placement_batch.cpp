// SPDX-License-Identifier: Apache-2.0
#include "core/replication/placement_batch.h"

#include <algorithm>
#include <bit>
#include <cstring>
#include <optional>
#include <utility>

namespace fairlead::replication {
namespace {

static_assert(std::endian::native == std::endian::little);

constexpr std::string_view kMagic = "FLPB";
constexpr std::size_t kHeadBytes = 4 + 4 + 8 + 8 + 4 + 4;
constexpr std::size_t kPlacementBytes = 8 + 4;  // Without its keys.

template <class T>
void put(std::string& out, T value) {
  out.append(reinterpret_cast<const char*>(&value), sizeof value);
}

// Takes values off the front of bytes; after one that was not there nothing is.
class Cursor {
 public:
  explicit Cursor(std::string_view bytes) : left_(bytes) {}

  std::size_t left() const { return left_.size(); }
  template <class T>
  std::optional<T> take() {
    if (left_.size() < sizeof(T)) {
      left_ = {};
      return std::nullopt;
    }
    T value;
    std::memcpy(&value, left_.data(), sizeof value);
    left_.remove_prefix(sizeof value);
    return value;
  }
  bool take_words(std::size_t count, std::vector<std::uint64_t>& out) {
    if (left_.size() / sizeof(std::uint64_t) < count) return false;
    const std::size_t before = out.size();
    const std::size_t bytes = count * sizeof(std::uint64_t);
    out.resize(before + count);
    if (count > 0) std::memcpy(out.data() + before, left_.data(), bytes);
    left_.remove_prefix(bytes);
    return true;
  }

 private:
  std::string_view left_;
};

}  // namespace

bool PlacementWriter::add(const Placement& placement) {
  const auto keys = placement.keys.first(std::min(placement.keys.size(), kPlacementKeysMax));
  if (kHeadBytes + body_.size() + kPlacementBytes + keys.size_bytes() > kBatchBytesMax) {
    return false;
  }
  put(body_, placement.endpoint);
  put(body_, static_cast<std::uint32_t>(keys.size()));
  body_.append(reinterpret_cast<const char*>(keys.data()), keys.size_bytes());
  ++count_;
  return true;
}

std::string PlacementWriter::finish(const BatchHead& head) {
  std::string out;
  out.reserve(kHeadBytes + body_.size());
  out += kMagic;
  put(out, kBatchVersion);
  put(out, head.sender);
  put(out, head.number);
  put(out, head.block_bytes);
  put(out, std::exchange(count_, 0));
  out += body_;
  body_.clear();
  return out;
}

bool looks_like_batch(std::string_view bytes) { return bytes.starts_with(kMagic); }

BatchFault PlacementReader::read(std::string_view bytes) {
  placements_.clear();
  keys_.clear();
  if (bytes.size() > kBatchBytesMax || !looks_like_batch(bytes)) return BatchFault::kMalformed;
  Cursor cursor(bytes.substr(kMagic.size()));
  const auto version = cursor.take<std::uint32_t>();
  if (!version) return BatchFault::kMalformed;
  if (*version != kBatchVersion) return BatchFault::kOtherVersion;
  const auto sender = cursor.take<std::uint64_t>();
  const auto number = cursor.take<std::uint64_t>();
  const auto block_bytes = cursor.take<std::uint32_t>();
  const auto count = cursor.take<std::uint32_t>();
  if (!count || *count > cursor.left() / kPlacementBytes) return BatchFault::kMalformed;
  if (*count > 0 && *number == 0) return BatchFault::kMalformed;  // Numbers begin with 1.
  head_ = {*sender, *number, *block_bytes};
  if (!read_placements(*count, bytes.substr(bytes.size() - cursor.left()))) {
    placements_.clear();
    return BatchFault::kMalformed;
  }
  return BatchFault::kNone;
}

bool PlacementReader::read_placements(std::uint32_t count, std::string_view bytes) {
  Cursor cursor(bytes);
  ends_.clear();
  for (std::uint32_t i = 0; i < count; ++i) {
    const auto endpoint = cursor.take<std::uint64_t>();
    const auto keys = cursor.take<std::uint32_t>();
    if (!keys || *keys > kPlacementKeysMax || !cursor.take_words(*keys, keys_)) return false;
    placements_.push_back({*endpoint, {}});
    ends_.push_back(keys_.size());
  }
  // Where the keys lie is known when all are read.
  std::size_t begin = 0;
  for (std::size_t i = 0; i < placements_.size(); ++i) {
    placements_[i].keys = std::span(keys_).subspan(begin, ends_[i] - begin);
    begin = ends_[i];
  }
  return cursor.left() == 0;
}

}  // namespace fairlead::replication
