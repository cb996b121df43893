// SPDX-License-Identifier: Apache-2.0
#include "core/config/section.h"

#include <fmt/format.h>
#include <gtest/gtest.h>

#include <limits>

#include "base/random.h"
#include "core/config/document.h"
#include "core/config/units.h"
#include "core/config/wording.h"

namespace fairlead::config {
namespace {

using namespace std::chrono_literals;

struct Reading {
  explicit Reading(std::string_view text) : root(Section::parse(text, "f", problems)) {}
  std::string shown() const { return problems.to_string(); }

  Problems problems;
  Section root;
};

std::string parse_failure(std::string_view text) { return Reading(text).shown(); }

TEST(Section, ReadsEveryType) {
  Reading r(
      "text: hello\nnumber: 2.5\ninteger: -3\nflag: true\ntime: 1m30s\nsize: 64Ki\nword: b\n"
      "list: [x, 'y z', 3]\nmap: {k2: v2, k1: 7}\nchild: {a: 1}\nitems: [{a: 1}, {a: 2}]\n");
  EXPECT_EQ(r.root.text("text", ""), "hello");
  EXPECT_EQ(r.root.required_text("text"), "hello");
  EXPECT_EQ(r.root.number("number", 0, 0, 10), 2.5);
  EXPECT_EQ(r.root.integer("integer", 0, -5, 5), -3);
  EXPECT_EQ(r.root.boolean("flag"), true);
  EXPECT_EQ(r.root.duration("time", 0s, 0s, 1h), 90s);
  EXPECT_EQ(r.root.bytes("size", 0, 0, 1 << 20), 65536);
  EXPECT_EQ(r.root.choice("word", "a", {"a", "b"}), "b");
  EXPECT_EQ(r.root.texts("list"), (std::vector<std::string>{"x", "y z", "3"}));
  const auto map = r.root.text_map("map");
  ASSERT_EQ(map.size(), 2U);
  EXPECT_EQ(map[0], (std::pair<std::string, std::string>{"k1", "7"}));
  EXPECT_EQ(r.root.child("child").integer("a", 0, 0, 9), 1);
  auto items = r.root.children("items");
  ASSERT_EQ(items.size(), 2U);
  EXPECT_EQ(items[1].integer("a", 0, 0, 9), 2);
  EXPECT_EQ(items[1].path(), "items[1]");
  EXPECT_EQ(items[1].line(), 11);
  r.root.finish();
  EXPECT_EQ(r.shown(), "");
}

TEST(Section, AbsentAndNullKeysGiveFallbacks) {
  Reading r("a:\nb: ~\nc: null\n");
  EXPECT_FALSE(r.root.has("a"));
  EXPECT_TRUE(r.root.keys().empty());
  EXPECT_EQ(r.root.text("a", "x"), "x");
  EXPECT_EQ(r.root.number("b", 4, 0, 1), 4);
  EXPECT_EQ(r.root.boolean("c"), std::nullopt);
  EXPECT_EQ(r.root.duration("d", 3s, 0s, 1s), 3s);
  EXPECT_TRUE(r.root.texts("e").empty());
  EXPECT_TRUE(r.root.children("f").empty());
  EXPECT_TRUE(r.root.child("g").keys().empty());
  r.root.finish();
  EXPECT_EQ(r.shown(), "");
}

TEST(Section, ReportsEveryWrongTypeWithItsLineAndPath) {
  Reading r(
      "text: [1]\nnumber: '2'\ninteger: 2.5\nflag: yes\ntime: 30\nsize: 1KB\nword: c\nlist: a\n"
      "map: {k: [1]}\nchild: 3\nitems:\n  - {}\n  - 5\n  - ~\nlist2:\n  - a\n  - {}\n");
  EXPECT_EQ(r.root.text("text", "x"), "x");
  EXPECT_EQ(r.root.number("number", 7, 0, 10), 7);
  EXPECT_EQ(r.root.integer("integer", 7, 0, 10), 7);
  EXPECT_EQ(r.root.boolean("flag"), std::nullopt);
  EXPECT_EQ(r.root.duration("time", 7s, 0s, 10s), 7s);
  EXPECT_EQ(r.root.bytes("size", 7, 0, 10), 7);
  EXPECT_EQ(r.root.choice("word", "a", {"a", "b"}), "a");
  EXPECT_TRUE(r.root.texts("list").empty());
  EXPECT_TRUE(r.root.text_map("map").empty());
  EXPECT_TRUE(r.root.child("child").keys().empty());
  EXPECT_EQ(r.root.children("items").size(), 1U);
  EXPECT_EQ(r.root.texts("list2").size(), 1U);
  r.root.finish();
  EXPECT_EQ(r.shown(),
            "f:1: text: expected text, found a list\n"
            "f:2: number: expected a number, found the text \"2\"\n"
            "f:3: integer: expected a whole number, found \"2.5\"\n"
            "f:4: flag: expected true or false, found \"yes\"\n"
            "f:5: time: expected a duration with its unit, such as 50ms or 1m30s, found \"30\"\n"
            "f:6: size: expected a size in bytes, such as 65536, 64Ki or 1Gi, found \"1KB\"\n"
            "f:7: word: must be one of a, b, is \"c\"\n"
            "f:8: list: expected a list of texts, found \"a\"\n"
            "f:9: map.k: expected text, found a list\n"
            "f:10: child: expected a mapping, found \"3\"\n"
            "f:13: items[1]: expected a mapping, found \"5\"\n"
            "f:14: items[2]: expected a mapping, found nothing\n"
            "f:17: list2[1]: expected text, found a mapping\n");
}

TEST(Section, ReportsValuesOutOfRange) {
  Reading r("a: 1.5\nb: 11\nc: 2h\nd: 2Mi\ne: nan\nf: 1e999\ng: 99999999999999999999\n");
  EXPECT_EQ(r.root.number("a", 1, 0, 1), 1);
  EXPECT_EQ(r.root.integer("b", 3, 0, 10), 3);
  EXPECT_EQ(r.root.duration("c", 1s, 1ms, 1h), 1s);
  EXPECT_EQ(r.root.bytes("d", 5, 1024, 1 << 20), 5);
  r.root.number("e", 0, 0, 1);
  r.root.number("f", 0, 0, 1);
  r.root.integer("g", 0, 0, 1);
  EXPECT_EQ(r.shown(),
            "f:1: a: must be from 0 to 1, is 1.5\n"
            "f:2: b: must be from 0 to 10, is 11\n"
            "f:3: c: must be from 1ms to 3600s, is 2h\n"
            "f:4: d: must be from 1Ki to 1Mi, is 2Mi\n"
            "f:5: e: expected a number, found \"nan\"\n"
            "f:6: f: expected a number, found \"1e999\"\n"
            "f:7: g: expected a whole number, found \"99999999999999999999\"\n");
}

TEST(Section, BothEndsOfARangeAreInIt) {
  Reading r("a: 0\nb: 1\n");
  EXPECT_EQ(r.root.number("a", 0.5, 0, 1), 0);
  EXPECT_EQ(r.root.integer("b", 0, 0, 1), 1);
  EXPECT_EQ(r.shown(), "");
}

TEST(Section, MissingRequiredTextIsReportedAtTheSection) {
  Reading r("a: 1\nitems:\n  - other: 1\n  - name: ''\n");
  r.root.required_text("name");
  for (Section& item : r.root.children("items")) item.required_text("name");
  r.root.child("absent").required_text("name");
  EXPECT_EQ(r.shown(),
            "f:1: \"name\" is missing\n"
            "f:1: absent: \"name\" is missing\n"
            "f:3: items[0]: \"name\" is missing\n"
            "f:4: items[1].name: must not be empty\n");
}

TEST(Section, FinishNamesUnknownKeysAndTheNearestKnownOne) {
  Reading r("listen: x\nworkres: 2\n\nzzz: 1\n");
  r.root.text("listen", "");
  r.root.integer("workers", 1, 1, 9);
  r.root.finish();
  EXPECT_EQ(r.shown(),
            "f:2: workres: unknown key; did you mean \"workers\"?\n"
            "f:4: zzz: unknown key; known here: listen, workers\n");
}

TEST(Section, ACopySharesWhatWasRead) {
  Reading r("a: 1\nb: 2\nc: 3\n");
  Section copy = r.root;
  copy.integer("a", 0, 0, 9);
  copy.skip("c");
  r.root.integer("b", 0, 0, 9);
  r.root.finish();
  copy.finish();
  EXPECT_EQ(r.shown(), "");
}

TEST(Section, ErrorsAndWarningsCarryLineAndPath) {
  Reading r("a: 1\nchild:\n  b:\n    - 1\n");
  r.root.warning("a", "is old");
  const Section child = r.root.child("child");
  child.error("b", "is bad");
  child.error("", "is incomplete");
  EXPECT_EQ(r.shown(),
            "f:1: warning: a: is old\n"
            "f:2: child: is incomplete\n"
            "f:3: child.b: is bad\n");
  EXPECT_TRUE(r.problems.has_errors());
}

TEST(Section, AWarningIsNoError) {
  Reading r("a: 1\n");
  r.root.warning("a", "is old");
  EXPECT_FALSE(r.problems.has_errors());
}

TEST(Section, EmptySectionsReadAsNothing) {
  Problems problems;
  Section section = Section::empty(problems, "parameters");
  EXPECT_EQ(section.text("a", "x"), "x");
  EXPECT_EQ(section.line(), 0);
  section.required_text("b");
  section.finish();
  EXPECT_EQ(problems.to_string(), "parameters: \"b\" is missing\n");
}

TEST(Document, BlankIsAnEmptySection) {
  EXPECT_EQ(parse_failure(""), "");
  EXPECT_EQ(parse_failure("# only a comment\n"), "");
  EXPECT_EQ(parse_failure("---\n...\n"), "");
  EXPECT_EQ(parse_failure("a: 1\n---\n"), "");
}

TEST(Document, RefusesWhatIsNotOneMapping) {
  EXPECT_EQ(parse_failure("\n- 1\n"), "f:2: expected a mapping, found a list\n");
  EXPECT_EQ(parse_failure("hello"), "f:1: expected a mapping, found \"hello\"\n");
  EXPECT_EQ(parse_failure("a: 1\n---\nb: 2\n"), "f:3: a second document; only one is allowed\n");
  EXPECT_EQ(parse_failure("---\n---\n---\nb: 2\n"),
            "f:4: a second document; only one is allowed\n");
  EXPECT_EQ(parse_failure("\n, a: 1\n"), "f:2: not valid YAML: unexpected sign\n");
  EXPECT_EQ(parse_failure("a: 1\n...\n, b\n"), "f:3: not valid YAML: unexpected sign\n");
  EXPECT_EQ(parse_failure("a: 1\nb: [\n").find("f:3: not valid YAML: "), 0U);
  EXPECT_EQ(parse_failure("a: 1\n\tb: 2\n").find("f:2: not valid YAML: "), 0U);
  EXPECT_EQ(parse_failure("a: *nowhere\n").find("f:1: not valid YAML: "), 0U);
}

TEST(Document, RefusesDuplicateAndNonTextKeys) {
  EXPECT_EQ(parse_failure("a: 1\nb: {c: 1,\n  c: 2}\na: 3\n"),
            "f:3: b: the key \"c\" is given twice\n"
            "f:4: the key \"a\" is given twice\n");
  EXPECT_EQ(parse_failure("l:\n  - x: 1\n    x: 2\n"), "f:3: l[0]: the key \"x\" is given twice\n");
  EXPECT_EQ(parse_failure("a: 1\n? [x]\n: 2\n"), "f:2: a key must be text\n");
  EXPECT_EQ(parse_failure("a: 1\n~: 2\n"), "f:2: a key must be text\n");
  EXPECT_EQ(parse_failure(std::string(300, 'k') + ": 1\n"), "f:1: a key longer than 256 bytes\n");
}

TEST(Document, AliasesAreReadLikeTheirAnchor) {
  Reading r("base: &b {x: 1}\ncopy: *b\n");
  EXPECT_EQ(r.root.child("base").integer("x", 0, 0, 9), 1);
  EXPECT_EQ(r.root.child("copy").integer("x", 0, 0, 9), 1);
  r.root.finish();
  EXPECT_EQ(r.shown(), "");
}

TEST(Document, BoundsSizeNestingAndAliases) {
  EXPECT_EQ(parse_failure("a: " + std::string(kMaxDocumentBytes, 'x')),
            "f: the document has 1048579 bytes, more than the 1048576 allowed\n");
  const auto nested = [](std::size_t lists) {
    return "a: " + std::string(lists, '[') + std::string(lists, ']') + "\n";
  };
  EXPECT_EQ(parse_failure(nested(kMaxNesting - 1)), "");
  EXPECT_EQ(parse_failure(nested(kMaxNesting)), "f:1: nested deeper than 32 levels\n");
  EXPECT_EQ(parse_failure(nested(400)), "f:1: nested deeper than 32 levels\n");
  EXPECT_NE(parse_failure(nested(100'000)), "");

  std::string laughs = "a0: &a0 [x, x, x, x, x, x, x, x, x, x]\n";
  for (int i = 1; i < 9; ++i) {
    laughs +=
        fmt::format("a{0}: &a{0} [*a{1}, *a{1}, *a{1}, *a{1}, *a{1}, *a{1}, *a{1}]\n", i, i - 1);
  }
  EXPECT_EQ(parse_failure(laughs), "f:6: more than 100000 values, aliases counted each time\n");

  std::string chain = "a0: &a0 [x]\n";
  for (int i = 1; i < 40; ++i) chain += fmt::format("a{0}: &a{0} [*a{1}]\n", i, i - 1);
  EXPECT_EQ(parse_failure(chain), "f:31: nested deeper than 32 levels\n");
  EXPECT_EQ(parse_failure("a: &a [*a]\n"), "f:1: an alias inside its own anchor\n");
}

TEST(Document, ManyProblemsAreCountedNotKept) {
  std::string text;
  for (int i = 0; i < 3000; ++i) text += fmt::format("k{}: 1\n", i);
  Reading r(text);
  r.root.finish();
  EXPECT_EQ(r.problems.list().size(), Problems::kMaxListed);
  EXPECT_TRUE(r.shown().ends_with("and 2000 more problems\n"));
}

TEST(Units, DurationsReadAsInGo) {
  EXPECT_EQ(parse_duration("50ms"), 50ms);
  EXPECT_EQ(parse_duration("1h2m3s"), 3723s);
  EXPECT_EQ(parse_duration("1.5h"), 90min);
  EXPECT_EQ(parse_duration("1.25h"), 75min);
  EXPECT_EQ(parse_duration("10\xC2\xB5s"), 10us);
  EXPECT_EQ(parse_duration("0"), 0s);
  EXPECT_EQ(parse_duration("-2s"), -2s);
  for (const auto* bad : {"", "5", "s", "5x", "5 s", "1.s", ".5s", "--1s", "5s3", "1e3s", "-"}) {
    EXPECT_EQ(parse_duration(bad), std::nullopt) << bad;
  }
}

TEST(Units, SizesReadAsKubernetesQuantities) {
  EXPECT_EQ(parse_bytes("0"), 0);
  EXPECT_EQ(parse_bytes("64Ki"), 65536);
  EXPECT_EQ(parse_bytes("2k"), 2000);
  EXPECT_EQ(parse_bytes("1.5Gi"), 3LL << 29);
  EXPECT_EQ(parse_bytes("1.375Ki"), 1408);
  for (const auto* bad : {"", "-1", "1K", "1KiB", "Ki", "1Gi1", "1 Mi", "1e3"}) {
    EXPECT_EQ(parse_bytes(bad), std::nullopt) << bad;
  }
}

TEST(Units, WhatDoesNotFitIsTheLargestValue) {
  const auto most = std::numeric_limits<std::int64_t>::max();
  for (const auto* text : {"9999999999h", "99999999999999999999s", "2562047h48m", "2562047.9h"}) {
    EXPECT_EQ(parse_duration(text), Duration(most)) << text;
  }
  EXPECT_EQ(parse_duration("-9999999999h"), Duration(-most));
  EXPECT_EQ(parse_bytes("9999999999Gi"), most);
}

TEST(Units, PrintedValuesReadBackExactly) {
  Random random(1);
  for (int i = 0; i < 20000; ++i) {
    const auto value = static_cast<std::int64_t>(random.next() >> (1 + random.below(62)));
    EXPECT_EQ(parse_duration(duration_text(Duration(value))), Duration(value));
    EXPECT_EQ(parse_bytes(bytes_text(value)), value);
  }
  EXPECT_EQ(duration_text(1500ms), "1500ms");
  EXPECT_EQ(bytes_text(64 << 20), "64Mi");
}

TEST(Wording, QuotesOnOneLineAndCutsLongText) {
  EXPECT_EQ(in_quotes("a\"b\n"), "\"a\\\"b\\x0a\"");
  EXPECT_EQ(in_quotes(std::string(100, 'x')), "\"" + std::string(80, 'x') + "...\"");
}

TEST(Wording, SuggestsOnlyNearWords) {
  EXPECT_EQ(did_you_mean("bodybytes", {"bodyBytes", "headerBytes"}),
            "; did you mean \"bodyBytes\"?");
  EXPECT_EQ(did_you_mean("colour", {"bodyBytes"}), "");
}

}  // namespace
}  // namespace fairlead::config
