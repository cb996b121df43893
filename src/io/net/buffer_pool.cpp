// SPDX-License-Identifier: Apache-2.0
#include "io/net/buffer_pool.h"

#include <algorithm>
#include <bit>
#include <cstring>
#include <new>
#include <utility>

#include "base/assert.h"

namespace fairlead::net {
namespace {

constexpr std::size_t kSmallest = 1024;
constexpr std::align_val_t kAlignment{64};

std::size_t class_of(std::size_t capacity) {
  return static_cast<std::size_t>(std::countr_zero(capacity));
}

}  // namespace

Buffer::Buffer(Buffer&& other) noexcept
    : pool_(std::exchange(other.pool_, nullptr)),
      data_(std::exchange(other.data_, nullptr)),
      capacity_(std::exchange(other.capacity_, 0)),
      begin_(std::exchange(other.begin_, 0)),
      end_(std::exchange(other.end_, 0)) {}

Buffer& Buffer::operator=(Buffer&& other) noexcept {
  if (this != &other) {
    release();
    pool_ = std::exchange(other.pool_, nullptr);
    data_ = std::exchange(other.data_, nullptr);
    capacity_ = std::exchange(other.capacity_, 0);
    begin_ = std::exchange(other.begin_, 0);
    end_ = std::exchange(other.end_, 0);
  }
  return *this;
}

void Buffer::commit(std::size_t bytes) {
  FAIRLEAD_ASSERT(bytes <= capacity_ - end_);
  end_ += bytes;
}

void Buffer::append(std::string_view bytes) {
  FAIRLEAD_ASSERT(bytes.size() <= capacity_ - end_);
  if (bytes.empty()) return;
  std::memcpy(data_ + end_, bytes.data(), bytes.size());
  end_ += bytes.size();
}

void Buffer::consume(std::size_t bytes) {
  FAIRLEAD_ASSERT(bytes <= size());
  begin_ += bytes;
  if (begin_ == end_) clear();
}

void Buffer::release() {
  if (data_ != nullptr) pool_->give_back(data_, capacity_);
  pool_ = nullptr;
  data_ = nullptr;
  capacity_ = begin_ = end_ = 0;
}

BufferPool::BufferPool(std::size_t kept_bytes_max) : kept_bytes_max_(kept_bytes_max) {}

BufferPool::~BufferPool() {
  FAIRLEAD_ASSERT(lent_bytes_ == 0);
  for (const auto& list : free_) {
    for (char* data : list) ::operator delete(data, kAlignment);
  }
}

Buffer BufferPool::take(std::size_t bytes) {
  const std::size_t capacity = std::bit_ceil(std::max(bytes, kSmallest));
  std::vector<char*>& list = free_[class_of(capacity)];
  lent_bytes_ += capacity;
  if (!list.empty()) {
    char* data = list.back();
    list.pop_back();
    kept_bytes_ -= capacity;
    return Buffer(this, data, capacity);
  }
  ++allocations_;
  auto* data = static_cast<char*>(::operator new(capacity + kBufferPadding, kAlignment));
  std::memset(data + capacity, 0, kBufferPadding);
  return Buffer(this, data, capacity);
}

void BufferPool::grow(Buffer& buffer, std::size_t extra) {
  if (buffer.free_space().size() >= extra && buffer.has_memory()) return;
  Buffer larger = take(buffer.size() + extra);
  larger.append(buffer.view());
  buffer = std::move(larger);
}

void BufferPool::give_back(char* data, std::size_t capacity) {
  lent_bytes_ -= capacity;
  if (kept_bytes_ + capacity > kept_bytes_max_) {
    ::operator delete(data, kAlignment);
    return;
  }
  kept_bytes_ += capacity;
  free_[class_of(capacity)].push_back(data);
}

}  // namespace fairlead::net
