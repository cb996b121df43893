// SPDX-License-Identifier: Apache-2.0
#include "io/export/state_file.h"

#include <gtest/gtest.h>
#include <sys/stat.h>

#include <cstdlib>
#include <filesystem>
#include <fstream>

namespace fairlead::exporting {
namespace {

class StateFileTest : public ::testing::Test {
 protected:
  void SetUp() override { ASSERT_NE(::mkdtemp(folder_.data()), nullptr); }
  ~StateFileTest() override { std::filesystem::remove_all(folder_); }
  std::unique_ptr<StateFile> open() {
    auto file = StateFile::open(folder_, "state");
    EXPECT_TRUE(file) << file.error().message;
    return file ? std::move(*file) : nullptr;
  }
  std::string path() const { return folder_ + "/state"; }

  std::string folder_ = ::testing::TempDir() + "state_file_XXXXXX";
};

TEST_F(StateFileTest, IsReplacedWholeOrNotAtAll) {
  auto file = open();
  ASSERT_TRUE(file);
  EXPECT_FALSE(*file->read(100)) << "there is none yet";
  ASSERT_TRUE(file->begin() && file->append("ab") && file->append("cd") && file->commit());
  EXPECT_EQ(**file->read(100), "abcd");
  struct stat about{};
  ASSERT_EQ(::stat(path().c_str(), &about), 0);
  EXPECT_EQ(about.st_mode & 0777, 0600U);
  ASSERT_TRUE(file->begin() && file->append("half"));
  EXPECT_EQ(**file->read(100), "abcd") << "not before it is committed";
  ASSERT_TRUE(file->begin() && file->append("new") && file->commit());
  EXPECT_EQ(**file->read(100), "new");
  ASSERT_TRUE(file->begin() && file->append("half"));
  file = nullptr;
  file = open();
  EXPECT_EQ(**file->read(100), "new");
  EXPECT_FALSE(std::filesystem::exists(path() + ".part"));
}

TEST_F(StateFileTest, OneProcessHasTheDirectory) {
  auto file = open();
  const auto second = StateFile::open(folder_, "state");
  ASSERT_FALSE(second);
  EXPECT_EQ(second.error().code, ErrorCode::kUnavailable);
  EXPECT_EQ(second.error().message, folder_ + " is in use by another process; give each its own");
  file = nullptr;
  EXPECT_TRUE(open());
}

TEST_F(StateFileTest, WhatCannotBeUsedIsNamed) {
  const auto nowhere = StateFile::open(folder_ + "/none", "state");
  ASSERT_FALSE(nowhere);
  EXPECT_EQ(nowhere.error().message,
            "cannot write " + folder_ + "/none/lock: No such file or directory");
  auto file = open();
  std::ofstream(path()) << "text";
  ::chmod(path().c_str(), 0640);
  EXPECT_EQ(**file->read(4), "text");
  EXPECT_EQ(file->read(3).error().message, path() + " has 4 bytes, more than 3");
  ::chmod(path().c_str(), 0644);
  EXPECT_EQ(file->read(4).error().message,
            path() + " is another user's, or everybody's; it must be private");
  std::filesystem::remove(path());
  std::filesystem::create_directory(path());
  EXPECT_EQ(file->read(4).error().message, path() + " is no plain file");
  ASSERT_TRUE(file->begin() && file->append("x"));
  EXPECT_EQ(file->commit().error().message, "cannot replace " + path() + ": Is a directory");
  std::filesystem::remove_all(folder_);
  EXPECT_EQ(file->begin().error().message,
            "cannot write " + path() + ".part: No such file or directory");
}

}  // namespace
}  // namespace fairlead::exporting
