// SPDX-License-Identifier: Apache-2.0
#include "router/tls_reload.h"

#include <string>
#include <utility>
#include <vector>

namespace fairlead::router {
namespace {

constexpr std::string_view kName = "fairlead_tls_reloads_total";
constexpr std::string_view kHelp = "Changes of certificate, key and CA files, by their effect.";

}  // namespace

TlsReload::TlsReload(Router& router)
    : router_(router),
      taken_(router.metrics().counter(kName, kHelp, {{"result", "ok"}})),
      refused_(router.metrics().counter(kName, kHelp, {{"result", "failed"}})) {}

Result<std::unique_ptr<TlsReload>> TlsReload::create(net::EventLoop& loop, Router& router) {
  const auto generation = router.generation().load();
  const config::ServeSettings& settings = generation->settings;
  const config::ClientTlsSettings& clients = settings.gateway.tls;
  std::vector<std::string> paths = {clients.cert_file, clients.key_file, clients.client_ca_file,
                                    settings.fleet.tls.ca_file};
  for (const config::CertificateSetting& one : clients.certificates) {
    paths.push_back(one.cert_file);
    paths.push_back(one.key_file);
  }
  std::erase(paths, "");
  std::unique_ptr<TlsReload> reload(new TlsReload(router));
  auto files =
      fleet::WatchedFiles::open(loop, std::move(paths), [raw = reload.get()] { raw->on_change(); });
  if (!files) return tl::unexpected(files.error());
  reload->files_ = std::move(*files);
  return reload;
}

void TlsReload::on_change() {
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
