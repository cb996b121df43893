// SPDX-License-Identifier: Apache-2.0
#include "io/net/tls_self_signed.h"

#include <arpa/inet.h>
#include <openssl/ec.h>
#include <openssl/evp.h>
#include <openssl/rand.h>
#include <openssl/x509v3.h>

#include <algorithm>
#include <array>
#include <cstdint>

namespace fairlead::net {
namespace {

constexpr long kBeginsBefore = 3600;  // Clocks differ.
constexpr long kYears = 10;
constexpr long kValidSeconds = kYears * 365 * 24 * 3600;
constexpr std::size_t kNameBytesMax = 253;

using GeneralNames = std::unique_ptr<GENERAL_NAMES, decltype(&GENERAL_NAMES_free)>;

bool is_dns_name(const std::string& name) {
  return !name.empty() && name.size() <= kNameBytesMax && std::ranges::all_of(name, [](char c) {
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '-' ||
           c == '.' || c == '_' || c == '*';
  });
}

// Four or sixteen bytes; none when it is no address.
std::string address_bytes(const std::string& name) {
  std::array<char, sizeof(in6_addr)> space;
  if (inet_pton(AF_INET, name.c_str(), space.data()) == 1) return {space.data(), sizeof(in_addr)};
  if (inet_pton(AF_INET6, name.c_str(), space.data()) == 1) return {space.data(), space.size()};
  return {};
}

bool add_name(GENERAL_NAMES* names, int type, const std::string& bytes) {
  GENERAL_NAME* const name = GENERAL_NAME_new();
  ASN1_STRING* const value = type == GEN_DNS ? ASN1_IA5STRING_new() : ASN1_OCTET_STRING_new();
  const bool made = name != nullptr && value != nullptr &&
                    ASN1_STRING_set(value, bytes.data(), static_cast<int>(bytes.size())) == 1;
  if (made) GENERAL_NAME_set0_value(name, type, value);
  if (made && sk_GENERAL_NAME_push(names, name) > 0) return true;
  if (!made) ASN1_STRING_free(value);
  GENERAL_NAME_free(name);
  return false;
}

bool extend(X509* certificate, int id, const char* value) {
  const std::unique_ptr<X509_EXTENSION, decltype(&X509_EXTENSION_free)> extension(
      X509V3_EXT_conf_nid(nullptr, nullptr, id, value), X509_EXTENSION_free);
  return extension && X509_add_ext(certificate, extension.get(), -1) == 1;
}

bool fill(X509* certificate, EVP_PKEY* key, GENERAL_NAMES* names) {
  std::uint64_t serial = 0;
  auto* const serial_bytes = reinterpret_cast<unsigned char*>(&serial);
  if (RAND_bytes(serial_bytes, sizeof serial) != 1) return false;
  serial >>= 1;  // Positive whatever the encoding.
  X509_NAME* const subject = X509_get_subject_name(certificate);
  static constexpr unsigned char kSubject[] = "fairlead";
  return X509_set_version(certificate, X509_VERSION_3) == 1 &&
         ASN1_INTEGER_set_uint64(X509_get_serialNumber(certificate), serial) == 1 &&
         X509_gmtime_adj(X509_getm_notBefore(certificate), -kBeginsBefore) != nullptr &&
         X509_gmtime_adj(X509_getm_notAfter(certificate), kValidSeconds) != nullptr &&
         X509_set_pubkey(certificate, key) == 1 &&
         X509_NAME_add_entry_by_txt(subject, "CN", MBSTRING_ASC, kSubject, -1, -1, 0) == 1 &&
         X509_set_issuer_name(certificate, subject) == 1 &&
         extend(certificate, NID_basic_constraints, "critical,CA:FALSE") &&
         extend(certificate, NID_key_usage, "critical,digitalSignature") &&
         extend(certificate, NID_ext_key_usage, "serverAuth") &&
         (sk_GENERAL_NAME_num(names) == 0 ||
          X509_add1_ext_i2d(certificate, NID_subject_alt_name, names, 0, 0) == 1) &&
         X509_sign(certificate, key, EVP_sha256()) > 0;
}

}  // namespace

Result<TlsSelfSigned> make_self_signed(std::span<const std::string> names) {
  const GeneralNames all(sk_GENERAL_NAME_new_null(), GENERAL_NAMES_free);
  for (const std::string& name : names) {
    const std::string address = address_bytes(name);
    if (address.empty() && !is_dns_name(name)) {
      return fail(ErrorCode::kInvalidArgument,
                  "self-signed certificate: '{}' is neither a DNS name nor an address", name);
    }
    const bool added = address.empty() ? add_name(all.get(), GEN_DNS, name)
                                       : add_name(all.get(), GEN_IPADD, address);
    if (!added) return fail(ErrorCode::kUnavailable, "self-signed certificate: out of memory");
  }
  TlsSelfSigned made{{X509_new(), X509_free}, {EVP_EC_gen("P-256"), EVP_PKEY_free}};
  if (!all || !made.certificate || !made.key ||
      !fill(made.certificate.get(), made.key.get(), all.get())) {
    return fail(ErrorCode::kUnavailable, "self-signed certificate: OpenSSL cannot make one");
  }
  return made;
}

}  // namespace fairlead::net
