// SPDX-License-Identifier: Apache-2.0
// TlsReload: watches the files of the router's TLS contexts and reads them again when they change.
// Connections go on with what they began with; files that do not fit each other are told in the
// log, and the old ones stay in force. Threads: the loop's thread.
#pragma once

#include <memory>

#include "io/fleet/watched_files.h"
#include "router/router.h"

namespace fairlead::router {

class TlsReload {
 public:
  static Result<std::unique_ptr<TlsReload>> create(net::EventLoop& loop, Router& router);

 private:
  explicit TlsReload(Router& router);
  void on_change();

  Router& router_;
  std::unique_ptr<fleet::WatchedFiles> files_;
  Counter& taken_;
  Counter& refused_;
};

}  // namespace fairlead::router
