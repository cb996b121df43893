// SPDX-License-Identifier: Apache-2.0
// For tests: a certificate authority in memory, and PEM files in a folder of their own, removed at
// the end. Keys are P-256. Threads: one.
#pragma once

#include <openssl/evp.h>
#include <openssl/pem.h>
#include <openssl/x509v3.h>

#include <cstdio>
#include <cstdlib>
#include <filesystem>
#include <memory>
#include <string>

#include "base/assert.h"

namespace fairlead::net::testing {

// How far from now a certificate begins and ends.
struct Validity {
  long from_seconds = -3600;
  long to_seconds = 3600;
};

class CertificateAuthority {
 public:
  CertificateAuthority() : key_(EVP_EC_gen("P-256")) {
    std::string pattern = (std::filesystem::temp_directory_path() / "tls_test_XXXXXX").string();
    FAIRLEAD_ASSERT(mkdtemp(pattern.data()) != nullptr);
    folder_ = pattern;
    certificate_ = make(key_, "test authority", "CA:TRUE", "", {});
    write(path("ca.pem"), certificate_, nullptr);
  }
  ~CertificateAuthority() {
    X509_free(certificate_);
    EVP_PKEY_free(key_);
    std::error_code ignored;
    std::filesystem::remove_all(folder_, ignored);
  }
  CertificateAuthority(const CertificateAuthority&) = delete;
  CertificateAuthority& operator=(const CertificateAuthority&) = delete;

  std::string path(const std::string& file) const { return folder_ + "/" + file; }
  std::string ca_file() const { return path("ca.pem"); }
  std::string cert_file() const { return path("cert.pem"); }
  std::string key_file() const { return path("key.pem"); }

  // A file with another certificate, for a client to trust.
  std::string file_of(X509* other) const {
    write(path("other.pem"), other, nullptr);
    return path("other.pem");
  }
  // Writes cert_file() and key_file(). `names`: "DNS:localhost,IP:127.0.0.1".
  void issue(const std::string& names = "DNS:localhost,IP:127.0.0.1", Validity validity = {}) {
    EVP_PKEY* key = EVP_EC_gen("P-256");
    X509* certificate = make(key, "server", "CA:FALSE", names, validity);
    write(cert_file(), certificate, nullptr);
    write(key_file(), nullptr, key);
    X509_free(certificate);
    EVP_PKEY_free(key);
  }

 private:
  X509* make(EVP_PKEY* key, const char* subject, const char* basic, const std::string& names,
             Validity validity) {
    X509* made = X509_new();
    X509_set_version(made, X509_VERSION_3);
    ASN1_INTEGER_set(X509_get_serialNumber(made), ++serial_);
    X509_gmtime_adj(X509_getm_notBefore(made), validity.from_seconds);
    X509_gmtime_adj(X509_getm_notAfter(made), validity.to_seconds);
    X509_set_pubkey(made, key);
    X509_NAME_add_entry_by_txt(X509_get_subject_name(made), "CN", MBSTRING_ASC,
                               reinterpret_cast<const unsigned char*>(subject), -1, -1, 0);
    X509* const issuer = certificate_ == nullptr ? made : certificate_;
    X509_set_issuer_name(made, X509_get_subject_name(issuer));
    X509V3_CTX context;
    X509V3_set_ctx(&context, issuer, made, nullptr, nullptr, 0);
    const auto extend = [&](int id, const char* value) {
      X509_EXTENSION* extension = X509V3_EXT_conf_nid(nullptr, &context, id, value);
      X509_add_ext(made, extension, -1);
      X509_EXTENSION_free(extension);
    };
    extend(NID_basic_constraints, basic);
    if (!names.empty()) extend(NID_subject_alt_name, names.c_str());
    FAIRLEAD_ASSERT(X509_sign(made, key_, EVP_sha256()) > 0);
    return made;
  }

  // Renamed into place, as Kubernetes and certificate tools do.
  static void write(const std::string& path, X509* certificate, EVP_PKEY* key) {
    const std::string fresh = path + ".new";
    std::FILE* file = std::fopen(fresh.c_str(), "w");
    FAIRLEAD_ASSERT(file != nullptr);
    if (certificate != nullptr) PEM_write_X509(file, certificate);
    if (key != nullptr) PEM_write_PrivateKey(file, key, nullptr, nullptr, 0, nullptr, nullptr);
    std::fclose(file);
    std::filesystem::rename(fresh, path);
  }

  std::string folder_;
  long serial_ = 0;
  EVP_PKEY* key_ = nullptr;
  X509* certificate_ = nullptr;
};

}  // namespace fairlead::net::testing
