// SPDX-License-Identifier: Apache-2.0
#include "router/tls_reload.h"

#include <algorithm>
#include <utility>

namespace fairlead::router {
namespace {

constexpr std::string_view kName = "fairlead_tls_reloads_total";
constexpr std::string_view kHelp = "Changes of certificate, key and CA files, by their effect.";

}  // namespace

TlsReload::TlsReload(Router& router)
    : router_(router),
      taken_(router.metrics().counter(kName, kHelp, {{"result", "ok"}})),
      refused_(router.metrics().counter(kName, kHelp, {{"result", "failed"}})) {
  const auto generation = router.generation().load();
  const config::ServeSettings& settings = generation->settings;
  const config::ClientTlsSettings& clients = settings.gateway.tls;
  files_ = {clients.cert_file, clients.key_file, settings.fleet.tls.ca_file};
  for (const config::CertificateSetting& one : clients.certificates) {
    files_.push_back(one.cert_file);
    files_.push_back(one.key_file);
  }
  std::erase(files_, "");
}

Result<std::unique_ptr<TlsReload>> TlsReload::create(net::EventLoop& loop, Router& router) {
  std::unique_ptr<TlsReload> reload(new TlsReload(router));
  std::vector<std::string> folders;
  for (const std::string& file : reload->files_) {
    // A watch is on the file's folder, so one is enough for certificate and key side by side.
    const std::string folder = file.substr(0, file.rfind('/') + 1);
    if (std::ranges::find(folders, folder) != folders.end()) continue;
    folders.push_back(folder);
    auto watch = fleet::FileWatch::create(loop, file, [r = reload.get()] { r->on_change(); });
    if (!watch) return tl::unexpected(watch.error());
    reload->watches_.push_back(std::move(*watch));
  }
  reload->seen_ = reload->read_files();
  return reload;
}

std::string TlsReload::read_files() const {
  std::string all;
  for (const std::string& file : files_) {
    const auto text = fleet::FileWatch::read_file(file);
    all += text ? *text : text.error().message;
    all += '\n';
  }
  return all;
}

void TlsReload::on_change() {
  std::string now = read_files();
  // Other files of the folder change too.
  if (now == seen_) return;
  seen_ = std::move(now);
  const TlsContexts& tls = router_.tls();
  Result<void> taken = tls.engines->reload();
  if (tls.clients) {
    const Result<void> clients = tls.clients->reload();
    if (taken) taken = clients;
  }
  (taken ? taken_ : refused_).add();
  if (taken) {
    router_.tell(LogLevel::kInfo, "TLS: certificates read again");
  } else {
    router_.tell(LogLevel::kError, "keeping the old certificates: {}", taken.error().message);
  }
}

}  // namespace fairlead::router
