// SPDX-License-Identifier: Apache-2.0
// BodyStore: memory for request bodies that must be read as a whole, lent to the requests of one
// worker and reused, because page faults of fresh memory would double the cost of a large body.
//
// Bounds: bytes lent out together, above which append() refuses, and bytes kept for reuse.
// Threads: one owner. It outlives the bodies that it lends.
#pragma once

#include <cstddef>
#include <string>
#include <string_view>
#include <vector>

namespace fairlead::exchange {

struct BodyStoreLimits {
  std::size_t lent_bytes_max = std::size_t{1} << 30;
  std::size_t kept_bytes_max = std::size_t{32} << 20;
};

class BodyStore;

// One body, a part of its request.
class StoredBody {
 public:
  explicit StoredBody(BodyStore& store) : store_(store) {}
  ~StoredBody() { release(); }
  StoredBody(const StoredBody&) = delete;
  StoredBody& operator=(const StoredBody&) = delete;

  // False, and nothing is stored, when the store has lent all that it may.
  [[nodiscard]] bool append(std::string_view bytes);
  // Replaces a part of the content. False, and nothing changes, as above.
  [[nodiscard]] bool splice(std::size_t begin, std::size_t end, std::string_view bytes);
  std::string_view view() const { return bytes_; }
  void release();

 private:
  bool charge(std::size_t capacity);
  bool reserve(std::size_t size);

  BodyStore& store_;
  std::string bytes_;
  std::size_t charged_ = 0;
};

class BodyStore {
 public:
  explicit BodyStore(const BodyStoreLimits& limits = {}) : limits_(limits) {}
  BodyStore(const BodyStore&) = delete;
  BodyStore& operator=(const BodyStore&) = delete;

  std::size_t lent_bytes() const { return lent_bytes_; }
  std::size_t kept_bytes() const { return kept_bytes_; }

 private:
  friend class StoredBody;
  std::string take();
  void give_back(std::string bytes);

  BodyStoreLimits limits_;
  std::size_t lent_bytes_ = 0;
  std::size_t kept_bytes_ = 0;
  std::vector<std::string> free_;
};

}  // namespace fairlead::exchange
