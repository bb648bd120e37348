#!/usr/bin/env python3
"""The least server on CTranslate2 that a doctor can find ill: it loads a Whisper model onto the GPU, and
CTranslate2 looks for cuBLAS only with the first audio. On a machine whose CUDA is of another generation
it starts, says that it is healthy, and fails every request.

    faster_whisper_server.py --model FOLDER --port PORT

GET /health answers 200; any POST encodes a second of silence and answers what comes of it.
"""

import argparse
import http.server
import json
import sys
import traceback

import ctranslate2
import numpy


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--model", required=True)
    parser.add_argument("--port", type=int, required=True)
    arguments = parser.parse_args()
    model = ctranslate2.models.Whisper(arguments.model, device="cuda")
    print(f"loaded {arguments.model} on {model.device}", flush=True)

    class Handler(http.server.BaseHTTPRequestHandler):
        def answer(self, status, value):
            body = json.dumps(value).encode()
            self.send_response(status)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def do_GET(self):
            self.answer(200, {"status": "ok"})

        def do_POST(self):
            self.rfile.read(int(self.headers.get("Content-Length", 0)))
            features = numpy.zeros((1, 80, 3000), dtype=numpy.float32)
            try:
                model.encode(ctranslate2.StorageView.from_array(features))
                self.answer(200, {"text": ""})
            except RuntimeError as error:
                traceback.print_exc()
                sys.stderr.flush()
                self.answer(500, {"error": str(error)})

    http.server.ThreadingHTTPServer(("127.0.0.1", arguments.port), Handler).serve_forever()


if __name__ == "__main__":
    main()
