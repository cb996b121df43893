// SPDX-License-Identifier: Apache-2.0
// Buffer and BufferPool: byte buffers of power-of-two capacity, reused by one event loop.
//
// Every buffer has kBufferPadding readable bytes behind its capacity, so that a SIMD parser may
// read past the end of the content in place. Freed buffers are kept up to a bound of bytes;
// page faults of fresh memory would double the cost of large bodies.
// Threads: a pool and its buffers belong to one thread; the pool outlives its buffers.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <span>
#include <string_view>
#include <vector>

namespace fairlead::net {

inline constexpr std::size_t kBufferPadding = 64;

class BufferPool;

// Content between two offsets: consumed from the front, filled at the back. Move-only.
class Buffer {
 public:
  Buffer() = default;
  Buffer(Buffer&& other) noexcept;
  Buffer& operator=(Buffer&& other) noexcept;
  ~Buffer() { release(); }

  std::string_view view() const { return {data_ + begin_, end_ - begin_}; }
  std::size_t size() const { return end_ - begin_; }
  bool empty() const { return end_ == begin_; }
  std::size_t capacity() const { return capacity_; }
  bool has_memory() const { return data_ != nullptr; }

  // Room at the back, to read into; commit() makes its first bytes content.
  std::span<char> free_space() { return {data_ + end_, capacity_ - end_}; }
  void commit(std::size_t bytes);
  // Needs the room: bytes.size() <= free_space().size().
  void append(std::string_view bytes);
  // Drops bytes at the front; an emptied buffer starts at offset 0 again.
  void consume(std::size_t bytes);
  void clear() { begin_ = end_ = 0; }
  // Gives the memory back; the buffer is then empty, with capacity 0.
  void release();

 private:
  friend class BufferPool;
  Buffer(BufferPool* pool, char* data, std::size_t capacity)
      : pool_(pool), data_(data), capacity_(capacity) {}

  BufferPool* pool_ = nullptr;
  char* data_ = nullptr;
  std::size_t capacity_ = 0;
  std::size_t begin_ = 0;
  std::size_t end_ = 0;
};

class BufferPool {
 public:
  // `kept_bytes_max`: free memory kept for reuse; more goes back to the system.
  explicit BufferPool(std::size_t kept_bytes_max = 32 * 1024 * 1024);
  ~BufferPool();
  BufferPool(const BufferPool&) = delete;
  BufferPool& operator=(const BufferPool&) = delete;

  // An empty buffer for at least `bytes`; capacity is a power of two of at least 1 KiB.
  Buffer take(std::size_t bytes);
  // Makes room for `extra` more bytes behind the content, moving it to a larger buffer if needed.
  void grow(Buffer& buffer, std::size_t extra);

  std::size_t kept_bytes() const { return kept_bytes_; }
  std::size_t lent_bytes() const { return lent_bytes_; }  // Capacity out in buffers now.
  std::uint64_t allocations() const { return allocations_; }

 private:
  friend class Buffer;
  static constexpr std::size_t kClasses = 48;
  void give_back(char* data, std::size_t capacity);

  std::size_t kept_bytes_max_;
  std::size_t kept_bytes_ = 0;
  std::size_t lent_bytes_ = 0;
  std::uint64_t allocations_ = 0;
  std::array<std::vector<char*>, kClasses> free_;  // By log2 of the capacity.
};

}  // namespace fairlead::net
