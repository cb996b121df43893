// SPDX-License-Identifier: Apache-2.0
// BodyStore: memory for request bodies that must be read as a whole, lent to the requests of one
// worker and reused, because page faults of fresh memory would double the cost of a large body.
//
// Bounds: bytes lent out together, above which append() refuses, and bytes kept for reuse. Stores
// that are given one count share the first bound, as the workers of a process do.
// Threads: one owner a store; the count is anybody's. The store outlives the bodies that it lends.
#pragma once

#include <atomic>
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
  bool reserve(std::size_t size);

  BodyStore& store_;
  std::string bytes_;
  std::size_t charged_ = 0;
};

class BodyStore {
 public:
  // `lent_together` counts what all stores have lent that were given it, and outlives them.
  BodyStore(std::atomic<std::size_t>& lent_together, const BodyStoreLimits& limits)
      : limits_(limits), lent_together_(lent_together) {}
  // One that shares with none.
  explicit BodyStore(const BodyStoreLimits& limits = {}) : BodyStore(own_count_, limits) {}
  BodyStore(const BodyStore&) = delete;
  BodyStore& operator=(const BodyStore&) = delete;

  // Of what is lent already, nothing is taken back.
  void set_lent_bytes_max(std::size_t bytes) { limits_.lent_bytes_max = bytes; }
  std::size_t lent_bytes() const { return lent_bytes_; }  // By this store.
  std::size_t kept_bytes() const { return kept_bytes_; }

 private:
  friend class StoredBody;
  std::string take();
  void give_back(std::string bytes);
  bool lend(std::size_t bytes);
  void lent_back(std::size_t bytes);

  BodyStoreLimits limits_;
  std::atomic<std::size_t> own_count_{0};
  std::atomic<std::size_t>& lent_together_;
  std::size_t lent_bytes_ = 0;
  std::size_t kept_bytes_ = 0;
  std::vector<std::string> free_;
};

}  // namespace fairlead::exchange
