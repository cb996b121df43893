// SPDX-License-Identifier: Apache-2.0
// Any messages in any order on an ext_proc stream. The first byte chooses settings, the second when
// decisions come; each message follows its length in two bytes. Oracles: one end, nothing behind
// it, every reply is a ProcessingResponse, an immediate one is told to the owner, lent bytes stay
// as they are, and all memory comes back.
#include <cstdlib>
#include <memory>
#include <string>

#include "core/codec/ext_proc_envoy.h"
#include "core/exchange/extproc_stream.h"
#include "core/exchange/testing/recording_port.h"

namespace {

using namespace fairlead::exchange;
using fairlead::codec::BodySendMode;
using fairlead::exchange::testing::RecordingPort;

void require(bool condition) {
  if (!condition) std::abort();
}

void play(std::string_view bytes) {
  static ReadingDesk desk(std::size_t{1} << 16);
  static BodyStore store({.lent_bytes_max = 1 << 16, .kept_bytes_max = 1 << 16});
  ExtProcCounters counters;
  const auto choice = static_cast<unsigned char>(bytes[0]);
  const auto when = static_cast<unsigned char>(bytes[1]);
  bytes.remove_prefix(2);
  RecordingPort port((choice & 1) != 0 ? RecordingPort::Decide::kAtOnce
                                       : RecordingPort::Decide::kLater);
  if ((choice & 2) != 0) port.refusal = fairlead::model::ReplyReason::kNoEndpoint;
  ExtProcSettings settings;
  if ((choice & 4) != 0) settings.response = ResponseProcessing::kNone;
  if ((choice & 8) != 0) settings.unknown_path = UnknownPath::kPlacedByLoad;
  settings.body_bytes_max = 1 << 12;
  const auto mode = static_cast<BodySendMode>((choice >> 4) % 5);
  settings.assumed = {mode, mode};
  ExtProcStream stream({desk, store, counters}, port);
  port.attach(stream);
  stream.begin(settings);
  for (unsigned step = 0; bytes.size() >= 2; ++step) {
    const std::size_t size = static_cast<unsigned char>(bytes[0]) +
                             std::size_t{static_cast<unsigned char>(bytes[1])} * 256;
    bytes.remove_prefix(2);
    const std::string_view message = bytes.substr(0, size);
    bytes.remove_prefix(message.size());
    // Of its exact size, for the address sanitizer.
    const std::unique_ptr<char[]> exact(new char[message.size()]);
    message.copy(exact.get(), message.size());
    stream.on_message({exact.get(), message.size()});
    if ((when >> (step % 8) & 1) != 0) port.decide();
    if (step % 3 == 2) require(port.drain());
  }
  stream.on_gone();
  require(port.ends == 1 && !port.broken_contract && port.decides <= 1);
  fairlead::codec::envoy::EnvoyReply reply;
  bool immediate = false;
  for (const std::string& message : port.messages) {
    require(fairlead::codec::envoy::decode(message, reply));
    immediate = immediate || reply.kind == fairlead::codec::envoy::ReplyKind::kImmediate;
  }
  require(port.replied.has_value() == immediate);
  require(port.drain());
  stream.clear();
  require(store.lent_bytes() == 0);
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const unsigned char* data, std::size_t size) {
  if (size >= 2) play({reinterpret_cast<const char*>(data), size});
  return 0;
}
