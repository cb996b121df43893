// SPDX-License-Identifier: Apache-2.0
#include "reports.h"

#include <utility>

#include "base/random.h"

namespace fairlead::app {
namespace {

// For the collector, after the last request.
constexpr Duration kTraceFlush = std::chrono::seconds(5);
// Keeps the ids of traces apart from those of requests.
constexpr std::uint64_t kExporterStream = 0x6f746c70;

}  // namespace

class Reports::AccessLine final : public router::AccessLog {
 public:
  explicit AccessLine(exporting::LineWriter& writer) : writer_(&writer) {}
  void write_line(std::string_view line) override { writer_->write(line); }

 private:
  exporting::LineWriter* writer_;
};

Reports::Reports(Log& log) : log_(log) {}

Reports::~Reports() = default;

Result<std::unique_ptr<Reports>> Reports::open(router::Router& router, router::Control& control,
                                               const std::string& setting) {
  std::unique_ptr<Reports> reports(new Reports(router.log()));
  reports->traces_ = std::make_unique<exporting::TraceExporter>(
      control.loop(), exporting::TraceExporterPorts{
                          router.traces(), router.metrics(), router.log(),
                          [&router] { return router.generation().load()->settings.tracing; },
                          router.tls().engines, mix64(router.process_seed() ^ kExporterStream)});
  const std::string& path = router.generation().load()->settings.gateway.access_log;
  if (path.empty()) return reports;
  auto writer = exporting::LineWriter::open(
      path, router.metrics().counter("fairlead_access_log_dropped_total",
                                     "Access log lines lost to a full queue or disk."));
  if (!writer) return with_context(writer.error(), setting);
  reports->access_writer_ = std::move(*writer);
  reports->access_line_ = std::make_unique<AccessLine>(*reports->access_writer_);
  return reports;
}

router::AccessLog* Reports::access_log() { return access_line_.get(); }

void Reports::reopen() {
  if (!access_writer_) return;
  if (auto opened = access_writer_->reopen(); !opened) log_.error("{}", opened.error().message);
}

void Reports::flush() { traces_->flush(kTraceFlush); }

}  // namespace fairlead::app
