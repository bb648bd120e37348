#!/usr/bin/env python3
"""A service manager of the smallest kind, for a machine without systemd: the servers of services.json,
each with a setting that can be changed and put back. promote.yaml calls it.

    services.py start | stop | state [NAME...]    with the setting they have; at first that of "today"
    services.py keep                              every setting as it is now is what `back` puts back
    services.py set NAME KEY=VALUE...             another setting, and the server anew with it
    services.py runs NAME KEY=VALUE...            status 0: it runs, and with that
    services.py back NAME                         what was kept, and the server anew with it

A setting's names in capital letters are variables of the server's environment, the others are put into its
command. `keep` stands before a promotion's first step, so `back` is right whether `set` ran, ran halfway or
never did, and may be run twice. What runs, logs and every change are in production/ beside this file; only processes whose number
and time of start were written down there are ended. `set`, `back` and `start` end when /health answers, with
status 1 when it does not.
"""

import json
import os
import signal
import subprocess
import sys
import time
import urllib.request

HERE = os.path.dirname(os.path.abspath(__file__))
STATE = os.path.join(HERE, "production")
READY_S, END_S = 90, 10


def read(*path):
    try:
        with open(os.path.join(STATE, *path), encoding="utf-8") as file:
            return json.load(file)
    except FileNotFoundError:
        return None


def write(value, *path):
    path = os.path.join(STATE, *path)
    os.makedirs(os.path.dirname(path), exist_ok=True)
    with open(path + ".new", "w", encoding="utf-8") as file:
        json.dump(value, file)
        file.flush()
        os.fsync(file.fileno())
    os.replace(path + ".new", path)


def started(pid):
    """When that process was started, in the kernel's ticks; None: there is none, or it has ended."""
    try:
        with open(f"/proc/{pid}/stat", encoding="utf-8") as file:
            words = file.read().rsplit(")", 1)[1].split()
    except OSError:
        return None
    return None if words[0] in "ZX" else int(words[19])


class Service:
    def __init__(self, name, facts):
        self.name, self.facts = name, facts

    def setting(self):
        return read(self.name + ".json") or self.facts["today"]

    def pid(self):
        """Of the process that we started, as long as it is there; it leads a group of its own."""
        pid, ticks = read(self.name + ".pid") or (0, 0)
        return pid if pid and started(pid) == ticks else None

    def answers(self):
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{self.facts['port']}/health", timeout=2) as answer:
                return answer.read(300).decode() if answer.status == 200 else None
        except OSError:
            return None

    def stop(self):
        pid = self.pid()
        for number in (signal.SIGTERM, signal.SIGKILL):
            end = time.monotonic() + END_S
            while self.pid() and time.monotonic() < end:
                os.killpg(pid, number)
                time.sleep(0.1)
        if self.pid():
            sys.exit(f"{self.name}: process {pid} does not end")

    def start(self):
        if self.pid():
            return
        texts = dict(self.setting(), port=str(self.facts["port"]), folder=HERE)
        capitals = {key: value for key, value in texts.items() if key.isupper()}
        given = {key: text.format(**texts) for key, text in self.facts.get("environment", {}).items()}
        with open(os.path.join(STATE, self.name + ".log"), "ab") as log:
            log.write(f"== {self.words()}\n".encode())
            log.flush()
            server = subprocess.Popen([word.format(**texts) for word in self.facts["command"]], cwd=HERE,
                                      env={**os.environ, **given, **capitals}, stdin=subprocess.DEVNULL,
                                      stdout=log, stderr=log, start_new_session=True)
        write([server.pid, started(server.pid)], self.name + ".pid")
        end = time.monotonic() + READY_S
        while not self.answers():
            if server.poll() is not None:
                sys.exit(f"{self.name}: ended with status {server.returncode}, see production/{self.name}.log")
            if time.monotonic() > end:
                sys.exit(f"{self.name}: /health does not answer after {READY_S} s")
            time.sleep(0.1)

    def change(self, setting):
        self.stop()
        write(setting, self.name + ".json")
        self.start()
        with open(os.path.join(STATE, "changes.txt"), "a", encoding="utf-8") as log:
            print(f"{time.strftime('%TZ', time.gmtime())} {self.text()}", file=log)

    def words(self):
        return " ".join(f"{key}={value}" for key, value in self.setting().items())

    def text(self):
        return (f"{self.name}: process {self.pid()}, port {self.facts['port']}, {self.words()}, "
                f"/health: {self.answers() or 'no answer'}")


def pairs(words, service):
    given = dict(word.split("=", 1) for word in words)
    unknown = sorted(set(given) - set(service.facts["today"]))
    if unknown:
        sys.exit(f"{service.name}: has no setting {', '.join(unknown)}")
    return given


def main():
    command, names = (sys.argv[1:2] or ["help"])[0], sys.argv[2:]
    with open(os.path.join(HERE, "services.json"), encoding="utf-8") as file:
        services = {name: Service(name, facts) for name, facts in json.load(file).items()}
    os.makedirs(STATE, exist_ok=True)
    if command in ("set", "runs", "back") and names and names[0] in services:
        service = services[names[0]]
        wanted = {**service.setting(), **pairs(names[1:], service)}
        if command == "runs":
            sys.exit(0 if service.pid() and wanted == service.setting() else f"{service.name}: runs otherwise")
        service.change(wanted if command == "set" else read("kept", service.name + ".json") or wanted)
    elif command == "keep" and not names:
        for name, service in services.items():
            write(service.setting(), "kept", name + ".json")
    elif command in ("start", "stop", "state") and all(name in services for name in names):
        for name in names or services:
            if command == "state":
                print(services[name].text())
            else:
                getattr(services[name], command)()
    else:
        sys.exit(__doc__)


if __name__ == "__main__":
    main()
