// SPDX-License-Identifier: Apache-2.0
// Reports: what a running server tells of its requests: the access log's file and the sender of
// traces, as the settings of its first generation want them.
// Threads: made and destroyed while control does not run; the log may be written from any thread.
#pragma once

#include <cstdint>
#include <memory>
#include <string>

#include "base/log.h"
#include "base/result.h"
#include "io/export/line_writer.h"
#include "io/export/trace_exporter.h"
#include "router/access_log.h"
#include "router/control.h"
#include "router/router.h"

namespace fairlead::app {

class Reports {
 public:
  // The error names `setting`, which said where the access log is.
  static Result<std::unique_ptr<Reports>> open(router::Router& router, router::Control& control,
                                               const std::string& setting);
  ~Reports();

  // Null without an access log.
  router::AccessLog* access_log();
  // Lets go of a file that was rotated away. From any thread.
  void reopen();
  // Sends what traces there are. After the last request, and after control has stopped.
  void flush();

 private:
  class AccessLine;
  explicit Reports(Log& log);

  Log& log_;
  std::unique_ptr<exporting::TraceExporter> traces_;
  std::unique_ptr<exporting::LineWriter> access_writer_;
  std::unique_ptr<AccessLine> access_line_;
};

}  // namespace fairlead::app
