// SPDX-License-Identifier: Apache-2.0
#include "core/codec/multipart_scanner.h"

#include <gtest/gtest.h>

#include <string>
#include <utility>
#include <vector>

namespace fairlead::codec {
namespace {

constexpr std::string_view kType = "multipart/form-data; boundary=b1";

std::string field(const std::string& name, const std::string& value) {
  return "--b1\r\nContent-Disposition: form-data; name=\"" + name + "\"\r\n\r\n" + value + "\r\n";
}
std::string file(const std::string& content) {
  return "--b1\r\nContent-Disposition: form-data; name=\"file\"; filename=\"a;\\\"b.wav\"\r\n"
         "Content-Type: audio/wav\r\n\r\n" +
         content + "\r\n";
}
const std::string kEnd = "--b1--\r\n";

ScanStatus scan(const std::string& body, std::string_view type = kType) {
  ScannedRequest out;
  return scan_form(type, body, out);
}

TEST(MultipartScanner, FindsTheModelAndCountsBytes) {
  const std::string audio("RIFF\r\n--b\r\n-b1\0\xff", 16);
  ScannedRequest out;
  const std::string body =
      file(audio) + field("model", "openai/whisper") + field("stream", "True") + kEnd;
  const ScanStatus status = scan_form(kType, body, out);
  ASSERT_TRUE(status.ok()) << status.message();
  EXPECT_EQ(out.model, "openai/whisper");
  EXPECT_TRUE(out.stream);
  EXPECT_EQ(out.opaque_bytes, audio.size());
  MultipartReader reader(kType, body);
  FormPart part;
  ASSERT_TRUE(reader.next(part));
  EXPECT_EQ(part.name, "file");
  EXPECT_EQ(part.kind, PartKind::kFile);
  EXPECT_EQ(part.content, audio);
  ASSERT_TRUE(reader.next(part) && reader.next(part));
  EXPECT_FALSE(reader.next(part));
  EXPECT_EQ(reader.fault(), "");
}

TEST(MultipartScanner, TakesTheBoundaryAsClientsWriteIt) {
  const std::string body = field("model", "m") + kEnd;
  for (const char* type :
       {"multipart/form-data;boundary=b1", "Multipart/Form-Data; charset=utf-8; Boundary=\"b1\"",
        "multipart/form-data ;  boundary=b1 "}) {
    EXPECT_TRUE(scan(body, type).ok()) << type;
  }
  for (const char* type :
       {"", "application/json", "multipart/mixed; boundary=b1", "multipart/form-data",
        "multipart/form-data; boundary=", "multipart/form-data; boundary=\"\"",
        "multipart/form-data; boundary=b1; boundary=b2", "multipart/form-data; boundary=b1;",
        "multipart/form-data; boundary=\"b1", "multipart/form-data; boundary=b2",
        "multipart/form-data; boundary=\"b1 \""}) {
    EXPECT_EQ(scan(body, type).error, ScanError::kInvalidForm) << type;
  }
  EXPECT_EQ(scan(body, "multipart/form-data; boundary=" + std::string(71, 'b')).error,
            ScanError::kInvalidForm);
}

TEST(MultipartScanner, EveryCutAndEveryAdditionIsRefused) {
  const std::string body = file("abc") + field("model", "m") + "--b1--";
  ASSERT_TRUE(scan(body).ok());
  ASSERT_TRUE(scan(body + "\r\n").ok());
  for (std::size_t size = 0; size < body.size(); ++size) {
    EXPECT_FALSE(scan(body.substr(0, size)).ok()) << size;
  }
  for (const char* more : {"\r", "\n", " ", "\r\n\r\n", "\r\n--b1\r\n", "x"}) {
    EXPECT_EQ(scan(body + more).error, ScanError::kInvalidForm) << more;
  }
  EXPECT_EQ(scan("preamble\r\n" + body).error, ScanError::kInvalidForm);
  EXPECT_EQ(scan("").error, ScanError::kEmptyBody);
}

TEST(MultipartScanner, WhatEnginesCouldReadDifferentlyIsRefused) {
  const auto with_head = [](const std::string& head) {
    return "--b1\r\n" + head + "\r\n\r\nm\r\n" + kEnd;
  };
  const std::string bad_heads[] = {
      "Content-Disposition: form-data; name=\"mo\\del\"",
      "Content-Disposition: form-data; name*=utf-8''model",
      "Content-Disposition: form-data; name=\"model\"; name=\"x\"",
      "Content-Disposition: form-data; name=\"model\"\r\nContent-Disposition: form-data; name=x",
      "Content-Disposition: attachment; name=\"model\"",
      "Content-Disposition: form-data",
      "Content-Disposition: form-data; name=\"model\" x",
      "Content-Disposition : form-data; name=\"model\"",
      "Content-Disposition: form-data;\r\n name=\"model\"",
      "Content-Disposition: form-data; name=\"model\"\nX: y",
      "Content-Type: text/plain",
  };
  for (const std::string& head : bad_heads) {
    EXPECT_EQ(scan(with_head(head)).error, ScanError::kInvalidForm) << head;
  }
  EXPECT_TRUE(scan(with_head("content-disposition:form-data;name=model")).ok());
  // The boundary as the beginning of a longer line.
  EXPECT_EQ(scan(field("model", "m\r\n--b1x") + kEnd).error, ScanError::kInvalidForm);
}

TEST(MultipartScanner, TheModelIsThereOnceAndIsText) {
  EXPECT_EQ(scan(field("x", "y") + kEnd).error, ScanError::kMissingField);
  EXPECT_EQ(scan(field("model", "a") + field("model", "b") + kEnd).error,
            ScanError::kDuplicateField);
  EXPECT_EQ(scan(field("model", "") + kEnd).error, ScanError::kWrongType);
  EXPECT_EQ(scan(field("model\"; filename=\"f", "m") + kEnd).error, ScanError::kWrongType);
  EXPECT_EQ(scan(field("model", "\xff") + kEnd).error, ScanError::kInvalidUtf8);
  EXPECT_EQ(scan(field("model", std::string(1025, 'm')) + kEnd).error,
            ScanError::kModelNameTooLong);
  EXPECT_EQ(scan(field("model", "m") + field("stream", "1") + field("stream", "0") + kEnd).field,
            "stream");
}

TEST(MultipartScanner, PartsAndHeadsAreBounded) {
  std::string body = field("model", "m");
  for (std::size_t i = 1; i < kPartsMax; ++i) body += field("x", "y");
  EXPECT_TRUE(scan(body + kEnd).ok());
  EXPECT_EQ(scan(body + field("x", "y") + kEnd).error, ScanError::kInvalidForm);
  EXPECT_EQ(scan(field("model\"; x=\"" + std::string(kPartHeadBytesMax, 'x'), "m") + kEnd).error,
            ScanError::kInvalidForm);
}

}  // namespace
}  // namespace fairlead::codec
