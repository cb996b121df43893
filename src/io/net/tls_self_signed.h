// SPDX-License-Identifier: Apache-2.0
// A certificate that a server makes for itself when it is given none: its clients encrypt, and
// believe it without asking. ECDSA on P-256, valid for ten years; in memory only.
// Threads: a value, shared by whoever uses it.
#pragma once

#include <memory>
#include <span>
#include <string>

#include "base/result.h"

struct evp_pkey_st;
struct x509_st;

namespace fairlead::net {

struct TlsSelfSigned {
  std::shared_ptr<x509_st> certificate;
  std::shared_ptr<evp_pkey_st> key;
};

// `names`: DNS names and addresses, for its subjectAltName. Fails on one that is neither, and
// without memory.
Result<TlsSelfSigned> make_self_signed(std::span<const std::string> names);

}  // namespace fairlead::net
