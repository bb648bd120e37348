"""TLS in front of a fake service, which speaks none: a process of its own that hands bytes on both ways.

    with Front(box, port) as front: ... front.url, front.ca

The certificate is made by the openssl program for this folder, for 127.0.0.1 and localhost.
"""

import os
import selectors
import socket
import ssl
import subprocess
import sys

from harness import Skip, check


def certificate(box):
    pem, key = box.path("front.pem"), box.path("front.key")
    try:
        subprocess.run(["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1",
                        "-nodes", "-keyout", key, "-out", pem, "-days", "2", "-subj", "/CN=test",
                        "-addext", "subjectAltName=IP:127.0.0.1,DNS:localhost"],
                       check=True, stdin=subprocess.DEVNULL, stderr=subprocess.DEVNULL, timeout=30)
    except FileNotFoundError:
        raise Skip("the program openssl is not there") from None
    return pem, key


def carry(secure, plain):
    """Until either side is over. Bytes that TLS has already decrypted are not waited for."""
    with selectors.DefaultSelector() as selector:
        selector.register(secure, selectors.EVENT_READ, (secure, plain))
        selector.register(plain, selectors.EVENT_READ, (plain, secure))
        while True:
            for key, _ in selector.select():
                source, target = key.data
                data = source.recv(65536)
                while isinstance(source, ssl.SSLSocket) and source.pending():
                    data += source.recv(65536)
                if not data:
                    return
                target.sendall(data)


def serve(pem, key, port):
    import threading
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(pem, key)
    listener = socket.create_server(("127.0.0.1", 0), backlog=64)
    print(listener.getsockname()[1], flush=True)

    def one(client):
        try:
            with context.wrap_socket(client, server_side=True) as secure, \
                    socket.create_connection(("127.0.0.1", port)) as plain:
                carry(secure, plain)
        except OSError:
            pass  # who does not trust us has left

    while True:
        client, _ = listener.accept()
        threading.Thread(target=one, args=(client,), daemon=True).start()


class Front:
    def __init__(self, box, port):
        self.ca, key = certificate(box)
        self.process = subprocess.Popen([sys.executable, os.path.abspath(__file__), self.ca, key, str(port)],
                                        stdout=subprocess.PIPE, text=True, env=box.env)
        self.port = int(self.process.stdout.readline())
        self.url = f"https://localhost:{self.port}"
        check(self.port > 0, "no port")

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.process.kill()
        self.process.wait()
        self.process.stdout.close()


if __name__ == "__main__":
    serve(sys.argv[1], sys.argv[2], int(sys.argv[3]))
