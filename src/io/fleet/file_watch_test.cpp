// SPDX-License-Identifier: Apache-2.0
#include "io/fleet/file_watch.h"

#include <gtest/gtest.h>
#include <sys/stat.h>

#include <filesystem>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "io/fleet/testing/scratch_folder.h"
#include "io/fleet/watched_files.h"
#include "io/net/testing/loop_fixture.h"

namespace fairlead::fleet {
namespace {

using net::testing::make_loop;
using net::testing::run_until;

class FileWatchTest : public ::testing::Test {
 protected:
  void watch(const std::string& path) {
    auto made = FileWatch::create(*loop_, path, [this] { ++reports_; });
    ASSERT_TRUE(made.has_value()) << made.error().message;
    watch_ = std::move(*made);
  }
  bool reported(int times) {
    return run_until(*loop_, [&] { return reports_ >= times; });
  }

  testing::ScratchFolder folder_;
  std::unique_ptr<net::EventLoop> loop_ = make_loop();
  int reports_ = 0;
  std::unique_ptr<FileWatch> watch_;
};

TEST_F(FileWatchTest, AWriteARenameARemovalAndANewFileAreReported) {
  watch(folder_.file("list.yaml"));
  folder_.write("list.yaml", "one");
  EXPECT_TRUE(reported(1));
  folder_.replace("list.yaml", "two");
  EXPECT_TRUE(reported(2));
  EXPECT_EQ(FileWatch::read_file(folder_.file("list.yaml")).value(), "two");
  std::filesystem::remove(folder_.file("list.yaml"));
  EXPECT_TRUE(reported(3));
  EXPECT_FALSE(FileWatch::read_file(folder_.file("list.yaml")).has_value());
  folder_.write("list.yaml", "three");
  EXPECT_TRUE(reported(4));
}

TEST_F(FileWatchTest, ASwappedLinkBesideTheFileIsReported) {
  // The way Kubernetes updates a mounted ConfigMap: list.yaml -> ..data/list.yaml, ..data -> v1.
  std::filesystem::create_directory(folder_.path() / "v1");
  std::filesystem::create_directory(folder_.path() / "v2");
  folder_.write("v1/list.yaml", "old");
  folder_.write("v2/list.yaml", "new");
  std::filesystem::create_directory_symlink("v1", folder_.path() / "..data");
  std::filesystem::create_symlink("..data/list.yaml", folder_.path() / "list.yaml");
  watch(folder_.file("list.yaml"));
  EXPECT_EQ(FileWatch::read_file(folder_.file("list.yaml")).value(), "old");
  std::filesystem::create_directory_symlink("v2", folder_.path() / "..data_tmp");
  std::filesystem::rename(folder_.path() / "..data_tmp", folder_.path() / "..data");
  EXPECT_TRUE(reported(1));
  EXPECT_EQ(FileWatch::read_file(folder_.file("list.yaml")).value(), "new");
}

TEST_F(FileWatchTest, ABurstIsReportedOnce) {
  watch(folder_.file("list.yaml"));
  for (int i = 0; i < 100; ++i) folder_.write("list.yaml", std::to_string(i));
  EXPECT_TRUE(reported(1));
  EXPECT_FALSE(run_until(*loop_, [&] { return reports_ > 1; }, 3 * FileWatch::kSettle));
}

TEST_F(FileWatchTest, ABusyFolderDoesNotPutTheReportOff) {
  watch(folder_.file("list.yaml"));
  // Another file is written in every turn, more often than changes settle.
  EXPECT_TRUE(run_until(*loop_, [&] {
    folder_.write("noise", "x");
    return reports_ >= 3;
  }));
}

TEST_F(FileWatchTest, AMissingFolderIsNamed) {
  const auto made = FileWatch::create(*loop_, folder_.file("absent/list.yaml"), [] {});
  ASSERT_FALSE(made.has_value());
  EXPECT_NE(made.error().message.find(folder_.file("absent")), std::string::npos);
}

TEST_F(FileWatchTest, ReadingIsBoundedAndNamesTheFile) {
  folder_.write("whole", std::string(200'000, 'x') + "end");
  const auto whole = FileWatch::read_file(folder_.file("whole"));
  ASSERT_TRUE(whole.has_value());
  EXPECT_EQ(whole->size(), 200'003U);
  EXPECT_TRUE(whole->ends_with("xend"));
  folder_.write("empty", "");
  EXPECT_EQ(FileWatch::read_file(folder_.file("empty")).value(), "");
  folder_.write("huge", std::string(FileWatch::kFileBytesMax + 1, 'x'));
  const auto huge = FileWatch::read_file(folder_.file("huge"));
  ASSERT_FALSE(huge.has_value());
  EXPECT_EQ(huge.error().code, ErrorCode::kLimitExceeded);
  // Reading a pipe would wait for ever.
  ASSERT_EQ(::mkfifo(folder_.file("pipe").c_str(), 0600), 0);
  EXPECT_FALSE(FileWatch::read_file(folder_.file("pipe")).has_value());
  EXPECT_FALSE(FileWatch::read_file("/dev/zero").has_value());
  const auto a_folder = FileWatch::read_file(folder_.path().string());
  ASSERT_FALSE(a_folder.has_value());
  EXPECT_NE(a_folder.error().message.find(folder_.path().string()), std::string::npos);
}

class WatchedFilesTest : public ::testing::Test {
 protected:
  void open(std::vector<std::string> paths) {
    auto opened = WatchedFiles::open(*loop_, std::move(paths), [this] { ++reports_; });
    ASSERT_TRUE(opened.has_value()) << opened.error().message;
    files_ = std::move(*opened);
  }
  bool reported(int times) {
    return run_until(*loop_, [&] { return reports_ == times; });
  }
  bool silent() {
    return !run_until(
        *loop_, [&, before = reports_] { return reports_ > before; }, 3 * FileWatch::kSettle);
  }

  testing::ScratchFolder folder_;
  std::unique_ptr<net::EventLoop> loop_ = make_loop();
  int reports_ = 0;
  std::unique_ptr<WatchedFiles> files_;
};

TEST_F(WatchedFilesTest, TextsAndTheReasonsWhyThereAreNoneAreReportedOnce) {
  const std::string path = folder_.file("list");
  open({path});
  EXPECT_EQ(files_->path(0), path);
  EXPECT_FALSE(files_->text(0).has_value()) << "not there yet";
  folder_.write("list", "one");
  ASSERT_TRUE(reported(1));
  EXPECT_EQ(files_->text(0).value(), "one");
  folder_.write("other", "x");
  folder_.replace("list", "one");
  EXPECT_TRUE(silent()) << "nothing new in it";
  std::filesystem::remove(path);
  ASSERT_TRUE(reported(2));
  EXPECT_FALSE(files_->text(0).has_value());
  folder_.write("other", "y");
  EXPECT_TRUE(silent()) << "still the same reason";
}

TEST_F(WatchedFilesTest, FilesThatChangeTogetherAreReportedOnceAndFoldersMayDiffer) {
  std::filesystem::create_directory(folder_.path() / "far");
  open({folder_.file("cert"), folder_.file("key"), folder_.file("far/ca")});
  folder_.write("cert", "c");
  folder_.write("key", "k");
  ASSERT_TRUE(reported(1));
  EXPECT_EQ(files_->text(1).value(), "k");
  EXPECT_TRUE(silent());
  folder_.write("far/ca", "a");
  ASSERT_TRUE(reported(2));
  EXPECT_EQ(files_->text(2).value(), "a");
}

TEST_F(WatchedFilesTest, AFolderThatIsMissingIsNamed) {
  const auto opened = WatchedFiles::open(*loop_, {folder_.file("absent/list")}, [] {});
  ASSERT_FALSE(opened.has_value());
  EXPECT_NE(opened.error().message.find("absent"), std::string::npos);
}

}  // namespace
}  // namespace fairlead::fleet
