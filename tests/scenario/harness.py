"""Scenario tests: the whole program, driven by its command line alone, over scriptable fake services.

A scenario is a function that takes a Box:

    @scenario(quick=True)
    def llm_dies_under_load(box):
        box.study(llm=box.fake("llm", "--at", "5:die:3"))
        box.run("run", box.file, code=3)
        box.expect(1, "crashed_load", service="llm", says="exit status 3")

and a test file ends with `if __name__ == "__main__": main(__name__)`. Options of a test file:
`--list`, `--quick`, `--alone` (those that run with nothing beside them), `--rest` (neither), `--jobs N`,
`--keep` (folders stay), names or parts of names. The programs come from the environment: SPICA and
FAKE_SERVICE. SCENARIO_JOBS: how many of a file at a time; SCENARIO_SLOTS: how many of all files.

Each scenario runs in a process of its own, several at a time, each in a private folder with a private
lock folder and, where that is allowed, with a view of processes of its own (as root; elsewhere use
`--jobs 1` when other studies run on the machine). That process is a subreaper, so whatever escapes from
spica becomes its descendant; every process started in a Box also carries a variable of its own in the
environment. At the end none of
either kind may be alive (zombies do no harm), else the scenario fails.

The machine is shared and may be slow: scenarios assert on verdicts, statuses, texts and stored rows,
never on durations. The only times are deadlines for what never ends.
"""

import ctypes
import fcntl
import json
import math
import os
import pty
import re
import select
import shutil
import signal
import sqlite3
import struct
import subprocess
import sys
import tempfile
import time
import traceback
import uuid
import wave

HERE = os.path.dirname(os.path.abspath(__file__))
ROOT = os.path.dirname(os.path.dirname(HERE))
SPICA = os.path.abspath(os.environ.get("SPICA", os.path.join(ROOT, "build/src/cli/spica")))
FAKE = os.path.abspath(os.environ.get("FAKE_SERVICE",
                                      os.path.join(ROOT, "build/tests/fakes/fake-service")))
MARK = "SPICA_TEST_MARK"
DEADLINE_S = 120    # of one command
SCENARIO_S = 400    # of one scenario
CLEAN_WITHIN_S = 5  # from a command's end to no process left
PR_SET_PDEATHSIG, PR_SET_CHILD_SUBREAPER = 1, 36
CLONE_NEWNS, CLONE_NEWPID = 0x00020000, 0x20000000
MS_REC, MS_PRIVATE = 0x4000, 1 << 18


class Skip(Exception):
    """Raised by a scenario that this machine can't run; its text says why."""


def check(condition, text):
    """assert, but never optimised away, with the facts in the text."""
    if not condition:
        raise AssertionError(text)


def skip_unless(condition, why):
    if not condition:
        raise Skip(why)


# ---- processes ----

def processes():
    """pid -> (parent's pid, state, command) of everything in /proc."""
    found = {}
    for name in os.listdir("/proc"):
        if not name.isdigit():
            continue
        try:
            with open(f"/proc/{name}/stat", encoding="utf-8", errors="replace") as file:
                text = file.read()
        except OSError:
            continue
        left, right = text.index("("), text.rindex(")")
        rest = text[right + 2:].split()
        found[int(name)] = (int(rest[1]), rest[0], text[left + 1:right])
    return found


def environment_of(pid):
    try:
        with open(f"/proc/{pid}/environ", "rb") as file:
            return file.read().split(b"\0")
    except OSError:
        return []


def alive(pid):
    """True while the process runs: a zombie does not."""
    entry = processes().get(pid)
    return entry is not None and entry[1] not in "ZX"


def descendants(root, table):
    below, changed = {root}, True
    while changed:
        changed = False
        for pid, (parent, _, _) in table.items():
            if parent in below and pid not in below:
                below.add(pid)
                changed = True
    below.discard(root)
    return below


class Result:
    """How a command ended: `code` (negative: the signal), `out`, `err`, and `text` of both."""

    def __init__(self, argv, code, out, err):
        self.argv, self.code, self.out, self.err = argv, code, out, err

    @property
    def text(self):
        return self.out + self.err

    def __str__(self):
        return (f"$ {' '.join(self.argv)}\nexit {self.code}\n--- stdout\n{self.out}"
                f"--- stderr\n{self.err}---")


class Running:
    """A command under way (Box.start). `wait()` gives its Result; `pid` is for signals."""

    def __init__(self, argv, popen, out, err):
        self.argv, self.popen, self._out, self._err = argv, popen, out, err
        self.pid = popen.pid

    def poll(self):
        return self.popen.poll()

    def signal(self, number):
        self.popen.send_signal(number)

    def output(self):
        """What it has printed on stdout so far."""
        with open(self._out, encoding="utf-8", errors="replace") as file:
            return file.read()

    def wait(self, deadline=DEADLINE_S):
        try:
            code = self.popen.wait(deadline)
        except subprocess.TimeoutExpired:
            self.popen.kill()
            self.popen.wait()
            raise AssertionError(f"{' '.join(self.argv)} did not end in {deadline} s; so far:\n"
                                 f"{self.output()}\n{open(self._err, errors='replace').read()}")
        with open(self._err, encoding="utf-8", errors="replace") as file:
            return Result(self.argv, code, self.output(), file.read())


# ---- the box ----

class Box:
    """A private folder with a corpus, prompts, a study file and what ran there.

    folder   where everything is          file     the study file
    env      environment of commands      results  NAME.spica, the study's folder
    """

    def __init__(self, name):
        self.folder = os.path.realpath(tempfile.mkdtemp(prefix=f"spica-sc-{name[:40]}-"))
        self.mark = f"{MARK}={uuid.uuid4().hex}"
        self.name = "sc"
        self.file = os.path.join(self.folder, "study.yaml")
        self.results = os.path.join(self.folder, self.name + ".spica")
        self.runs = []
        self.helpers = []
        self.cleanups = []
        self._connection = None
        self.bin = os.path.join(self.folder, "bin")
        for sub in ("bin", "lock", "tmp"):
            os.mkdir(os.path.join(self.folder, sub))
        self.env = {
            "PATH": self.bin + ":" + os.environ.get("PATH", "/usr/bin:/bin"),
            "HOME": self.folder,
            "TMPDIR": os.path.join(self.folder, "tmp"),
            "LC_ALL": "C.UTF-8",
            "TERM": "xterm",
            "SPICA_LOCK_DIR": os.path.join(self.folder, "lock"),
            MARK: self.mark.split("=", 1)[1],
        }
        for name in ("ASAN_OPTIONS", "UBSAN_OPTIONS", "LSAN_OPTIONS"):
            if name in os.environ:
                self.env[name] = os.environ[name]

    # -- files --

    def path(self, *parts):
        return os.path.join(self.folder, *parts)

    def write(self, name, text):
        """Writes text or bytes to a file below the folder; returns its path."""
        path = self.path(name)
        os.makedirs(os.path.dirname(path), exist_ok=True)
        with open(path, "wb") as file:
            file.write(text if isinstance(text, bytes) else text.encode())
        return path

    def clip(self, name, seconds):
        """A quiet 8 kHz tone as a WAV file."""
        path = self.path(name)
        os.makedirs(os.path.dirname(path), exist_ok=True)
        with wave.open(path, "wb") as out:
            out.setnchannels(1)
            out.setsampwidth(2)
            out.setframerate(8000)
            out.writeframes(b"".join(struct.pack("<h", int(900 * math.sin(i / 7)))
                                     for i in range(int(8000 * seconds))))
        return path

    def corpus(self, folder="speech", transcripts=True, clips=4):
        """Short clips with twelve known words each. The manifest is for the fakes as well."""
        texts = ["the quick brown fox jumps over a lazy dog near old barns",
                 "seven small boats sailed along our river until evening came over them",
                 "please write down every word that you can hear right now thanks",
                 "winter brings cold wind and snow upon hills behind the quiet town"]
        lines = []
        for i in range(clips):
            length = 0.3 + 0.1 * i
            path = self.clip(f"{folder}/clip{i}.wav", length)
            entry = {"audio_filepath": os.path.basename(path), "duration": round(length, 3)}
            if transcripts:
                entry["text"] = texts[i % len(texts)]
            lines.append(json.dumps(entry))
        return os.path.dirname(self.write(f"{folder}/manifest.jsonl", "\n".join(lines) + "\n"))

    def prompts(self, name="prompts.jsonl", count=4):
        return self.write(name, "".join(
            json.dumps({"prompt": f"Say something about number {i}.", "max_tokens": 8}) + "\n"
            for i in range(count)))

    # -- services --

    def fake(self, kind, *options, **keys):
        """A `command` service over the fake. Options may hold {knob} placeholders; further keys of the
        service as keyword arguments (knobs={...}, ready={...}, fresh=True)."""
        if kind == "stt" and not os.path.exists(self.path("speech/manifest.jsonl")):
            self.corpus()
        command = [FAKE, "--kind", kind, "--port", "{port}", "--life", "300s"]
        if kind == "stt":
            command += ["--transcripts", self.path("speech/manifest.jsonl")]
        service = {"role": kind if kind in ("stt", "llm") else "other",
                   "command": command + [str(o) for o in options],
                   "protocol": {"stt": "openai-transcriptions", "llm": "openai-chat",
                                "embeddings": "openai-embeddings", "tts": "openai-speech",
                                "kserve": "kserve"}[kind],
                   "ready": {"http": "/health", "within": "20s"}, "stop_grace": "5s"}
        service.update(keys)
        return service

    def disguised(self, engine, *options, **keys):
        """A service with a known engine whose program is the fake in disguise. Options of the fake,
        one text each ("--latency 20ms"), go into a script that it reads."""
        program = os.path.join(self.bin, engine)
        if not os.path.lexists(program):
            os.symlink(FAKE, program)
        stt = engine != "llama-server"
        script = ["--life 300s"] + list(options)
        if stt:
            if not os.path.exists(self.path("speech/manifest.jsonl")):
                self.corpus()
            script.append("--transcripts " + self.path("speech/manifest.jsonl"))
        path = self.write(f"script-{engine}", "\n".join(script) + "\n")
        service = {"engine": engine, "program": program, "model": self.weights(engine),
                   "environment": {"FAKE_SERVICE_SCRIPT": path}, "stop_grace": "5s",
                   "ready": {"within": "20s"}}
        environment = keys.pop("environment", {})
        service.update(keys)
        service["environment"].update(environment)
        return service

    def weights(self, engine):
        """Files that look like the engine's weights: right magic, nothing behind it."""
        if engine == "llama-server":
            return self.write("models/llm.gguf", b"GGUF" + struct.pack("<IQQ", 3, 0, 0) + bytes(64))
        if engine == "whisper-server":
            return self.write("models/ggml-tiny.bin", b"lmgg" + bytes(64))
        for name in ("model.bin", "config.json", "tokenizer.json", "vocabulary.json"):
            self.write("models/ct2-tiny/" + name, b"{}" if name.endswith("json")
                       else struct.pack("<I", 6) + bytes(64))
        return self.path("models/ct2-tiny")

    # -- the study file --

    def study(self, load=None, file=True, **parts):
        """Writes the study file and returns it as a dict. Keyword arguments that are services (dicts
        with command or engine) go under `services`, others are sections of the file, which replace the
        short defaults below: one-second windows, no warm-up, no bound on contention or lateness; no
        baseline. JSON is YAML, so the file is JSON."""
        sections = {k: v for k, v in parts.items()
                    if not (isinstance(v, dict) and {"command", "engine", "container"} & set(v))}
        services = {k: v for k, v in parts.items() if k not in sections}
        study = {"study": self.name, "device": "cpu", "services": services}
        study["load"] = {}
        for name, service in services.items():
            stt = service.get("role", "") == "stt" or "whisper" in service.get("engine", "")
            study["load"][name] = ({"corpus": "speech"} if stt else {"prompts": "prompts.jsonl"})
            study["load"][name].update({"concurrency": 1, "timeout": "10s"})
            if not stt:
                self.prompts()
                study["load"][name]["max_tokens"] = 8
        for name, keys in (load or {}).items():
            study["load"].setdefault(name, {}).update(keys)
        study["measure"] = dict(QUIET, **sections.pop("measure", {}))
        study["goal"] = sections.pop("goal", None) or {
            "optimise": {f"{name}.latency.p50": {"good": "1ms", "bad": "10s"} for name in services}}
        study["search"] = dict({"strategy": "grid", "finalists": 1}, **sections.pop("search", {}))
        study["seed"] = sections.pop("seed", 1)
        if any(service.get("knobs") for service in services.values()):
            study["baseline"] = "none"
        study.update(sections)
        self.name = study["study"]
        self.results = self.path(self.name + ".spica")
        if file:
            self.write("study.yaml", json.dumps(study, indent=1) + "\n")
        return study

    # -- commands --

    def start(self, *args, env=None, prefix=(), cwd=None, stdin=subprocess.DEVNULL):
        """Starts `spica ARGS`; returns a Running. `prefix` is a command to run it under."""
        argv = list(prefix) + [SPICA] + [str(a) for a in args]
        n = len(self.runs)
        out, err = self.path(f"tmp/out-{n}"), self.path(f"tmp/err-{n}")
        with open(out, "wb") as out_file, open(err, "wb") as err_file:
            popen = subprocess.Popen(argv, stdin=stdin, stdout=out_file, stderr=err_file,
                                     env=dict(self.env, **(env or {})), cwd=cwd or self.folder)
        running = Running(argv, popen, out, err)
        self.runs.append(running)
        return running

    def run(self, *args, code=None, deadline=DEADLINE_S, lines=None, **more):
        """Runs `spica ARGS` to its end. `code`: the status that it must exit with; `lines`: how many
        lines stderr must have (by default one for a failure, none for a success)."""
        result = self.start(*args, **more).wait(deadline)
        self.runs[-1].result = result
        if code is not None:
            check(result.code == code, f"exit status {result.code}, not {code}\n{result}")
            wanted = (0 if code in (0, 3) else 1) if lines is None else lines
            count = len(result.err.splitlines())
            check(lines == -1 or count == wanted, f"{count} lines on stderr, not {wanted}\n{result}")
        return result

    def helper(self, *argv):
        """Starts another program beside spica (a neighbour, a burner); ended with the box."""
        popen = subprocess.Popen([str(a) for a in argv], env=self.env, cwd=self.folder,
                                 stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL,
                                 stderr=subprocess.DEVNULL)
        self.helpers.append(popen)
        return popen

    def burner(self, threads=2):
        """A program that uses all of that many cores."""
        return self.helper(FAKE, "--port", "0", "--spin", threads, "--life", "300s")

    def terminal(self, *args, columns=100, rows=30, deadline=DEADLINE_S, env=None, on_output=None):
        """Runs `spica ARGS` on a terminal of its own; returns (exit status, all that it printed).
        on_output(text so far, pid) is called after each piece."""
        pid, fd = pty.fork()
        if pid == 0:
            os.chdir(self.folder)
            os.execve(SPICA, [SPICA] + [str(a) for a in args], dict(self.env, **(env or {})))
        import fcntl
        import termios
        fcntl.ioctl(fd, termios.TIOCSWINSZ, struct.pack("HHHH", rows, columns, 0, 0))
        text, end = b"", time.monotonic() + deadline
        while True:
            ready, _, _ = select.select([fd], [], [], 0.5)
            if ready:
                try:
                    piece = os.read(fd, 65536)
                except OSError:
                    break
                if not piece:
                    break
                text += piece
                if on_output:
                    on_output(text.decode(errors="replace"), pid)
            if time.monotonic() > end:
                os.kill(pid, signal.SIGKILL)
                os.waitpid(pid, 0)
                raise AssertionError(f"did not end in {deadline} s:\n{text.decode(errors='replace')}")
        os.close(fd)
        _, status = os.waitpid(pid, 0)
        return os.waitstatus_to_exitcode(status), text.decode(errors="replace")

    # -- results --

    def db(self):
        """The study's database, for reading."""
        if self._connection is None:
            path = os.path.join(self.results, "study.db")
            check(os.path.exists(path), f"{path} does not exist\n{self.story()}")
            self._connection = sqlite3.connect(f"file:{path}?mode=ro", uri=True)
            self._connection.row_factory = sqlite3.Row
            self._connection.text_factory = lambda data: data.decode(errors="replace")
        return self._connection

    def close_db(self):
        """Before another study of the same box is looked at."""
        if self._connection is not None:
            self._connection.close()
        self._connection = None

    def rows(self, sql, *values):
        """Rows of a query as dicts."""
        return [dict(row) for row in self.db().execute(sql, values)]

    def trials(self):
        """The stored trials in order, with candidate, purpose, verdict, service, summary, ..."""
        return self.rows("SELECT * FROM trials ORDER BY number")

    def evidence(self, trial):
        return self.rows("SELECT s.body AS service, k.body AS kind, e.body AS body FROM evidence e "
                         "LEFT JOIN text s ON s.id = e.service LEFT JOIN text k ON k.id = e.kind "
                         "WHERE trial = ? ORDER BY position", trial)

    def services(self, trial):
        """Rows of the trial's services by name, with texts in place of ids."""
        rows = self.rows(
            "SELECT n.body AS name, v.body AS version, e.body AS engine, command, started_in_trial,"
            " ready_s, first_request_s, exit_code, signal, peak_memory_bytes, cpu_s,"
            " en.body AS environment, st.body AS settings, p.body AS placement,"
            " (SELECT body FROM log l WHERE l.trial = s.trial AND l.service = s.name) AS log"
            " FROM service s JOIN text n ON n.id = s.name LEFT JOIN text v ON v.id = s.version"
            " LEFT JOIN text e ON e.id = s.engine LEFT JOIN text en ON en.id = s.environment"
            " LEFT JOIN text st ON st.id = s.settings LEFT JOIN text p ON p.id = s.placement"
            " WHERE trial = ?", trial)
        return {row["name"]: row for row in rows}

    def metric(self, trial, service, metric, stat="", mode="shared"):
        """A stored value, None where there is none."""
        rows = self.rows("SELECT value FROM metrics WHERE trial = ? AND service = ? AND metric = ? "
                         "AND stat = ? AND mode = ?", trial, service, metric, stat, mode)
        return rows[0]["value"] if rows else None

    def requests(self, trial, service, mode="shared"):
        return self.rows("SELECT * FROM requests WHERE trial = ? AND service = ? AND mode = ? "
                         "ORDER BY part, sequence", trial, service, mode)

    def decision(self):
        """The last stored decision as a dict, None before there is one."""
        rows = self.rows("SELECT body FROM decision ORDER BY id DESC LIMIT 1")
        return json.loads(rows[0]["body"]) if rows else None

    def json(self, name):
        """winner.json or report.json as a dict."""
        with open(os.path.join(self.results, name), encoding="utf-8") as file:
            return json.load(file)

    def expect(self, number, verdict, service=None, says=None, evidence=None, never=None):
        """Trial `number` has that verdict (about that service). `says`: part of its summary;
        `evidence`: part of an evidence's text; `never`: in neither of them. Any of the three may be a
        regular expression. A verdict without fitness must have none, one with must have one."""
        found = [t for t in self.trials() if t["number"] == number]
        check(found, f"no trial {number}\n{self.story()}")
        trial = found[0]
        proof = self.evidence(number)
        facts = f"{trial}\nevidence: {proof}\n{self.story()}"
        wanted = (verdict,) if isinstance(verdict, str) else verdict
        check(trial["verdict"] in wanted, f"verdict {trial['verdict']}, not {verdict}\n{facts}")
        check(service is None or trial["service"] == service, f"not about {service}\n{facts}")
        check(says is None or re.search(says, trial["summary"] or ""), f"no {says!r}\n{facts}")
        texts = "\n".join(p["body"] or "" for p in proof)
        check(evidence is None or re.search(evidence, texts), f"no evidence {evidence!r}\n{facts}")
        check(never is None or not re.search(never, (trial["summary"] or "") + texts),
              f"says {never!r}\n{facts}")
        carries = trial["verdict"] in ("ok", "slow")
        check((trial["fitness"] is not None) == carries, f"fitness {trial['fitness']}\n{facts}")
        return trial

    def verdicts(self):
        return [t["verdict"] for t in self.trials()]

    def story(self):
        """What ran here, for a failure's text."""
        parts = []
        for running in self.runs:
            result = getattr(running, "result", None)
            parts.append(str(result) if result else f"$ {' '.join(running.argv)}\n{running.output()}")
        return "\n".join(parts)

    # -- the end --

    def leftovers(self):
        """Live processes that belong to this box, helpers and running commands apart."""
        table = processes()
        own = {h.pid for h in self.helpers if h.poll() is None}
        own |= {r.pid for r in self.runs if r.poll() is None}
        spared = set(own)
        for pid in own:
            spared |= descendants(pid, table)
        below = descendants(os.getpid(), table)
        mark = self.mark.encode()
        left = {}
        for pid, (_, state, command) in table.items():
            if pid == os.getpid() or pid in spared or state in "ZX":
                continue
            if pid in below or mark in environment_of(pid):
                left[pid] = command
        return left

    def expect_clean(self, within=CLEAN_WITHIN_S):
        """Nothing that this box started is alive, at the latest `within` seconds from now."""
        end = time.monotonic() + within
        while True:
            left = self.leftovers()
            if not left:
                return
            if time.monotonic() > end:
                raise AssertionError(f"left alive: {left}\n{self.story()}")
            time.sleep(0.05)

    def close(self, keep):
        """Ends helpers and everything left, removes the folder. Returns what was left alive."""
        for running in self.runs:
            if running.poll() is None:
                running.popen.kill()
                running.popen.wait()
        for helper in self.helpers:
            helper.kill()
            helper.wait()
        left = {}
        end = time.monotonic() + CLEAN_WITHIN_S
        while time.monotonic() < end:
            left = self.leftovers()
            if not left:
                break
            time.sleep(0.05)
        for pid in left:
            try:
                os.kill(pid, signal.SIGKILL)
            except ProcessLookupError:
                pass
        self.close_db()
        for cleanup in reversed(self.cleanups):
            cleanup()
        if not keep:
            shutil.rmtree(self.folder, ignore_errors=True)
        return left


# Quick windows; nothing that the machine's other users do counts, unless a scenario says so.
QUIET = {"warmup": "0s", "window": "1s", "alone": "0s", "drain": "5s", "probe_within": "5s",
         "contention": "100%", "lateness": "10s", "repeats": 3}


# ---- running scenarios ----

SCENARIOS = {}


def scenario(quick=False, alone=False, long=False):
    """Registers a scenario. quick: part of the short suite. alone: nothing else runs beside it, for
    those that look at how busy the machine is. long: begins before the others of its file, as it would
    end after all of them."""
    def register(function):
        function.quick, function.alone, function.long = quick, alone, long
        SCENARIOS.setdefault(function.__module__, {})[function.__name__] = function
        return function
    return register


def become_subreaper():
    """Whatever escapes from a process of ours becomes our child."""
    ctypes.CDLL(None).prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)


def end_tree(root):
    """Kills a process and all below it."""
    for pid in descendants(root, processes()) | {root}:
        try:
            os.kill(pid, signal.SIGKILL)
        except ProcessLookupError:
            pass


def isolate():
    """Into a process-id and mount namespace of its own, where that is allowed: scenarios (and whatever
    else runs on the machine) do not see each other's processes, as spica looks at all that it sees.
    The caller goes on as the namespace's first process; its parent hands on how it ended."""
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.unshare(CLONE_NEWPID | CLONE_NEWNS) != 0:
        return
    pid = os.fork()
    if pid:
        _, status = os.waitpid(pid, 0)
        os._exit(max(0, os.waitstatus_to_exitcode(status)) if os.WIFEXITED(status) else 1)
    libc.prctl(PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
    libc.mount(b"none", b"/", None, MS_REC | MS_PRIVATE, None)
    if libc.mount(b"proc", b"/proc", b"proc", 0, None) != 0:
        print("no /proc of our own:", os.strerror(ctypes.get_errno()))
        os._exit(1)


def _child(function, keep):
    """In the scenario's own process: 0 passed, 1 failed, 77 skipped."""
    become_subreaper()
    box = Box(function.__name__)
    code = 0
    try:
        function(box)
        box.expect_clean()
    except Skip as reason:
        print(f"skipped: {reason}")
        code = 77
    except BaseException:  # whatever it was, the box must be closed and the parent told
        traceback.print_exc(file=sys.stdout)
        code = 1
    left = box.close(keep or (code == 1 and os.environ.get("SPICA_TEST_KEEP")))
    if left and code != 1:
        print(f"left alive: {left}")
        code = 1
    if keep:
        print("kept:", box.folder)
    return code


class _Job:
    def __init__(self, name, function, keep, slot=None):
        self.name, self.slot = name, slot
        self.log = tempfile.TemporaryFile()
        self.end = time.monotonic() + SCENARIO_S
        self.began = time.monotonic()
        sys.stdout.flush()
        self.pid = os.fork()
        if self.pid == 0:
            os.dup2(self.log.fileno(), 1)
            os.dup2(self.log.fileno(), 2)
            code = 1
            try:
                isolate()
                code = _child(function, keep)
                sys.stdout.flush()
            finally:
                os._exit(code)

    def poll(self):
        if time.monotonic() > self.end:
            end_tree(self.pid)
            os.waitpid(self.pid, 0)
            return -1
        pid, status = os.waitpid(self.pid, os.WNOHANG)
        if pid == 0:
            return None
        return os.waitstatus_to_exitcode(status)

    def text(self):
        self.log.seek(0)
        return self.log.read().decode(errors="replace")


def _report(word, job, code):
    """One line, and what the scenario printed unless it passed. "FAILED name: reason" lines are
    what tools/run-tests repeats at its end."""
    print(f"{word:8} {job.name} ({time.monotonic() - job.began:.1f} s)", flush=True)
    if word == "passed":
        return
    text = job.text()
    limit = 2000 if word == "skipped" else 20000
    print("    " + text[-limit:].rstrip().replace("\n", "\n    "), flush=True)
    if code == -1:
        print(f"    did not end in {SCENARIO_S} s", flush=True)
    if word == "failed":
        errors = [line for line in text.split("\n") if "Error" in line] or ["no exception"]
        print(f"FAILED {job.name}: {errors[-1][:300]}", flush=True)


def _lock_file(name):
    """A file that the runners of several test files lock; its descriptor."""
    path = os.path.join(tempfile.gettempdir(), f"spica-scenarios-{os.getuid()}.{name}")
    return os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)


def _try_lock(fd, how):
    try:
        fcntl.flock(fd, how | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


class _Slots:
    """How many scenarios of all files run at a time: each holds one of so many locks. With none, only
    the file's own number holds."""

    def __init__(self, count):
        self.free = [_lock_file(f"slot-{number}") for number in range(count)]
        self.limited = count > 0

    def take(self):
        """A slot to give back; None: there is none now. Without a limit always the same."""
        if not self.limited:
            return -1
        for fd in self.free:
            if _try_lock(fd, fcntl.LOCK_EX):
                self.free.remove(fd)
                return fd
        return None

    def give_back(self, fd):
        if self.limited:
            fcntl.flock(fd, fcntl.LOCK_UN)  # by word: the scenario's processes have inherited it
            self.free.append(fd)


class _Place:
    """What the runners of several test files share: any number may have scenarios running, or one of
    them a scenario that wants to be alone. While one waits for that, nothing new begins."""

    def __init__(self):
        self.fd, self.gate = _lock_file("lock"), _lock_file("gate")
        self.held = None
        self.waits = False

    def take(self, alone):
        """False: not now."""
        how = fcntl.LOCK_EX if alone else fcntl.LOCK_SH
        if not self.waits:
            if not _try_lock(self.gate, how):
                return False
            self.waits = alone
            if not alone:
                fcntl.flock(self.gate, fcntl.LOCK_UN)
        if how == self.held:
            return True
        # What was held is lost where another kind can't be had.
        self.held = how if _try_lock(self.fd, how) else None
        return self.held is not None

    def leave(self):
        if self.held == fcntl.LOCK_EX:
            fcntl.flock(self.gate, fcntl.LOCK_UN)
            self.waits = False
        fcntl.flock(self.fd, fcntl.LOCK_UN)
        self.held = None


def _run_all(chosen, jobs, keep):
    """Several at a time. One that fails beside others is run once more with nothing beside it: the
    machine is small, and what only fails in a crowd of our own making is told apart ("unsteady")
    from what fails. Both failures are printed."""
    # Who wants to be alone comes last: while it waits for its turn, nothing else of the file begins.
    waiting = sorted(chosen.items(), key=lambda item: (item[1].alone, not item[1].long))
    running, place, slots = [], _Place(), _Slots(int(os.environ.get("SCENARIO_SLOTS", 0)))
    counts = {"passed": 0, "failed": 0, "unsteady": 0, "skipped": 0}
    again = []
    while waiting or running:
        exclusive = any(chosen[j.name].alone for j in running)
        while waiting and not exclusive and len(running) < jobs:
            name, function = waiting[0]
            if (function.alone and running) or not place.take(function.alone):
                break
            slot = slots.take()
            if slot is None:
                break
            running.append(_Job(name, function, keep, slot))
            waiting.pop(0)
            exclusive = function.alone
        for job in list(running):
            code = job.poll()
            if code is None:
                continue
            running.remove(job)
            slots.give_back(job.slot)
            word = {0: "passed", 77: "skipped"}.get(code, "failed")
            _report(word, job, code)
            if word == "failed" and jobs > 1 and len(again) < 3:
                again.append(job.name)
            else:
                counts[word] += 1
        if not running:
            place.leave()
        time.sleep(0.02)
    for name in again:
        while not place.take(True):
            time.sleep(0.1)
        job = _Job(name, chosen[name], keep)
        code = None
        while code is None:
            time.sleep(0.02)
            code = job.poll()
        word = "failed" if code else "unsteady"
        counts[word] += 1
        _report(word, job, code)
    print(", ".join(f"{count} {word}" for word, count in counts.items()))
    return 1 if counts["failed"] else 0


def answer(box, text, *args, ahead=b""):
    """`spica ARGS` on a terminal where somebody answers its question; (status, what it printed).
    `ahead` is typed before it is asked."""
    ours, its = pty.openpty()
    popen = subprocess.Popen([SPICA, *args], stdin=its, stdout=its, stderr=its, env=box.env,
                             cwd=box.folder, start_new_session=True)
    os.close(its)
    printed, answered = b"", False
    os.write(ours, ahead)
    while True:
        try:
            piece = os.read(ours, 65536)
        except OSError:
            break
        if not piece:
            break
        printed += piece
        if b"[y/N]" in printed and not answered:
            os.write(ours, text)
            answered = True
    os.close(ours)
    return popen.wait(120), printed.decode(errors="replace")


def main(module):
    """Runs the scenarios of a test file as its command line says; exits."""
    args = sys.argv[1:]
    every = SCENARIOS.get(module, {})
    # Most of the time is waiting; with sanitizers it is not.
    jobs = int(os.environ.get("SCENARIO_JOBS", 2 * (os.cpu_count() or 2)))
    names, which, keep = [], None, False
    while args:
        arg = args.pop(0)
        if arg == "--list":
            for name, function in every.items():
                print(f"{'quick' if function.quick else '     '} {name}")
            sys.exit(0)
        elif arg in ("--quick", "--alone", "--rest"):
            which = arg[2:]
        elif arg == "--jobs":
            jobs = int(args.pop(0))
        elif arg == "--keep":
            keep = True
        elif arg.startswith("-"):
            sys.exit(f"no option {arg}")
        else:
            names.append(arg)
    for program in (SPICA, FAKE):
        if not os.access(program, os.X_OK):
            sys.exit(f"{program} is not there: build first, or set SPICA and FAKE_SERVICE")
    chosen = {name: function for name, function in every.items()
              if which in (None, "quick" if function.quick else "alone" if function.alone else "rest")
              and (not names or any(part in name for part in names))}
    if not chosen and names:
        sys.exit("no such scenario")
    sys.exit(_run_all(chosen, jobs, keep))
