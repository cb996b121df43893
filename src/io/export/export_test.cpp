// SPDX-License-Identifier: Apache-2.0
#include <gtest/gtest.h>
#include <sys/resource.h>
#include <unistd.h>

#include <csignal>
#include <cstdio>
#include <cstdlib>
#include <fstream>
#include <set>
#include <sstream>
#include <string>
#include <thread>
#include <vector>

#include "io/export/line_writer.h"
#include "io/export/log_sink.h"

namespace fairlead::exporting {
namespace {

class TempFile {
 public:
  TempFile() {
    char name[] = "/tmp/fairlead-export-XXXXXX";
    ::close(::mkstemp(name));
    path = name;
  }
  ~TempFile() { std::remove(path.c_str()); }
  std::string read() const {
    std::ifstream file(path);
    std::stringstream text;
    text << file.rdbuf();
    return text.str();
  }
  std::string path;
};

TEST(LineWriter, EveryLineOfEveryThreadArrivesWhole) {
  const TempFile file;
  {
    Counter dropped;
    auto writer = LineWriter::open(file.path, dropped);
    ASSERT_TRUE(writer.has_value());
    std::vector<std::thread> threads;
    for (int t = 0; t < 4; ++t) {
      threads.emplace_back([&, t] {
        for (int i = 0; i < 500; ++i) (*writer)->write(std::to_string(t * 1000 + i));
      });
    }
    for (auto& thread : threads) thread.join();
    EXPECT_EQ(dropped.value(), 0U);
  }
  std::set<int> seen;
  std::istringstream lines(file.read());
  for (std::string line; std::getline(lines, line);) seen.insert(std::stoi(line));
  EXPECT_EQ(seen.size(), 2000U);
}

TEST(LineWriter, AnUnwritableFileIsAnErrorThatNamesIt) {
  Counter dropped;
  const auto writer = LineWriter::open("/nonexistent-folder/access.log", dropped);
  ASSERT_FALSE(writer.has_value());
  EXPECT_NE(writer.error().message.find("/nonexistent-folder/access.log"), std::string::npos);
}

TEST(LineWriter, LinesAFullDiskRefusesAreCounted) {
  Counter dropped;
  auto writer = LineWriter::open("/dev/full", dropped);
  ASSERT_TRUE(writer.has_value());
  LineWriter& full = **writer;
  full.write("one");
  while (dropped.value() == 0) std::this_thread::yield();
  EXPECT_EQ(dropped.value(), 1U);
}

TEST(LineWriter, ALineThatTheDiskCutOffDoesNotSwallowTheNext) {
  const TempFile file;
  Counter dropped;
  auto writer = LineWriter::open(file.path, dropped);
  ASSERT_TRUE(writer.has_value());
  const auto before = std::signal(SIGXFSZ, SIG_IGN);
  rlimit unlimited{};
  ASSERT_EQ(::getrlimit(RLIMIT_FSIZE, &unlimited), 0);
  rlimit tight = unlimited;
  tight.rlim_cur = 8;
  ASSERT_EQ(::setrlimit(RLIMIT_FSIZE, &tight), 0);
  (*writer)->write("first");
  (*writer)->write("second");
  while (dropped.value() == 0) std::this_thread::yield();
  ASSERT_EQ(::setrlimit(RLIMIT_FSIZE, &unlimited), 0);
  (*writer)->write("third");
  writer->reset();
  std::signal(SIGXFSZ, before);
  EXPECT_EQ(file.read(), "first\nse\nthird\n");
}

TEST(LineWriter, ARotatedFileIsLetGo) {
  const TempFile file;
  const std::string rotated = file.path + ".1";
  Counter dropped;
  auto writer = LineWriter::open(file.path, dropped);
  ASSERT_TRUE(writer.has_value());
  ASSERT_EQ(std::rename(file.path.c_str(), rotated.c_str()), 0);
  ASSERT_TRUE((*writer)->reopen().has_value());
  (*writer)->write("after");
  writer->reset();
  EXPECT_EQ(file.read(), "after\n");
  std::remove(rotated.c_str());
}

TEST(LineWriter, ALineBeyondTheBoundIsDroppedNotQueued) {
  const TempFile file;
  Counter dropped;
  auto writer = LineWriter::open(file.path, dropped);
  ASSERT_TRUE(writer.has_value());
  (*writer)->write(std::string(LineWriter::kQueueBytes, 'x'));
  EXPECT_EQ(dropped.value(), 1U);
}

TEST(StderrLogSink, WritesLevelAndMessageThroughTheFacade) {
  ::testing::internal::CaptureStderr();
  StderrLogSink sink;
  const Log log(sink, LogLevel::kInfo);
  log.debug("hidden {}", 1);
  log.warning("pool has {} endpoints", 3);
  const std::string text = ::testing::internal::GetCapturedStderr();
  EXPECT_EQ(text.find("hidden"), std::string::npos);
  EXPECT_NE(text.find("warning pool has 3 endpoints"), std::string::npos) << text;
}

}  // namespace
}  // namespace fairlead::exporting
