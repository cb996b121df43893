// SPDX-License-Identifier: Apache-2.0
// Script: writes operations (ops.h) and keeps the pods as they are after them, so that every query
// carries the answer of the naive twin. Single-threaded.
#pragma once

#include <cstdint>
#include <fstream>
#include <span>
#include <string>
#include <vector>

#include "base/random.h"
#include "ops.h"
#include "pods.h"

namespace fairlead::bench {

using Sequence = std::vector<Block>;

constexpr std::size_t kEventBlocks = 128;  // At most, of a store or a removal.

class Script {
 public:
  Script(const std::string& path, std::uint32_t pods)
      : file_(path, std::ios::binary | std::ios::trunc), pods_(pods) {
    word(OpsFile::kMagic);
    word(pods);
  }

  std::vector<Pod>& pods() { return pods_; }
  std::uint64_t stored() const { return stored_; }
  std::uint64_t removed() const { return removed_; }
  std::uint64_t held() const { return stored_ - removed_; }

  void section(Section section) { head(OpKind::kSection, 0, section); }

  // One event: sequence[from, to) continues sequence[from - 1].
  void store(std::uint32_t pod, std::span<const Block> sequence, std::size_t from, std::size_t to) {
    const std::span<const Block> blocks = sequence.subspan(from, to - from);
    head(OpKind::kStore, pod, blocks.size());
    word(from == 0 ? 0 : engine_hash(sequence[from - 1]));
    for (const Block block : blocks) word(engine_hash(block));
    for (const Block block : blocks) word(content_hash(block));
    for (const Block block : blocks) pods_[pod].use(block);
    stored_ += blocks.size();
  }

  // One event; the blocks are no longer held.
  void remove(std::uint32_t pod, std::span<const Block> blocks) {
    if (blocks.empty()) return;
    head(OpKind::kRemove, pod, blocks.size());
    for (const Block block : blocks) {
      word(engine_hash(block));
      pods_[pod].drop(block);
    }
    removed_ += blocks.size();
  }

  void query(std::span<const Block> prompt, std::uint32_t timed) {
    head(OpKind::kQuery, timed, prompt.size());
    for (const Block block : prompt) word(content_hash(block));
    for (std::size_t first = 0; first < pods_.size(); first += 4) {
      std::uint64_t depths = 0;
      for (std::size_t i = 0; i < 4 && first + i < pods_.size(); ++i) {
        depths |= std::uint64_t{pods_[first + i].depth(prompt)} << (16 * i);
      }
      word(depths);
    }
  }

  // Whether all of it was written.
  bool finish() {
    flush();
    file_.flush();
    return static_cast<bool>(file_);
  }

 private:
  static std::uint64_t engine_hash(Block block) { return mix64(0x5eed'0000'0000'0000 + block); }
  static std::uint64_t content_hash(Block block) { return mix64(0xc0de'0000'0000'0000 + block); }

  void head(OpKind kind, std::uint32_t pod, std::size_t n) {
    word(static_cast<std::uint64_t>(kind) | std::uint64_t{pod} << 8 | std::uint64_t{n} << 32);
  }
  void word(std::uint64_t value) {
    words_.push_back(value);
    if (words_.size() == 1 << 16) flush();
  }
  void flush() {
    file_.write(reinterpret_cast<const char*>(words_.data()),
                static_cast<std::streamsize>(words_.size() * sizeof(std::uint64_t)));
    words_.clear();
  }

  std::ofstream file_;
  std::vector<std::uint64_t> words_;
  std::vector<Pod> pods_;
  std::uint64_t stored_ = 0;
  std::uint64_t removed_ = 0;
};

}  // namespace fairlead::bench
