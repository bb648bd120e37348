"""Requests through HAProxy that notice everything: each answer must be 200 and whole, each stream must
end with its last event, a kept connection may only be closed after an answer that said so."""

import http.client
import json
import socket
import threading
import time
import urllib.request


def multipart(wav, filler=0):
    """The body of a transcription; `filler` bytes more of another field."""
    boundary = "spica-boundary"
    parts = [(b'name="model"', b"fake-model"), (b'name="filler"', b"x" * filler),
             (b'name="file"; filename="clip.wav"\r\nContent-Type: audio/wav', wav)]
    body = b"".join(b"--" + boundary.encode() + b"\r\nContent-Disposition: form-data; " + head
                    + b"\r\n\r\n" + data + b"\r\n" for head, data in parts)
    return (body + b"--" + boundary.encode() + b"--\r\n",
            {"Content-Type": f"multipart/form-data; boundary={boundary}"})


def fetch(url, **how):
    """What is answered there, as text; None: nobody answers, or not well, or not to the end."""
    try:
        with urllib.request.urlopen(url, timeout=10, **how) as answer:
            return answer.read().decode()
    except (OSError, http.client.HTTPException, ValueError):
        return None


def shows(port, sample):
    """A line of guard's /metrics begins so."""
    return f"\n{sample}" in (fetch(f"http://127.0.0.1:{port}/metrics") or "")


class Traffic:
    """Threads that send until `stop`. `failures` are texts, `served` counts answers by server."""

    def __init__(self, wav):
        self.wav = wav
        self.lock = threading.Lock()
        self.failures, self.served, self.latencies = [], {}, {}
        self.sent = None  # wall clock, of the last request of a gentle sender
        self.over = threading.Event()
        self.threads = []

    def note(self, kind, server, seconds):
        with self.lock:
            self.served[server] = self.served.get(server, 0) + 1
            self.latencies.setdefault(kind, []).append(seconds)

    def fail(self, text):
        with self.lock:
            self.failures.append(f"{time.strftime('%H:%M:%S')} {text}")

    def answers(self):
        with self.lock:
            return sum(self.served.values())

    def add(self, count, send, *args):
        for _ in range(count):
            thread = threading.Thread(target=self._run, args=(send, args), daemon=True)
            thread.start()
            self.threads.append(thread)

    def stop(self, within=60):
        self.over.set()
        for thread in self.threads:
            thread.join(within)
            if thread.is_alive():
                self.fail("a request never ended")

    def _run(self, send, args):
        connection = None
        while not self.over.is_set():
            begun = time.monotonic()
            try:
                connection, server = send(connection, *args)
                self.note(send.__name__, server, time.monotonic() - begun)
            except (OSError, http.client.HTTPException, AssertionError) as error:
                if connection:
                    connection.close()
                connection = None
                self.fail(f"{send.__name__}: {type(error).__name__} {error}")

    # -- what is sent: (connection or None) -> (connection to keep or None, server that answered) --

    def _ask(self, connection, port, path, body, headers):
        connection = connection or http.client.HTTPConnection("127.0.0.1", port, timeout=60)
        connection.request("POST", path, body, headers)
        answer = connection.getresponse()
        data = answer.read()  # raises when it is cut
        assert answer.status == 200, f"status {answer.status}: {data[:100]!r}"
        return connection, answer, data

    def upload(self, connection, port, filler=60000, headers=None):
        """A recording; the connection is kept if it may be."""
        body, head = multipart(self.wav, filler)
        connection, answer, data = self._ask(connection, port, "/v1/audio/transcriptions", body,
                                             dict(head, **(headers or {})))
        assert "text" in json.loads(data), data[:100]
        return connection, answer.headers["X-Spica-Tier"]

    def slow_upload(self, connection, port, seconds=2.0):
        """A recording that takes its time to arrive."""
        body, head = multipart(self.wav, 200000)

        def pieces():
            step = len(body) // 20 + 1
            for at in range(0, len(body), step):
                yield body[at:at + step]
                time.sleep(seconds / 20)
        _, answer, data = self._ask(None, port, "/v1/audio/transcriptions", pieces(),
                                    dict(head, **{"Content-Length": str(len(body))}))
        assert "text" in json.loads(data), data[:100]
        return None, answer.headers["X-Spica-Tier"]

    def stream(self, connection, port, tokens=40, headers=None):
        """A streamed answer, read to its last event."""
        body = json.dumps({"model": "fake-model", "stream": True, "max_tokens": tokens,
                           "messages": [{"role": "user", "content": "Say something."}]})
        _, answer, data = self._ask(None, port, "/v1/chat/completions", body,
                                    dict({"Content-Type": "application/json"}, **(headers or {})))
        assert data.rstrip().endswith(b"data: [DONE]"), f"cut after {data[-80:]!r}"
        return None, answer.headers["X-Spica-Tier"]


def accepts(port):
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0
