// SPDX-License-Identifier: Apache-2.0
#include "router/tls_reload.h"

#include <gtest/gtest.h>

#include <fstream>

#include "io/net/testing/certificates.h"
#include "io/net/testing/loop_fixture.h"
#include "router/build.h"

namespace fairlead::router {
namespace {

TEST(TlsReload, TakesNewFilesAndKeepsTheOldOnesWhenTheyDoNotFit) {
  net::testing::CertificateAuthority authority;
  authority.issue();
  config::Problems problems;
  const auto generation = build_generation(
      "gateway: {tls: {certFile: " + authority.cert_file() + ", keyFile: " + authority.key_file() +
          "}}\nfleet: {tls: {caFile: " + authority.ca_file() + "}}\n",
      "t", "round-robin", problems);
  ASSERT_NE(generation, nullptr) << problems.to_string();
  NullLogSink sink;
  Log log(sink);
  MetricRegistry metrics;
  const auto loop = net::testing::make_loop();
  Router router(generation, 1, log, metrics);
  ASSERT_TRUE(router.open_tls().has_value());
  const auto reload = TlsReload::create(*loop, router);
  ASSERT_TRUE(reload.has_value());
  const auto exposes = [&](std::string_view line) {
    return net::testing::run_until(
        *loop, [&] { return metrics.expose().find(line) != std::string::npos; });
  };
  std::ofstream(authority.path("beside.txt")) << "not ours";
  authority.issue("DNS:other");
  EXPECT_TRUE(exposes("fairlead_tls_reloads_total{result=\"ok\"} 1\n"));
  std::ofstream(authority.cert_file()) << "half a certif";
  EXPECT_TRUE(exposes("fairlead_tls_reloads_total{result=\"failed\"} 1\n"));
  authority.issue();
  EXPECT_TRUE(exposes("fairlead_tls_reloads_total{result=\"ok\"} 2\n"));
  std::ofstream(authority.ca_file()) << "no CA";
  EXPECT_TRUE(exposes("fairlead_tls_reloads_total{result=\"failed\"} 2\n"))
      << "one bad file among good ones";
}

}  // namespace
}  // namespace fairlead::router
