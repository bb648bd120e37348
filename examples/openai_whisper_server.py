#!/usr/bin/env python3
"""A speech-to-text server on openai-whisper and PyTorch, with OpenAI's interface.

    openai_whisper_server.py MODEL.pt PORT [--device cuda|cpu] [--language en]

GET /health answers 200 once the model is loaded; POST /v1/audio/transcriptions takes a form with a
WAV file (16 bit) in `file` and answers {"text": ...}. In a study file it is a general command:

    stt:
      role: stt
      command: [python3, openai_whisper_server.py, "whisper-{model}.pt", "{port}", --device, cuda]
      protocol: openai-transcriptions
      ready: {http: /health}
      on: gpu
      knobs: {model: [tiny.en, base]}

Without --device it does as openai-whisper does: the GPU if PyTorch sees one, else silently the CPU. With
`--device cuda` it ends with status 1 where there is none, which is what a service should do.
"""

import argparse
import concurrent.futures
import email
import email.message
import http.server
import io
import json
import os
import sys
import time
import traceback
import wave

RATE = 16000
BODY_MAX = 256 << 20


class BadRequest(Exception):
    """What the client sent can't be used."""


def parse_arguments():
    parser = argparse.ArgumentParser(description="A server on openai-whisper.")
    parser.add_argument("model", help="checkpoint (MODEL.pt), or a name that openai-whisper has in its cache")
    parser.add_argument("port", type=int)
    parser.add_argument("--host", default="127.0.0.1")
    parser.add_argument("--device", help="cuda or cpu; left out: the GPU if there is one")
    parser.add_argument("--language", help="spoken language; left out: detected")
    return parser.parse_args()


def load(arguments):
    import torch
    import whisper

    if arguments.device and arguments.device.startswith("cuda") and not torch.cuda.is_available():
        sys.exit(f"error: --device {arguments.device}: PyTorch sees no GPU "
                 f"(CUDA_VISIBLE_DEVICES={os.environ.get('CUDA_VISIBLE_DEVICES')})")
    started = time.monotonic()
    model = whisper.load_model(arguments.model, device=arguments.device)
    print(f"Device={model.device} load_s={time.monotonic() - started:.2f} "
          f"CUDA_VISIBLE_DEVICES={os.environ.get('CUDA_VISIBLE_DEVICES')}", flush=True)
    return model


def form_fields(content_type, body):
    """The fields of a multipart form: name -> bytes."""
    header = email.message.Message()
    header["Content-Type"] = content_type
    boundary = header.get_boundary()
    if not boundary:
        raise BadRequest("a multipart form is wanted")
    fields = {}
    for part in (b"\r\n" + body).split(b"\r\n--" + boundary.encode("latin-1", "replace"))[1:]:
        head, blank, value = part.partition(b"\r\n\r\n")
        if part.startswith(b"--") or not blank:
            break
        named = email.message_from_bytes(head.lstrip() + b"\r\n\r\n")
        name = named.get_param("name", header="content-disposition")
        if isinstance(name, str):
            fields[name] = value
    return fields


def samples(audio):
    """16 kHz, one channel, as numbers from -1 to 1."""
    import numpy

    try:
        with wave.open(io.BytesIO(audio)) as clip:
            if clip.getsampwidth() != 2:
                raise BadRequest("a WAV file of 16 bit is wanted")
            channels, rate = clip.getnchannels(), clip.getframerate()
            data = numpy.frombuffer(clip.readframes(clip.getnframes()), numpy.int16)
    except (wave.Error, EOFError, ValueError) as error:
        raise BadRequest(f"no WAV file: {error}") from error
    mono = data[: len(data) // channels * channels].reshape(-1, channels).mean(axis=1) / 32768
    if rate != RATE and len(mono) > 0:
        times = numpy.arange(int(len(mono) * RATE / rate)) / RATE
        mono = numpy.interp(times, numpy.arange(len(mono)) / rate, mono)
    return mono.astype(numpy.float32)


class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    timeout = 120
    wbufsize = -1  # head and body leave together: two small sends may wait 40 ms for each other
    disable_nagle_algorithm = True
    model = None
    language = None
    worker = concurrent.futures.ThreadPoolExecutor(max_workers=1)

    def answer(self, status, value):
        body = json.dumps(value).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def refuse(self, status, why):
        self.close_connection = True  # the body may not have been read
        self.answer(status, {"error": {"message": why}})

    def do_GET(self):
        if self.path == "/health":
            self.answer(200, {"status": "ok", "device": str(self.model.device)})
        else:
            self.refuse(404, "no such page")

    def do_POST(self):
        if self.path != "/v1/audio/transcriptions":
            return self.refuse(404, "no such page")
        length = self.headers.get("Content-Length", "")
        if not length.isdigit() or int(length) > BODY_MAX:
            return self.refuse(411 if not length.isdigit() else 413, "a Content-Length up to 256 MiB is wanted")
        body = self.rfile.read(int(length))
        try:
            fields = form_fields(self.headers.get("Content-Type", ""), body)
            if "file" not in fields:
                raise BadRequest("the form has no field `file`")
            self.answer(200, {"text": self.transcribe(samples(fields["file"]))})
        except BadRequest as error:
            self.refuse(400, str(error))
        except Exception as error:  # out of memory, say: the log tells, and so does the answer
            traceback.print_exc()
            self.refuse(500, f"{type(error).__name__}: {error}")

    def transcribe(self, audio):
        """Always in the same thread, and one request at a time: PyTorch and CUDA's libraries keep
        state for each thread, and a thread per connection was slow on a GPU."""
        return self.worker.submit(
            self.model.transcribe, audio, language=self.language, temperature=0.0,
            fp16=self.model.device.type == "cuda").result()["text"]

    def log_message(self, format, *args):
        pass  # a line per request says nothing that the client does not know


class Server(http.server.ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 128


def main():
    arguments = parse_arguments()
    Handler.model = load(arguments)
    Handler.language = arguments.language
    Server((arguments.host, arguments.port), Handler).serve_forever()


if __name__ == "__main__":
    main()
