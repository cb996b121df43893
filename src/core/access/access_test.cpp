// SPDX-License-Identifier: Apache-2.0
// Digests, the keys file, the table of keys and the engine's own key.
#include <gtest/gtest.h>

#include <string>

#include "core/access/key_table.h"

namespace fairlead::access {
namespace {

constexpr const char* kAbc = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad";
constexpr const char* kEmpty = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";

std::string entry(const std::string& name, const std::string& digest,
                  const std::string& more = "") {
  return "  - {name: " + name + ", sha256: \"" + digest + "\"" + more + "}\n";
}

std::vector<KeySetting> parsed(const std::string& text) {
  config::Problems problems;
  auto keys = parse_keys_file(text, "keys.yaml", problems);
  EXPECT_TRUE(keys.has_value()) << problems.to_string();
  return keys.value_or(std::vector<KeySetting>{});
}

std::string problems_of(const std::string& text) {
  config::Problems problems;
  EXPECT_FALSE(parse_keys_file(text, "keys.yaml", problems).has_value());
  return problems.to_string();
}

TEST(KeyDigest, IsTheStandardsAgainAndAgain) {
  KeyHasher hasher;
  EXPECT_EQ(to_hex(hasher.digest("abc").value()), kAbc);
  EXPECT_EQ(to_hex(hasher.digest("").value()), kEmpty);
  EXPECT_EQ(to_hex(hasher.digest("abc").value()), kAbc);
  EXPECT_TRUE(hasher.digest(std::string(kKeyBytesMax, 'x')).has_value());
  EXPECT_FALSE(hasher.digest(std::string(kKeyBytesMax + 1, 'x')).has_value());
}

TEST(KeyDigest, ReadsHexOfEitherCaseAndNothingElse) {
  std::string upper = kAbc;
  for (char& c : upper) c = static_cast<char>(std::toupper(c));
  EXPECT_EQ(parse_digest(upper), parse_digest(kAbc));
  EXPECT_EQ(to_hex(parse_digest(kAbc).value()), kAbc);
  for (const std::string& wrong :
       {std::string(), std::string(kAbc).substr(1), std::string(kAbc) + "0",
        "g" + std::string(kAbc).substr(1), std::string(kAbc).substr(1) + "/"}) {
    EXPECT_FALSE(parse_digest(wrong).has_value()) << wrong;
  }
}

TEST(KeyDigest, EveryByteCountsInTheComparison) {
  const KeyDigest digest = parse_digest(kAbc).value();
  EXPECT_TRUE(same_digest(digest, digest));
  for (std::size_t i = 0; i < digest.size(); ++i) {
    KeyDigest other = digest;
    other[i] ^= 0x80;
    EXPECT_FALSE(same_digest(digest, other)) << i;
  }
}

TEST(KeysFile, ReadsEverySetting) {
  const auto keys = parsed("keys:\n" + entry("team-a", kAbc) +
                           entry("b.c_d@e", kEmpty,
                                 ", models: [m1, m2], limits: {requestsPerMinute: 60, "
                                 "tokensPerMinute: 1000, concurrency: 3}, previousSha256: \"" +
                                     std::string(64, '1') + "\""));
  ASSERT_EQ(keys.size(), 2U);
  EXPECT_EQ(keys[0].name, "team-a");
  EXPECT_EQ(to_hex(keys[0].digest), kAbc);
  EXPECT_EQ(keys[0].limits, KeyLimits{});
  EXPECT_TRUE(keys[0].models.empty());
  EXPECT_EQ(keys[1].limits, (KeyLimits{60, 1000, 3}));
  EXPECT_EQ(keys[1].models, (std::vector<std::string>{"m1", "m2"}));
  EXPECT_EQ(to_hex(keys[1].previous.value()), std::string(64, '1'));
  EXPECT_TRUE(parsed("keys: []").empty());
}

TEST(KeysFile, NamesEveryProblemAndQuotesNoKey) {
  EXPECT_NE(problems_of("").find("\"keys\" is missing"), std::string::npos);
  EXPECT_NE(problems_of("keys:\n" + entry("a", kAbc) + entry("a", kEmpty)).find("already used"),
            std::string::npos);
  EXPECT_NE(problems_of("keys:\n" + entry("a", kAbc) + entry("b", kAbc)).find("already used"),
            std::string::npos);
  EXPECT_NE(problems_of("keys:\n" + entry("a b", kAbc)).find("letters, digits"), std::string::npos);
  EXPECT_NE(problems_of("keys:\n" + entry("a", kAbc, ", models: []")).find("leave it out"),
            std::string::npos);
  const std::string secret = "sk-very-secret";
  for (const std::string& text :
       {entry("a", secret), entry("a", kAbc, ", previousSha256: " + secret),
        entry("a", kAbc, ", key: " + secret), "  - {name: a, sha256: [" + secret + "]}\n",
        "  - " + secret + "\n", entry("a", kAbc, ", limits: {concurrency: " + secret + "}"),
        entry("a", kAbc, ", limits: {concurrency: 0}")}) {
    const std::string problems = problems_of("keys:\n" + text);
    EXPECT_TRUE(problems.starts_with("keys.yaml:2: keys[0]")) << problems;
    EXPECT_EQ(problems.find(secret), std::string::npos) << problems;
  }
}

TEST(KeysFile, HoldsTenThousandKeysAndNoMore) {
  std::string text = "keys:\n";
  for (std::size_t i = 0; i < kKeysMax; ++i) {
    text += fmt::format("- {{name: k{0}, sha256: \"{0:064x}\"}}\n", i);
  }
  EXPECT_EQ(parsed(text).size(), kKeysMax);
  text += fmt::format("- {{name: last, sha256: \"{:064x}\"}}\n", kKeysMax);
  EXPECT_NE(problems_of(text).find("more than 10000"), std::string::npos);
}

TEST(KeyTable, FindsEveryKeyByItsDigestsOnly) {
  KeyHasher hasher;
  std::vector<KeySetting> settings;
  for (int i = 0; i < 100; ++i) {
    KeySetting one;
    one.name = "k" + std::to_string(i);
    one.digest = hasher.digest("new" + one.name).value();
    if (i % 3 == 0) one.previous = hasher.digest("old" + one.name);
    settings.push_back(one);
  }
  const KeyTable table(settings, KeyTable());
  EXPECT_TRUE(table.asks_for_key());
  for (int i = 0; i < 100; ++i) {
    const std::string name = "k" + std::to_string(i);
    const Key* found = table.find(hasher.digest("new" + name).value());
    ASSERT_NE(found, nullptr);
    EXPECT_EQ(found->name, name);
    EXPECT_EQ(table.find(hasher.digest("old" + name).value()), i % 3 == 0 ? found : nullptr);
    EXPECT_EQ(table.find(hasher.digest(name).value()), nullptr);
  }
  EXPECT_FALSE(KeyTable().asks_for_key());
  EXPECT_EQ(KeyTable().find(KeyDigest{}), nullptr);
  EXPECT_TRUE(KeyTable({}, KeyTable()).asks_for_key()) << "an empty list lets nobody in";
}

TEST(KeyTable, AKeyThatKeepsItsNameKeepsWhatItUsed) {
  const KeyTable first(parsed("keys:\n" + entry("a", kAbc, ", limits: {concurrency: 1}")), {});
  const Key* before = first.find(parse_digest(kAbc).value());
  const Grant running = before->admit("m", 1, Time{});
  EXPECT_EQ(running.refusal, Refusal::kNone);
  const KeyTable second(parsed("keys:\n" + entry("a", kEmpty, ", limits: {concurrency: 2}") +
                               entry("b", kAbc, ", limits: {concurrency: 1}")),
                        first);
  const Key* after = second.find(parse_digest(kEmpty).value());
  EXPECT_EQ(after->usage->figures().running, 1U);
  EXPECT_EQ(after->admit("m", 1, Time{}).refusal, Refusal::kNone);
  EXPECT_EQ(second.find(parse_digest(kAbc).value())->usage->figures().running, 0U);
}

TEST(KeyTable, ARestrictedKeyMayUseItsModelsAndNoUnreadBody) {
  const KeyTable table(
      parsed("keys:\n" + entry("a", kAbc, ", models: [z, m]") + entry("b", kEmpty)), {});
  const Key* restricted = table.find(parse_digest(kAbc).value());
  EXPECT_TRUE(restricted->allows("m"));
  EXPECT_TRUE(restricted->allows("z"));
  EXPECT_FALSE(restricted->allows("n"));
  EXPECT_FALSE(restricted->allows(""));
  EXPECT_TRUE(table.find(parse_digest(kEmpty).value())->allows(""));
  const Grant refused = restricted->admit("n", 1, Time{});
  EXPECT_EQ(refused.refusal, Refusal::kModel);
  EXPECT_FALSE(refused.share.held());
  EXPECT_EQ(restricted->usage->refused(Refusal::kModel), 1U);
}

TEST(EngineKey, IsOneVisibleLine) {
  EXPECT_EQ(engine_authorization("sk-1\n").value(), "Bearer sk-1");
  EXPECT_EQ(engine_authorization("\r\n  sk-1 \r\n").value(), "Bearer sk-1");
  for (const std::string& wrong :
       {std::string(), std::string("\n \n"), std::string("sk-secret\nsk-secret"),
        std::string("sk-\x01secret"), std::string("sk-secret\0x", 11), std::string(5000, 'x')}) {
    const auto read = engine_authorization(wrong);
    ASSERT_FALSE(read.has_value());
    EXPECT_EQ(read.error().message.find("secret"), std::string::npos);
  }
}

}  // namespace
}  // namespace fairlead::access
