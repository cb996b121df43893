// SPDX-License-Identifier: Apache-2.0
// Recency: for each endpoint, its holdings (one a run) from the least to the most recently used.
// One link pool serves all endpoints, so that a slot costs 8 bytes and a holding 12; every
// operation is O(1). A link is an index that stays valid until it is removed. Threads:
// thread-compatible.
#pragma once

#include <cstddef>
#include <cstdint>
#include <vector>

namespace fairlead::prefix {

inline constexpr std::uint32_t kNoLink = 0xffffffff;

class Recency {
 public:
  // Slots below `count` become usable.
  void add_slots(std::size_t count);

  // The new holding becomes the next older neighbour of `newer`; with kNoLink, the newest of all.
  std::uint32_t add(std::uint32_t slot, std::uint32_t run, std::uint32_t newer);
  // Puts an existing holding there. `newer` must not be `link` itself.
  void move(std::uint32_t slot, std::uint32_t link, std::uint32_t newer);
  void remove(std::uint32_t slot, std::uint32_t link);

  // kNoLink when the endpoint holds nothing.
  std::uint32_t oldest(std::uint32_t slot) const { return orders_[slot].oldest; }
  // The next more recently used holding; kNoLink after the newest.
  std::uint32_t newer(std::uint32_t link) const { return links_[link].newer; }
  std::uint32_t run(std::uint32_t link) const { return links_[link].run; }
  void set_run(std::uint32_t link, std::uint32_t run) { links_[link].run = run; }

  std::size_t bytes() const {
    return links_.capacity() * sizeof(Link) + orders_.capacity() * sizeof(Order);
  }

 private:
  struct Link {
    std::uint32_t run;
    std::uint32_t older;
    std::uint32_t newer;  // While free: the next free link.
  };
  struct Order {
    std::uint32_t oldest = kNoLink;
    std::uint32_t newest = kNoLink;
  };

  void attach(std::uint32_t slot, std::uint32_t link, std::uint32_t newer);
  void detach(std::uint32_t slot, std::uint32_t link);

  std::vector<Link> links_;
  std::vector<Order> orders_;
  std::uint32_t free_ = kNoLink;
};

}  // namespace fairlead::prefix
