"""TLS in front of a fake service, which speaks none: a process of its own that hands bytes on both ways.

    with Front(box, port) as front: ... front.url, front.ca     before one that runs already
    behind(pem, key, command)                                   the command that secured() makes
    box.study(llm=secured(box.fake("llm"), *certificate(box)))  a service that spica starts

The certificate is made by the openssl program for this folder, for 127.0.0.1 and localhost unless told.
A secured service is the fake itself, on a port of its own, whose child has the TLS port and ends with it.
"""

import ctypes
import os
import selectors
import signal
import socket
import ssl
import subprocess
import sys

from harness import Skip, check


NAMES = "IP:127.0.0.1,DNS:localhost"


def certificate(box, names=NAMES, stem="front"):
    """Its file, which is also the authority to trust, and its key's."""
    pem, key = box.path(stem + ".pem"), box.path(stem + ".key")
    try:
        subprocess.run(["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1",
                        "-nodes", "-keyout", key, "-out", pem, "-days", "2", "-subj", "/CN=test",
                        "-addext", "subjectAltName=" + names],
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


def secured(service, pem, key, **tls):
    """A `command` service behind TLS; keyword arguments are keys of `tls` (none: `tls: true`)."""
    return dict(service, command=behind(pem, key, service["command"]), tls=tls or True)


def behind(pem, key, command):
    return [sys.executable, os.path.abspath(__file__), pem, key, "--"] + command


def serve(pem, key, port, listen=0):
    import threading
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(pem, key)
    listener = socket.create_server(("127.0.0.1", listen), backlog=64)
    if listen == 0:
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


def run_behind(pem, key, command):
    """Becomes the command, with another port; TLS is a child's."""
    at = command.index("--port") + 1
    outer = int(command[at])
    with socket.create_server(("127.0.0.1", 0)) as free:
        command[at] = str(free.getsockname()[1])
    parent = os.getpid()
    if os.fork() == 0:
        ctypes.CDLL(None).prctl(1, signal.SIGKILL)  # PR_SET_PDEATHSIG
        if os.getppid() == parent:
            serve(pem, key, int(command[at]), outer)
        os._exit(1)
    os.execvp(command[0], command)


if __name__ == "__main__":
    if sys.argv[3] == "--":
        run_behind(sys.argv[1], sys.argv[2], sys.argv[4:])
    serve(sys.argv[1], sys.argv[2], int(sys.argv[3]))
