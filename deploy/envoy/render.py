#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Envoy configurations for the endpoint picker: the files of this folder, or one of your own.

    deploy/envoy/render.py VARIANT [--listen PORT] [--admin PORT] [--picker PORT]
                           [--upstream HOST:PORT ...] [--picker-ca FILE] [--subset HOST:PORT ...]
    deploy/envoy/render.py --write      # all shipped files anew; a test compares them

Prints the configuration. Standard library only; tests and benchmarks import render().
"""
import argparse
import os
import sys

HERE = os.path.dirname(os.path.abspath(__file__))
LISTEN, ADMIN, PICKER = 8080, 9901, 9002
EXAMPLE_UPSTREAMS = ["10.0.0.1:8000", "10.0.0.2:8000", "10.0.0.3:8000"]

FULL = "FULL_DUPLEX_STREAMED"
# name: (what it is for, request body mode, response headers, response body mode)
VARIANTS = {
    "epp": ("Full duplex both ways, as the Gateway API implementations configure it.",
            FULL, "SEND", FULL),
    "epp-tls": ("Full duplex; TLS to the picker, as it serves by default.", FULL, "SEND", FULL),
    "epp-fallback": ("Full duplex; the picker's list is tried in order when an endpoint fails.",
                     FULL, "SEND", FULL),
    "epp-fail-open": ("Without its picker Envoy spreads requests over all engines by itself.",
                      "BUFFERED", "SEND", "NONE"),
    "epp-response-none": ("The picker sees requests only: answers cost it nothing.",
                          FULL, "SKIP", "NONE"),
    "epp-buffered": ("Envoy collects each request's body; engines get its content-length.",
                     "BUFFERED", "SEND", "NONE"),
    "epp-buffered-partial": ("The picker decides over the first part of the body.",
                             "BUFFERED_PARTIAL", "SEND", "NONE"),
    "epp-streamed": ("The picker decides on the headers and sees the bodies go by.",
                     "STREAMED", "SEND", "STREAMED"),
    "epp-headers-only": ("For policies that need no body: long prompts cost the picker nothing.",
                         "NONE", "SEND", "NONE"),
}  # fmt: skip
KNOWS_ENGINES = ["epp-fallback", "epp-fail-open"]  # The others go wherever the picker says.
BUFFER_BYTES = 64 << 20  # The largest body that BUFFERED takes; Envoy answers 413 beyond.
STREAM_BYTES = 32 << 10
TYPE = "type.googleapis.com/envoy.extensions"
MANAGER_TYPE = f"{TYPE}.filters.network.http_connection_manager.v3.HttpConnectionManager"

def indent(text, columns):
    pad = " " * columns
    return "".join(pad + line if line.strip() else line for line in text.splitlines(True))


def subset_filter(subset):
    values = "\n".join(f'          - "{endpoint}"' for endpoint in subset)
    return f"""\
# The endpoints that the picker may choose among, whatever others its pool has.
- name: envoy.filters.http.set_metadata
  typed_config:
    "@type": type.googleapis.com/envoy.extensions.filters.http.set_metadata.v3.Config
    metadata:
      - metadata_namespace: envoy.lb.subset_hint
        value:
          x-gateway-destination-endpoint-subset:
{values}
"""


def picker_filter(variant, fail_open, subset):
    _, request_body, response_headers, response_body = VARIANTS[variant]
    forwarded = ["envoy.lb"] + (["envoy.lb.subset_hint"] if subset else [])
    # Full duplex wants the trailers, too.
    request_trailers = "SEND" if request_body == FULL else "SKIP"
    response_trailers = "SEND" if response_body == FULL else "SKIP"
    return f"""\
- name: envoy.filters.http.ext_proc
  typed_config:
    "@type": type.googleapis.com/envoy.extensions.filters.http.ext_proc.v3.ExternalProcessor
    grpc_service:
      envoy_grpc: {{cluster_name: picker}}
    failure_mode_allow: {"true" if fail_open else "false"}
    # A request may wait in the picker's queue.
    message_timeout: 1000s
    processing_mode:
      request_header_mode: SEND
      request_body_mode: {request_body}
      request_trailer_mode: {request_trailers}
      response_header_mode: {response_headers}
      response_body_mode: {response_body}
      response_trailer_mode: {response_trailers}
    metadata_options:
      forwarding_namespaces: {{untyped: [{", ".join(forwarded)}]}}
      receiving_namespaces: {{untyped: [envoy.lb]}}
"""


SERVED_FILTER = """\
# Tells the picker, on the way back, which endpoint answered.
- name: envoy.filters.http.header_to_metadata
  typed_config:
    "@type": type.googleapis.com/envoy.extensions.filters.http.header_to_metadata.v3.Config
    response_rules:
      - header: x-gateway-destination-endpoint-served
        on_header_present:
          metadata_namespace: envoy.lb
          key: x-gateway-destination-endpoint-served
          type: STRING
        remove: true
"""
ROUTER_FILTER = """\
- name: envoy.filters.http.router
  typed_config:
    "@type": type.googleapis.com/envoy.extensions.filters.http.router.v3.Router
    suppress_envoy_headers: true
"""

# A client must not choose by itself: its own header goes before the picker sees the request. What
# the picker sets comes later, and stays.
MUTATION_FILTER = """\
- name: envoy.filters.http.header_mutation
  typed_config:
    "@type": type.googleapis.com/envoy.extensions.filters.http.header_mutation.v3.HeaderMutation
    mutations:
      request_mutations:
        # The picker's word, never the client's.
        - remove: x-gateway-destination-endpoint
"""

KEPT = """\
# Of a body, for another try; a longer one has a single try.
request_body_buffer_limit: 16777216
"""
RETRIES = """\
retry_policy:
  # What has not reached an engine may go to the next of the list.
  retry_on: connect-failure,refused-stream,reset-before-request
  num_retries: 3
  retry_back_off: {base_interval: 0.001s, max_interval: 0.01s}
"""

LIMITS = """\
circuit_breakers:
  thresholds:
    - {max_connections: 40000, max_pending_requests: 40000, max_requests: 40000, max_retries: 1000}
"""


BY_HEADER_CLUSTER = """\
# Goes where the header says. It takes one address: a list needs epp-fallback.yaml.
- name: engines
  type: ORIGINAL_DST
  lb_policy: CLUSTER_PROVIDED
  original_dst_lb_config:
    use_http_header: true
    http_header_name: x-gateway-destination-endpoint
"""
OVERRIDE_POLICY = f"""\
load_balancing_policy:
  policies:
    - typed_extension_config:
        name: envoy.load_balancing_policies.override_host
        typed_config:
          "@type": {TYPE}.load_balancing_policies.override_host.v3.OverrideHost
          override_host_sources:
            - header: x-gateway-destination-endpoint
          fallback_policy:
            policies:
              - typed_extension_config:
                  name: envoy.load_balancing_policies.round_robin
                  typed_config:
                    "@type": {TYPE}.load_balancing_policies.round_robin.v3.RoundRobin
"""


def known_engines(upstreams, policy):
    """A cluster of these, with the picker's list or in turn."""
    hosts = ""
    for upstream in upstreams:
        host, _, port = upstream.rpartition(":")
        address = f"socket_address: {{address: {host}, port_value: {port}}}"
        hosts += f"        - endpoint: {{address: {{{address}}}}}\n"
    return f"""\
# Envoy must know all engines: those of the picker's list in turn, then any.
- name: engines
  type: STATIC
{indent(policy, 2)}  load_assignment:
    cluster_name: engines
    endpoints:
      - lb_endpoints:
{indent(hosts, 2)}"""


def engines_cluster(variant, upstreams, buffer, without_picker):
    if without_picker == "in-turn":
        cluster = known_engines(upstreams, "lb_policy: ROUND_ROBIN\n")
    elif variant in KNOWS_ENGINES:
        cluster = known_engines(upstreams, OVERRIDE_POLICY)
    else:
        cluster = BY_HEADER_CLUSTER
    return f"""\
{cluster}  connect_timeout: 2s
  per_connection_buffer_limit_bytes: {buffer}
{indent(LIMITS, 2)}"""


def picker_tls(ca):
    # Without a CA: the picker's certificate is its own making, and is not looked at.
    trust = ""
    if ca:
        trust = f"""\
      validation_context:
        trusted_ca: {{filename: {ca}}}
"""
    return f"""\
  transport_socket:
    name: envoy.transport_sockets.tls
    typed_config:
      "@type": type.googleapis.com/envoy.extensions.transport_sockets.tls.v3.UpstreamTlsContext
      sni: localhost
      common_tls_context:
        alpn_protocols: [h2]
{indent(trust, 2)}"""


def picker_cluster(variant, port, ca):
    secure = picker_tls(ca) if variant == "epp-tls" or ca else ""
    return f"""\
- name: picker
  type: STATIC
  connect_timeout: 2s
{indent(LIMITS, 2)}  typed_extension_protocol_options:
    envoy.extensions.upstreams.http.v3.HttpProtocolOptions:
      "@type": type.googleapis.com/envoy.extensions.upstreams.http.v3.HttpProtocolOptions
      explicit_http_config:
        http2_protocol_options:
          max_concurrent_streams: 40000
          initial_stream_window_size: 65536
          initial_connection_window_size: 1048576
{secure}  load_assignment:
    cluster_name: picker
    endpoints:
      - lb_endpoints:
          - endpoint:
              address: {{socket_address: {{address: 127.0.0.1, port_value: {port}}}}}
"""


def render(variant, *, listen=LISTEN, admin=ADMIN, picker=PICKER, listen_address="0.0.0.0",
           upstreams=(), picker_ca="", subset=(), without_picker=""):  # fmt: skip
    """The configuration's text. `without_picker`, for comparison: engines come "in-turn", or
    "by-header", the client's own."""
    purpose = VARIANTS[variant][0]
    fail_open = variant == "epp-fail-open"
    buffer = BUFFER_BYTES if VARIANTS[variant][1] == "BUFFERED" else STREAM_BYTES
    filters = "" if without_picker else MUTATION_FILTER
    if subset and not without_picker:
        filters += subset_filter(subset)
    if not without_picker:
        filters += picker_filter(variant, fail_open, subset) + SERVED_FILTER
    filters += ROUTER_FILTER
    clusters = engines_cluster(variant, upstreams or EXAMPLE_UPSTREAMS, buffer,
                               without_picker)  # fmt: skip
    if not without_picker:
        clusters += picker_cluster(variant, picker, picker_ca)
    kept = indent(KEPT, 22) if variant in KNOWS_ENGINES else ""
    retries = indent(RETRIES, 28) if variant in KNOWS_ENGINES else ""
    return f"""\
# SPDX-License-Identifier: Apache-2.0
# {purpose}
# Made by render.py; README.md says which file is for what.
admin:
  address: {{socket_address: {{address: 127.0.0.1, port_value: {admin}}}}}
static_resources:
  listeners:
    - name: inference
      address: {{socket_address: {{address: {listen_address}, port_value: {listen}}}}}
      per_connection_buffer_limit_bytes: {buffer}
      filter_chains:
        - filters:
            - name: envoy.filters.network.http_connection_manager
              typed_config:
                "@type": {MANAGER_TYPE}
                stat_prefix: inference
                stream_idle_timeout: 0s  # A prefill may take minutes.
                http_filters:
{indent(filters, 18)}                route_config:
                  virtual_hosts:
                    - name: inference
                      domains: ["*"]
{kept}                      response_headers_to_add:
                        - header:
                            key: x-gateway-destination-endpoint-served
                            value: "%UPSTREAM_REMOTE_ADDRESS%"
                      routes:
                        - match: {{prefix: /}}
                          route:
                            cluster: engines
                            timeout: 0s
{retries}  clusters:
{indent(clusters, 4)}"""


def write_all():
    for variant in VARIANTS:
        with open(os.path.join(HERE, variant + ".yaml"), "w", encoding="utf-8") as file:
            file.write(render(variant))


def main():
    if sys.argv[1:] == ["--write"]:
        return write_all()
    arguments = argparse.ArgumentParser(description="An Envoy configuration for the picker.")
    arguments.add_argument("variant", choices=VARIANTS)
    arguments.add_argument("--listen", type=int, default=LISTEN)
    arguments.add_argument("--admin", type=int, default=ADMIN)
    arguments.add_argument("--picker", type=int, default=PICKER)
    arguments.add_argument("--upstream", nargs="*", default=(), help="all engines")
    arguments.add_argument("--picker-ca", default="", help="PEM; TLS to the picker")
    arguments.add_argument("--subset", nargs="*", default=(), help="may be chosen among")
    wanted = arguments.parse_args()
    print(end=render(wanted.variant, listen=wanted.listen, admin=wanted.admin,
                     picker=wanted.picker, upstreams=wanted.upstream, subset=wanted.subset,
                     picker_ca=wanted.picker_ca))  # fmt: skip
    return None


if __name__ == "__main__":
    sys.exit(main())
