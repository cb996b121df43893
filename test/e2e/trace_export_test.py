# SPDX-License-Identifier: Apache-2.0
"""The spans of `fairlead serve`, read by OpenTelemetry's own message definitions."""
import http.server
import threading

from google.protobuf import json_format
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.trace.v1.trace_pb2 import Span, Status

from conftest import Router, start, stop, wait_for

TRACE = "0af7651916cd43dd8448eb211c80319c"
CALLER = "b7ad6b7169203331"


class Collector(http.server.BaseHTTPRequestHandler):
    requests = []

    def do_POST(self):
        body = self.rfile.read(int(self.headers["content-length"]))
        self.requests.append((self.path, self.headers["content-type"], body))
        self.send_response(200)
        self.send_header("content-length", "2")
        self.end_headers()
        self.wfile.write(b"{}")

    def log_message(self, *_):
        pass


def attributes(span):
    kinds = {"string_value", "int_value", "double_value"}
    found = {}
    for one in span.attributes:
        kind = one.value.WhichOneof("value")
        assert kind in kinds
        found[one.key] = getattr(one.value, kind)
    return found


def decode(body):
    # Ids are hexadecimal in OTLP, and base64 in protobuf's own JSON mapping.
    import base64
    import json

    def convert(value):
        if isinstance(value, list):
            return [convert(item) for item in value]
        if not isinstance(value, dict):
            return value
        return {key: base64.b64encode(bytes.fromhex(item)).decode()
                if key in ("traceId", "spanId", "parentSpanId") else convert(item)
                for key, item in value.items()}

    return json_format.Parse(json.dumps(convert(json.loads(body))), ExportTraceServiceRequest())


def test_spans_reach_a_collector_and_are_flushed_at_the_end(tmp_path):
    collector = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Collector)
    threading.Thread(target=collector.serve_forever, daemon=True).start()
    settings = tmp_path / "serve.yaml"
    settings.write_text(f"tracing: {{endpoint: 'http://127.0.0.1:{collector.server_port}', "
                        "sampleRatio: 0, serviceName: edge}\n")
    engines = start("engine", "--engines", "1", "--base-port", "0", "--speed", "8",
                    "--served-model-name", "tiny")
    port = wait_for(engines, r"ports((?: \d+)+)").group(1).strip()
    serve = start("serve", "-c", str(settings), "--listen", "127.0.0.1:0",
                  "--admin", "127.0.0.1:0", "-e", f"127.0.0.1:{port}")
    gateway, admin = wait_for(serve, r"serving on \S+:(\d+), admin on \S+:(\d+),").groups()
    router = Router([port], gateway, admin)
    router.wait_until_ready()
    messages = [{"role": "user", "content": "hi"}]
    router.client.chat.completions.create(model="tiny", messages=messages, max_tokens=4)
    stream = router.client.chat.completions.create(
        model="tiny", messages=messages, max_tokens=4, stream=True,
        stream_options={"include_usage": True},
        extra_headers={"traceparent": f"00-{TRACE}-{CALLER}-01", "tracestate": "a=1"})
    assert list(stream)
    # Its batch is due in half a second, but the program ends now.
    assert stop(serve) == 0
    assert stop(engines) == 0
    collector.shutdown()
    assert [(path, kind) for path, kind, _ in Collector.requests] == [
        ("/v1/traces", "application/json")], "one request of the two belongs to a sampled trace"
    request = decode(Collector.requests[0][2])
    assert len(request.resource_spans) == 1
    resource = attributes(request.resource_spans[0].resource)
    assert resource["service.name"] == "edge"
    server, client = request.resource_spans[0].scope_spans[0].spans
    assert server.trace_id.hex() == client.trace_id.hex() == TRACE
    assert server.parent_span_id.hex() == CALLER
    assert server.trace_state == client.trace_state == "a=1"
    assert client.parent_span_id == server.span_id
    assert (server.kind, client.kind) == (Span.SPAN_KIND_SERVER, Span.SPAN_KIND_CLIENT)
    assert server.status.code == client.status.code == Status.STATUS_CODE_UNSET
    assert server.name == "POST /v1/chat/completions"
    facts = attributes(server)
    assert facts["gen_ai.request.model"] == "tiny"
    assert facts["gen_ai.usage.output_tokens"] == 4
    assert facts["http.response.status_code"] == 200
    assert attributes(client)["server.port"] == int(port)
    assert [event.name for event in server.events] == ["first_token"]
    assert server.start_time_unix_nano <= client.start_time_unix_nano
    assert client.start_time_unix_nano <= server.events[0].time_unix_nano
    assert server.events[0].time_unix_nano <= client.end_time_unix_nano
    assert client.end_time_unix_nano <= server.end_time_unix_nano
