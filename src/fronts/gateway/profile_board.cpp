// SPDX-License-Identifier: Apache-2.0
#include "fronts/gateway/profile_board.h"

#include <fmt/format.h>

#include <algorithm>
#include <charconv>
#include <numeric>

namespace fairlead::gateway {
namespace {

using net::LoopPart;

constexpr std::array<std::string_view, net::kLoopPartCount> kPartNames = {
    "waiting", "reading", "deciding", "relaying", "other"};

// When to speak.
constexpr double kBusy = 0.8;           // Of a loop's time.
constexpr double kHalfBusy = 0.5;       // From here on it matters what with.
constexpr double kDecidingShare = 0.4;  // Of the busy time.
constexpr double kUnevenFactor = 1.6;   // Times a worker's fair share of connections.
constexpr double kBeyondBuffer = 0.01;  // Of the requests.
constexpr double kRetried = 0.05;       // Likewise.

double part(const WorkerShares& worker, LoopPart which) {
  return worker.seconds[static_cast<std::size_t>(which)];
}
double total(const WorkerShares& worker) {
  return std::accumulate(worker.seconds.begin(), worker.seconds.end(), 0.0);
}
double busy_share(const WorkerShares& worker) {
  const double all = total(worker);
  return all > 0 ? 1 - part(worker, LoopPart::kWaiting) / all : 0;
}

void hint_at_load(const std::vector<WorkerShares>& workers, std::string& out) {
  double busy = 0;
  double deciding = 0;
  double working = 0;
  for (const WorkerShares& worker : workers) {
    busy += busy_share(worker) / static_cast<double>(workers.size());
    deciding += part(worker, LoopPart::kDeciding);
    working += total(worker) - part(worker, LoopPart::kWaiting);
  }
  if (busy >= kBusy) {
    out += fmt::format(
        "- The loops are {:.0f} % busy: raise gateway.workers, now {}, where the "
        "machine has processors left.\n",
        100 * busy, workers.size());
  }
  if (busy >= kHalfBusy && deciding / working >= kDecidingShare) {
    out += fmt::format(
        "- {:.0f} % of the work is reading prompts and deciding: prompts are large. "
        "A larger prefix.blockBytes makes fewer keys.\n",
        100 * deciding / working);
  }
}

void hint_at_spread(const std::vector<WorkerShares>& workers, std::string& out) {
  std::uint64_t all = 0;
  for (const WorkerShares& worker : workers) all += worker.connections;
  // A few connections cannot be spread evenly.
  if (workers.size() < 2 || all < 4 * workers.size()) return;
  const double fair = static_cast<double>(all) / static_cast<double>(workers.size());
  for (std::size_t i = 0; i < workers.size(); ++i) {
    const auto own = static_cast<double>(workers[i].connections);
    if (own < kUnevenFactor * fair) continue;
    out += fmt::format(
        "- Worker {} has {:.0f} % of the connections: clients that open more of "
        "them, or anew from time to time, spread better.\n",
        i, 100 * own / static_cast<double>(all));
  }
}

void hint_at_retries(std::string_view exposition, std::string& out) {
  const double requests = sum_of(exposition, "fairlead_requests_total");
  if (requests <= 0) return;
  const double beyond = sum_of(exposition, "fairlead_requests_beyond_retry_buffer_total");
  if (beyond / requests >= kBeyondBuffer) {
    out += fmt::format(
        "- {:.0f} % of the requests failed once and were not tried again, because "
        "they exceed limits.retry.bufferBytes.\n",
        100 * beyond / requests);
  }
  const double retries = sum_of(exposition, "fairlead_retries_total");
  if (retries / requests >= kRetried) {
    out += fmt::format("- {:.0f} retries to 100 requests: see fairlead_upstream_failures_total.\n",
                       100 * retries / requests);
  }
}

}  // namespace

double sum_of(std::string_view exposition, std::string_view name) {
  double sum = 0;
  for (std::size_t at = 0; at < exposition.size();) {
    const std::size_t end = std::min(exposition.find('\n', at), exposition.size());
    const std::string_view line = exposition.substr(at, end - at);
    at = end + 1;
    if (!line.starts_with(name) || line.size() == name.size()) continue;
    if (line[name.size()] != ' ' && line[name.size()] != '{') continue;
    const std::string_view value = line.substr(line.rfind(' ') + 1);
    double read = 0;
    std::from_chars(value.data(), value.data() + value.size(), read);
    sum += read;
  }
  return sum;
}

std::string profile_text(const std::vector<WorkerShares>& workers, std::string_view exposition) {
  std::string out = fmt::format("{:<8}{:>12}", "worker", "connections");
  for (const std::string_view name : kPartNames) out += fmt::format("{:>11}", name);
  out += "   % of its time\n";
  for (std::size_t i = 0; i < workers.size(); ++i) {
    out += fmt::format("{:<8}{:>12}", i, workers[i].connections);
    const double all = total(workers[i]);
    for (const double seconds : workers[i].seconds) {
      out += fmt::format("{:>11.1f}", all > 0 ? 100 * seconds / all : 0);
    }
    out += '\n';
  }
  std::string hints;
  hint_at_load(workers, hints);
  hint_at_spread(workers, hints);
  hint_at_retries(exposition, hints);
  return out + (hints.empty() ? "Nothing stands out.\n" : hints);
}

ProfileBoard::ProfileBoard(std::uint32_t workers) {
  for (std::uint32_t i = 0; i < workers; ++i) {
    workers_.push_back(std::make_unique<WorkerProfile>());
  }
}

std::string ProfileBoard::report(std::string_view exposition) const {
  std::vector<WorkerShares> shares;
  for (const auto& worker : workers_) {
    shares.push_back({worker->loop.seconds(), worker->connections.load(std::memory_order_relaxed)});
  }
  return profile_text(shares, exposition);
}

}  // namespace fairlead::gateway
