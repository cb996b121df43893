// SPDX-License-Identifier: Apache-2.0
#include "core/codec/restart_file.h"

#include <gtest/gtest.h>
#include <rapidcheck/gtest.h>

#include <algorithm>
#include <cstring>

namespace fairlead::codec {
namespace {

using Fault = RestartFault::Kind;

struct Written {
  RestartHead head;
  RestartCalibration calibration;
  std::vector<RestartEndpoint> endpoints;
  std::vector<RestartHistory> histories;
  std::vector<RestartDomain> domains;
  std::vector<RestartPublisher> publishers;
  std::vector<RestartRun> runs;
};

std::uint64_t any_word() { return *rc::gen::arbitrary<std::uint64_t>(); }
std::uint32_t below(std::uint32_t bound) { return *rc::gen::inRange<std::uint32_t>(0, bound); }
std::string any_text() { return *rc::gen::arbitrary<std::string>(); }
std::vector<std::uint64_t> any_words(std::uint32_t count) {
  std::vector<std::uint64_t> words(count);
  for (std::uint64_t& word : words) word = any_word();
  return words;
}
std::optional<double> any_figure() {
  return below(2) == 0 ? std::nullopt : std::optional<double>(below(1000) * 0.25);
}

RestartRun any_run() {
  RestartRun run;
  const std::uint32_t blocks = 1 + below(40);
  run.keys = any_words(blocks);
  run.hashes = any_words(blocks);
  for (std::uint32_t i = below(5); i > 0; --i) run.names.push_back({below(blocks), any_word()});
  for (std::uint32_t i = below(5); i > 0; --i) {
    run.holders.push_back(
        {static_cast<std::uint16_t>(below(0xffff)), static_cast<std::uint16_t>(1 + below(blocks))});
  }
  return run;
}

RestartHistory any_history(std::uint32_t endpoint) {
  RestartHistory history;
  history.endpoint = endpoint;
  history.kind = below(2) == 0 ? RestartHistory::Kind::kPrompts : RestartHistory::Kind::kMedia;
  std::uint32_t keys = 0;
  for (std::uint32_t i = 0, count = below(6); i < count; ++i) {
    const std::uint32_t blocks = 1 + below(5);
    history.stretches.push_back({below(2) == 0 || i == 0 ? kRestartNone : below(i), blocks});
    keys += blocks;
  }
  history.keys = any_words(keys);
  return history;
}

Written any_file() {
  Written w;
  w.head = {any_word(), below(1000) * 0.5, any_word(), 16, 32, 1 + below(100)};
  w.calibration.turn = any_word();
  const std::uint32_t endpoints = below(4);
  for (std::uint32_t i = 0; i < endpoints; ++i) {
    w.endpoints.push_back(
        {any_text(), any_text(), any_figure(), any_figure(), any_word(), any_word()});
  }
  for (std::uint32_t i = 0; i < endpoints; ++i) w.histories.push_back(any_history(i));
  for (std::uint32_t i = below(3); i > 0; --i) {
    w.domains.push_back({below(4), any_text(), below(w.head.domains)});
  }
  for (std::uint32_t i = below(4); i > 0; --i) w.runs.push_back(any_run());
  for (std::uint32_t i = below(4); i > 0; --i) {
    RestartPublisher one{any_text(), any_text(),    any_text(), any_text(), below(64), 1 + below(9),
                         any_word(), below(2) == 0, any_word(), {},         {},        below(64)};
    one.slots = {below(100), kRestartNone, below(100)};
    for (std::uint32_t k = below(3); k > 0; --k) one.groups.push_back({below(9), 1});
    if (below(2) == 0) one.domain = below(w.head.domains);
    w.publishers.push_back(one);
  }
  return w;
}

std::string write(const Written& w) {
  RestartWriter writer;
  writer.add(w.head);
  writer.add(w.calibration);
  for (const auto& one : w.endpoints) writer.add(one);
  for (const auto& one : w.histories) writer.add(one);
  for (const auto& one : w.domains) writer.add(one);
  std::string bytes = writer.take();
  for (const auto& one : w.runs) writer.add(one);
  for (const auto& one : w.publishers) writer.add(one);
  writer.finish();
  bytes += writer.take();
  EXPECT_EQ(writer.bytes(), bytes.size());
  return bytes;
}

// One of every kind of record.
Written small_file() {
  Written w;
  w.head = {7, 1.5, 1024, 16, 16, 3};
  w.calibration.turn = 9;
  w.endpoints = {{"a", "10.0.0.1:80", 5.0, {}, 4096, 1}};
  w.histories = {{0, RestartHistory::Kind::kPrompts, {{kRestartNone, 2}, {0, 1}}, {1, 2, 3}}};
  w.domains = {{1, "0", 0}};
  w.runs = {{{1, 2}, {3, 4}, {{1, 5}}, {{8, 2}, {9, 1}}}};
  w.publishers = {{"a",
                   "tcp://10.0.0.1:5557",
                   "tcp://10.0.0.1:5558",
                   "kv@",
                   0,
                   4,
                   5,
                   true,
                   6,
                   {8, kRestartNone, kRestartNone},
                   {{0, 1}},
                   16,
                   2}};
  return w;
}

RC_GTEST_PROP(RestartFile, WhatIsWrittenIsRead, ()) {
  const Written w = any_file();
  const std::string bytes = write(w);
  RestartImage image;
  const auto fault = read_restart(bytes, image);
  RC_ASSERT(!fault);
  RC_ASSERT(image.head == w.head);
  RC_ASSERT(image.calibration == w.calibration);
  RC_ASSERT(image.endpoints == w.endpoints);
  RC_ASSERT(image.histories == w.histories);
  RC_ASSERT(image.domains == w.domains);
  RC_ASSERT(image.publishers == w.publishers);
  RestartRun run;
  for (const RestartRun& wanted : w.runs) {
    RC_ASSERT(image.runs.next(run));
    RC_ASSERT(run == wanted);
  }
  RC_ASSERT(!image.runs.next(run));
}

TEST(RestartFile, EveryBitThatFlipsIsFoundWithItsPlace) {
  const std::string good = write(small_file());
  RestartImage image;
  ASSERT_FALSE(read_restart(good, image));
  for (std::size_t at = 0; at < good.size(); ++at) {
    for (int bit = 0; bit < 8; ++bit) {
      std::string bad = good;
      bad[at] = static_cast<char>(bad[at] ^ 1 << bit);
      const auto fault = read_restart(bad, image);
      ASSERT_TRUE(fault) << "byte " << at << ", bit " << bit;
      ASSERT_LE(fault->offset, at) << "the place is that of the record, or before it";
      ASSERT_TRUE(image.endpoints.empty()) << "nothing of a damaged file is given out";
      ASSERT_EQ(fault->kind, at < 8    ? Fault::kForeign
                             : at < 12 ? Fault::kVersion
                             : at < 16 ? Fault::kMalformed
                                       : fault->kind);
    }
  }
}

TEST(RestartFile, EveryTruncationIsFound) {
  const std::string good = write(small_file());
  RestartImage image;
  for (std::size_t size = 0; size < good.size(); ++size) {
    const auto fault = read_restart(std::string_view(good).substr(0, size), image);
    ASSERT_TRUE(fault) << size;
    ASSERT_EQ(to_string(fault->kind), to_string(Fault::kTruncated)) << size;
  }
  const auto fault = read_restart(good + "x", image);
  ASSERT_TRUE(fault);
  EXPECT_EQ(fault->describe(),
            "byte " + std::to_string(good.size()) + ": something follows the last record");
}

TEST(RestartFile, RecordsLostDoubledOrSwappedAreFound) {
  const std::string good = write(small_file());
  std::vector<std::string> records;
  for (std::size_t at = 16; at < good.size();) {
    std::uint32_t size = 0;
    std::memcpy(&size, good.data() + at, 4);
    records.push_back(good.substr(at, 16 + size));
    at += 16 + size;
  }
  ASSERT_EQ(records.size(), 8U) << "one of every kind";
  const auto refused = [&](const std::vector<std::string>& parts) {
    std::string bytes = good.substr(0, 16);
    for (const std::string& part : parts) bytes += part;
    RestartImage image;
    return read_restart(bytes, image).has_value();
  };
  ASSERT_FALSE(refused(records));
  for (std::size_t i = 0; i < records.size(); ++i) {
    auto lost = records;
    lost.erase(lost.begin() + static_cast<std::ptrdiff_t>(i));
    EXPECT_TRUE(refused(lost)) << i;
    auto doubled = records;
    doubled.insert(doubled.begin() + static_cast<std::ptrdiff_t>(i), records[i]);
    EXPECT_TRUE(refused(doubled)) << i;
    if (i + 1 == records.size()) continue;
    auto swapped = records;
    std::swap(swapped[i], swapped[i + 1]);
    EXPECT_TRUE(refused(swapped)) << i;
  }
}

// Bytes that were written so, by another program: checksums are right.
TEST(RestartFile, SenseIsAskedForBehindTheChecksum) {
  const auto fault_of = [](const Written& w) {
    RestartImage image;
    const auto fault = read_restart(write(w), image);
    return fault ? to_string(fault->kind) : "none";
  };
  const auto changed = [](auto&& change) {
    Written w = small_file();
    change(w);
    return w;
  };
  EXPECT_EQ(fault_of(small_file()), "none");
  EXPECT_EQ(fault_of(changed([](Written& w) { w.histories[0].endpoint = 1; })), "malformed");
  EXPECT_EQ(fault_of(changed([](Written& w) { w.histories[0].stretches[1].parent = 1; })),
            "malformed");
  EXPECT_EQ(fault_of(changed([](Written& w) { w.histories[0].keys.pop_back(); })), "malformed");
  EXPECT_EQ(fault_of(changed([](Written& w) { w.domains[0].domain = 3; })), "malformed");
  EXPECT_EQ(fault_of(changed([](Written& w) { w.publishers[0].domain = 3; })), "malformed");
  EXPECT_EQ(fault_of(changed([](Written& w) { w.publishers[0].next = 0; })), "malformed");
  EXPECT_EQ(fault_of(changed([](Written& w) { w.publishers[0].slots[1] = 0xffff; })), "malformed");
  EXPECT_EQ(fault_of(changed([](Written& w) { w.runs[0].holders[0].blocks = 3; })), "malformed");
  EXPECT_EQ(fault_of(changed([](Written& w) { w.runs[0].holders[0].blocks = 0; })), "malformed");
  EXPECT_EQ(fault_of(changed([](Written& w) { w.runs[0].names[0].offset = 2; })), "malformed");
  EXPECT_EQ(fault_of(changed([](Written& w) { w.head.domains = kRestartDomainsMax + 1; })),
            "malformed");
}

TEST(RestartFile, CalibrationOfAnotherVersionIsPassedOver) {
  Written w = small_file();
  w.calibration.version = 2;
  const std::string bytes = write(w);
  RestartImage image;
  ASSERT_FALSE(read_restart(bytes, image));
  EXPECT_FALSE(image.calibration);
  EXPECT_EQ(image.endpoints, w.endpoints);
}

TEST(RestartFile, ManyRunsAreManyRecords) {
  Written w = small_file();
  w.runs.assign(20, w.runs[0]);
  for (RestartRun& run : w.runs) {
    run.keys.assign(kRestartRunBlocksMax, 1);
    run.hashes.assign(kRestartRunBlocksMax, 2);
    run.holders = {{1, 4096}};
  }
  const std::string bytes = write(w);
  RestartImage image;
  ASSERT_FALSE(read_restart(bytes, image));
  RestartRun run;
  std::size_t count = 0;
  for (RestartRuns runs = image.runs; runs.next(run);) count += run == w.runs[0] ? 1 : 0;
  EXPECT_EQ(count, 20U);
}

}  // namespace
}  // namespace fairlead::codec
