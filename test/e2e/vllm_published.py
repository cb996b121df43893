# SPDX-License-Identifier: Apache-2.0
"""Says, for each line that it reads, how many batches of KV-cache events a vLLM engine published.

    .vllm/bin/python test/e2e/vllm_published.py REPLAY_ENDPOINT
"""
import sys

import zmq

SILENCE_MS = 10_000
END = (2**64 - 1).to_bytes(8, "big")


def published(context, endpoint):
    with context.socket(zmq.DEALER) as socket:
        socket.setsockopt(zmq.LINGER, 0)
        socket.connect(endpoint)
        socket.send_multipart([b"", bytes(8)])  # From the first one on.
        count = 0
        while socket.poll(SILENCE_MS):
            number = socket.recv_multipart()[2]  # Behind an empty frame and the topic.
            if number == END:
                return count
            count += 1
    raise SystemExit(f"{endpoint} does not answer")


def main(endpoint):
    with zmq.Context() as context:
        for _ in sys.stdin:
            print(published(context, endpoint), flush=True)


if __name__ == "__main__":
    main(sys.argv[1])
