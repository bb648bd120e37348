"""Killed at any moment, it resumes to the same answer; asked to stop, it stops; nothing is left.

The fakes answer after constant latencies far apart, so that the order of trials and the outcome are
certain. Their children leave sessions, daemonise and are deaf to TERM. Phases are found by what
anybody can see: the live lines on a terminal, the processes, the services' own account of a TERM.
"""

import json
import os
import pty
import random
import re
import shutil
import signal
import sqlite3
import subprocess
import time

from harness import (DEADLINE_S, FAKE, SPICA, check, environment_of, main, processes, scenario,
                     skip_unless)

PHASES = {"starting": "start", "probing": "probe", "warming up": "warmup", "measuring": "measure",
          "waiting for answers": "drain", "measuring alone": "alone"}
PHASE_WORDS = re.compile("|".join(sorted(PHASES, key=len, reverse=True)))
KILLS = 200          # of random instants, over all such scenarios
SLICES = 4
# Trials that went well but lack their services, or requests that their metrics were made from.
HALF_STORED = """
    SELECT number FROM trials t WHERE verdict = 'ok' AND (
        NOT EXISTS (SELECT 1 FROM phase WHERE trial = number)
        OR NOT EXISTS (SELECT 1 FROM service WHERE trial = number)
        OR NOT EXISTS (SELECT 1 FROM metrics WHERE trial = number AND metric = 'errors')
        OR EXISTS (SELECT 1 FROM metrics m WHERE m.trial = number AND metric = 'errors'
            AND count <> (SELECT count(*) FROM requests r WHERE r.trial = number AND r.mode = m.mode
            AND r.service = m.service AND r.intended_ns >= 0)))"""
NASTY = ("--fork-setsid", "--double-fork")


# ---- what is stored ----

def database(box):
    return os.path.join(box.results, "study.db")


def connect(box):
    """A reader. A kill in the first instants leaves a journal that only a writer may roll back: then
    a copy is read, so that what spica itself finds stays as it is."""
    connection = sqlite3.connect(f"file:{database(box)}?mode=ro", uri=True, timeout=20)
    try:
        connection.execute("SELECT count(*) FROM sqlite_schema").fetchall()
        return connection
    except sqlite3.OperationalError as error:
        connection.close()
        if "readonly" not in str(error):
            raise
    copy = os.path.join(box.folder, "tmp", "copy.db")
    for end in ("", "-journal", "-wal"):
        if os.path.exists(database(box) + end):
            shutil.copyfile(database(box) + end, copy + end)
        elif os.path.exists(copy + end):
            os.unlink(copy + end)
    return sqlite3.connect(copy, timeout=20)


def snapshot(box):
    """Every row of every table, and a sound file. Nothing stored yet: {}."""
    if not os.path.exists(database(box)):
        return {}
    connection = connect(box)
    try:
        sound = connection.execute("PRAGMA integrity_check").fetchall()
        check(sound == [("ok",)], f"integrity_check: {sound}\n{box.story()}")
        tables = "SELECT name FROM sqlite_schema WHERE type = 'table'"
        names = [name for name, in connection.execute(tables)]
        return {n: set(connection.execute(f"SELECT * FROM {n}")) for n in names}
    finally:
        connection.close()


def expect_kept(box, before):
    """What was stored stands there byte for byte, and trials are numbered without gaps."""
    after = snapshot(box)
    for table, rows in before.items():
        lost = rows - after.get(table, set())
        check(not lost, f"{table}: {len(lost)} rows changed or gone: {next(iter(lost), None)}")
    numbers = sorted(row[0] for row in after.get("trial", ()))
    check(numbers == list(range(1, len(numbers) + 1)), f"trials {numbers}\n{box.story()}")
    if numbers:
        half = query(box, HALF_STORED)
        check(not half, f"trials of which only a part is stored: {half}")
    return after


def query(box, sql):
    connection = connect(box)
    try:
        return connection.execute(sql).fetchall()
    finally:
        connection.close()


def stored(box):
    """The number of stored trials, 0 before there is a database."""
    try:
        return query(box, "SELECT count(*) FROM trial")[0][0]
    except sqlite3.OperationalError:
        return 0


def order(box):
    """Which candidates were tried in which order; spoiled tries (instrument) left out."""
    return [row[:4] for row in query(
        box, "SELECT purpose, round, repeat, candidate, verdict FROM trials ORDER BY number")
        if row[4] != "instrument"]


def conclusion(box):
    """What the study came to, as far as it does not depend on the clock."""
    decisions = [json.loads(body) for body, in query(box, "SELECT body FROM decision ORDER BY id")]
    check(decisions, f"no decision\n{box.story()}")
    winner = decisions[-1]["winner"]
    with open(os.path.join(box.results, "winner.json"), encoding="utf-8") as file:
        parameters = json.load(file)["best_params"]
    return decisions[-1]["outcome"], winner, parameters


def expect_same(box, reference):
    wanted, found = reference, (order(box), conclusion(box))
    check(found == wanted, f"{found}\nand not\n{wanted}\n{box.story()}")


def reference_of(box):
    """The undisturbed run's order and outcome; its results are moved aside."""
    box.run("run", box.file, code=0)
    reference = order(box), conclusion(box)
    os.rename(box.results, box.results + ".undisturbed")
    return reference


# ---- processes ----

def children(pid, command=None):
    return [p for p, (parent, state, name) in processes().items()
            if parent == pid and state not in "ZX" and command in (None, name)]


def worker_of(spica):
    return children(spica, "spica-load")


def guards_of(spica):
    return children(spica, "spica-guard")


def keepers_of(spica):
    """A keeper's parent is its guard, or spica where that was killed."""
    return children(spica, "spica-keeper") + [keeper for guard in guards_of(spica)
                                              for keeper in children(guard, "spica-keeper")]


def servers_of(spica):
    """The services' main processes, by name of the service."""
    found = {}
    for keeper in keepers_of(spica):
        for pid in children(keeper):
            for entry in environment_of(pid):
                if entry.startswith(b"SPICA_SERVICE=") and os.getsid(pid) == pid:
                    found[entry.decode().rpartition("/")[2]] = pid
    return found


def slay(pids, number=signal.SIGKILL):
    for pid in pids:
        try:
            os.kill(pid, number)
        except ProcessLookupError:
            pass


def victims(spica, whom):
    """whom: spica, worker, keeper, guard, or several of them joined by +."""
    found = []
    for name in whom.split("+"):
        found += {"spica": lambda: [spica], "worker": lambda: worker_of(spica),
                  "keeper": lambda: keepers_of(spica), "guard": lambda: guards_of(spica)}[name]()
    return found


def killing(whom, most=None):
    """For Terminal: kills whom, or the first of them; not yet where the phase is shown and they are not
    there."""
    def act(pid):
        found = victims(pid, whom)[:most]
        slay(found)
        return bool(found)
    return act


# ---- studies ----

def watched(box, service):
    """Runs the service under a shell that writes a line when it is told TERM; returns that file."""
    told = box.path("tmp/told-term")
    script = box.write("watched.sh", f"trap 'echo TERM >> {told}' TERM\n\"$@\" &\nwait\nwait\n")
    service["command"] = ["/bin/sh", script] + service["command"]
    return told


def times_told(told):
    if not os.path.exists(told):
        return 0
    with open(told, encoding="utf-8") as file:
        return len(file.readlines())


def long_study(box):
    """Two services, every phase long enough to be met, five trials. Returns the file which tells of
    TERMs: each trial's end is one at least, held up by a deaf server for 300 ms."""
    llm = box.fake("llm", "--latency", "{latency}", "--start-delay", "200ms", "--ignore-term",
                   *NASTY, stop_grace="300ms", knobs={"latency": ["40ms", "300ms"]})
    told = watched(box, llm)
    box.study(stt=box.fake("stt", "--latency", "250ms", "--start-delay", "200ms", *NASTY,
                           stop_grace="200ms"), llm=llm,
              measure={"warmup": "400ms", "window": "1s", "alone": "1s"},
              search={"strategy": "random"})
    return told


def short_study(box):
    """One service, trials of little more than a second."""
    llm = box.fake("llm", "--latency", "{latency}", *NASTY, "--ignore-term", stop_grace="100ms",
                   knobs={"latency": ["4ms", "60ms", "600ms"]})
    box.study(llm=llm, search={"strategy": "random"})


class Terminal:
    """`spica run` on a terminal; `act(pid)` is called when the trial's phase is `phase` and at least
    `after` trials are stored, until it returns something else than False: what the terminal shows may
    be over when it is read, and another trial comes."""

    def __init__(self, box, phase, act, after=0, told=None):
        self.box, self.phase, self.act, self.after, self.told = box, phase, act, after, told
        self.done = False
        self.told_before = times_told(told) if told else 0

    def __call__(self, text, pid):
        if self.done:
            return
        found = PHASE_WORDS.findall(text)
        here = found and PHASES[found[-1]] == self.phase
        if here and (self.after == 0 or stored(self.box) >= self.after):
            self.done = self.act(pid) is not False

    def run(self, *args):
        self.code, self.text = self.box.terminal("run", *(args or (self.box.file,)), on_output=self)
        check(self.done, f"no phase {self.phase}: {self.text}")
        return self.code


def run_to_stop(box, told, act):
    """As Terminal for the phase "stop", which is known by the TERM that the service was told."""
    before = times_told(told)
    running = box.start("run", box.file)
    while times_told(told) == before:
        check(running.poll() is None, f"ended before a service was told to: {box.story()}")
        time.sleep(0.01)
    act(running.pid)
    return running.wait().code


def kill_in(box, phase, whom, told, after=0):
    """One run that is killed in the phase, and what must hold after it."""
    before = snapshot(box)
    known = []

    def act(pid):
        found = victims(pid, whom)
        if len(found) <= whom.count("+"):
            check(phase != "stop", f"{phase}: {whom} not found, only {found}")
            return False
        known.append(stored(box))
        slay(found)
        return True

    if phase == "stop":
        code = run_to_stop(box, told, act)
    else:
        code = Terminal(box, phase, act, after).run()
    check(code == -signal.SIGKILL, f"{phase}: exit status {code}")
    box.expect_clean()
    after = expect_kept(box, before)
    check(len(after.get("trial", ())) == known[0] or phase == "stop",
          "a trial that was killed has been stored")
    return after


def resume_to_the_end(box, reference):
    before = snapshot(box)
    box.run("run", box.file, code=0)
    box.expect_clean()
    expect_kept(box, before)
    expect_same(box, reference)


# ---- kill -9 in every phase ----

def every_phase(box, whom, phases):
    told = long_study(box)
    reference = reference_of(box)
    for phase in phases:
        # Only trials of the final, which come after two others, look at each service alone.
        kill_in(box, phase, whom, told, 2 if phase == "alone" else 0)
    resume_to_the_end(box, reference)


@scenario(quick=True)
def spica_killed_in_every_phase(box):
    every_phase(box, "spica", ["start", "probe", "warmup", "measure", "drain", "stop", "alone"])


@scenario()
def spica_and_worker_killed_in_every_phase(box):
    every_phase(box, "spica+worker", ["probe", "warmup", "measure", "drain", "alone"])


@scenario()
def spica_and_keepers_killed_in_every_phase(box):
    every_phase(box, "spica+keeper",
                ["start", "probe", "warmup", "measure", "drain", "stop", "alone"])


@scenario()
def spica_and_guards_killed_in_every_phase(box):
    every_phase(box, "guard+spica", ["start", "measure", "stop"])


@scenario()
def all_but_the_guards_killed_in_a_window(box):
    every_phase(box, "keeper+worker+spica", ["measure", "alone"])


# ---- the load worker, a keeper, a service, each alone ----

@scenario(quick=True)
def a_killed_worker_is_an_instrument_that_failed(box):
    # In the window: no number of it may count; the trial is tried again under the same request.
    long_study(box)
    terminal = Terminal(box, "measure", killing("worker"))
    check(terminal.run() == 0, terminal.text)
    spoiled = box.expect(1, "instrument", says="load worker was killed by signal 9")
    again = box.expect(2, "ok")
    check(again["retry_of"] == 1 and again["candidate"] == spoiled["candidate"], again)
    check(not box.rows("SELECT * FROM metric WHERE trial = 1"), "numbers of half a window")
    check(box.verdicts()[1:] == ["ok"] * 5, box.verdicts())


@scenario(long=True)
def a_worker_killed_in_other_phases(box):
    told = long_study(box)
    reference = reference_of(box)
    for number, phase in enumerate(("probe", "warmup", "drain"), 1):
        # Stopped after the spoiled trial, so that each phase spoils another one.
        seen = {"n": 0}

        def hook(text, pid, terminal=Terminal(box, phase, killing("worker"))):
            terminal(text, pid)
            if terminal.done and stored(box) >= 2 * number - 1 and not seen["n"]:
                seen["n"] = 1
                os.kill(pid, signal.SIGINT)
        code, text = box.terminal("run", box.file, on_output=hook)
        check(code == 5, f"{phase}: exit status {code}\n{text}")
        trial = box.expect(2 * number - 1, "instrument", says="load worker was killed")
        check(not box.rows("SELECT * FROM metric WHERE trial = ?", trial["number"]), "half numbers")
        # One undisturbed trial, then on to the next phase.
        if number < 3:
            one_more(box)
            box.expect(2 * number, "ok")
    check(times_told(told) > 0, "no TERM was told")
    box.run("run", box.file, code=0)
    expect_same(box, reference)


def one_more(box):
    """Runs until one more trial is stored, then stops."""
    had = stored(box)
    running = box.start("run", box.file)
    while stored(box) == had:
        check(running.poll() is None, box.story())
        time.sleep(0.02)
    running.signal(signal.SIGINT)
    code = running.wait().code
    check(code == 5, f"exit status {code}\n{box.story()}")


@scenario()
def a_worker_killed_while_a_service_is_loaded_alone(box):
    long_study(box)
    terminal = Terminal(box, "alone", killing("worker"))
    check(terminal.run() == 0, terminal.text)
    spoiled = box.expect(3, "instrument", says="load worker was killed")
    check(spoiled["purpose"] == "final" and box.trials()[3]["retry_of"] == 3, box.trials()[3])


@scenario(quick=True)
def a_killed_keeper_says_nothing_about_its_service(box):
    # Its server dies with it by our doing, its children are caught: not a crash of the candidate's.
    long_study(box)
    terminal = Terminal(box, "measure", killing("keeper"))
    check(terminal.run() == 0, terminal.text)
    box.expect(1, "instrument", says="keeper")
    check(box.verdicts()[1:] == ["ok"] * 5, box.verdicts())


@scenario(long=True)
def a_keeper_killed_in_other_phases(box):
    told = long_study(box)
    del told
    for phase in ("start", "probe", "drain"):
        terminal = Terminal(box, phase, killing("keeper", 1))
        check(terminal.run() == 0, terminal.text)
        box.expect(1, "instrument", says="keeper")
        check(box.verdicts()[1:] == ["ok"] * 5, box.verdicts())
        box.db().close()
        box._connection = None
        os.rename(box.results, f"{box.results}.{phase}")


@scenario()
def a_killed_guard_is_not_missed(box):
    long_study(box)
    terminal = Terminal(box, "measure", killing("guard"))
    check(terminal.run() == 0, terminal.text)
    check(box.verdicts() == ["ok"] * 5, box.verdicts())
    memory = box.metric(1, "llm", "memory")
    check(memory, f"memory {memory}")


@scenario()
def a_killed_service_is_data(box):
    # Somebody kills the server, not us: that is how it ended, with the proof; the study goes on.
    long_study(box)
    terminal = Terminal(box, "measure", lambda pid: slay([servers_of(pid)["stt"]]))
    check(terminal.run() == 0, terminal.text)
    box.expect(1, "crashed_load", service="stt", evidence="SIGKILL")
    check(set(box.verdicts()[1:]) == {"ok"}, box.verdicts())


@scenario(long=True)
def a_service_killed_as_spica_is(box):
    told = long_study(box)
    reference = reference_of(box)
    for phase in ("start", "measure"):
        def act(pid):
            slay(list(servers_of(pid).values()) + [pid])
        check(Terminal(box, phase, act).run() == -signal.SIGKILL, phase)
        box.expect_clean()
    check(stored(box) == 0, "a trial that was killed has been stored")
    del told
    resume_to_the_end(box, reference)


@scenario()
def a_redone_trial_finds_nothing_of_the_killed_one(box):
    # The service refuses to start where a lock file of another stands, as databases do.
    script = box.write("lock.sh", 'set -e\nset -C\necho $$ > "$1/lock"\nshift\nexec "$@"\n')
    llm = box.fake("llm", "--latency", "20ms")
    llm["command"] = ["/bin/sh", script, "{dir}"] + llm["command"]
    box.study(llm=llm, measure={"window": "4s"})
    running = in_a_window(box)
    slay([running.pid])
    running.wait()
    box.expect_clean()
    check(os.path.exists(os.path.join(box.results, "scratch/llm/lock")), os.listdir(box.results))
    finish(box)


# ---- asked to stop ----

def in_a_window(box, *args, prefix=()):
    """A run whose load worker is at work: a probe is over by then, a window is not."""
    running = box.start("run", *(args or (box.file,)), prefix=prefix)
    while True:
        check(running.poll() is None, f"ended early\n{box.story()}")
        found = worker_of(running.pid)
        time.sleep(0.3)
        if found and worker_of(running.pid) == found:
            return running


def steady_study(box, *options, **keys):
    """One service, one candidate, a long window; returns the file which tells of TERMs."""
    llm = box.fake("llm", "--latency", "20ms", *NASTY, *options,
                   **dict({"stop_grace": "200ms"}, **keys))
    told = watched(box, llm)
    box.study(llm=llm, measure={} if "knobs" in keys else {"window": "4s"})
    return told


def finish(box, trials=None, run=(), **more):
    """The rest of a study; all that is stored then is right, and so many as undisturbed."""
    box.run("run", *(run or (box.file,)), code=0, **more)
    all_ok(box, trials)
    box.expect_clean()


def all_ok(box, trials=None):
    verdicts = box.verdicts()
    check(set(verdicts) == {"ok"} and trials in (None, len(verdicts)), f"{verdicts}\n{box.story()}")
    expect_kept(box, {})


@scenario(quick=True)
def asked_once_it_stops_cleanly(box):
    told = steady_study(box)
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        before = times_told(told)
        running = in_a_window(box)
        running.signal(number)
        result = running.wait()
        box.expect_clean()
        check(result.code == 5, str(result))
        check(len(result.err.splitlines()) == 1 and "stopped" in result.err, str(result))
        check(times_told(told) == before + 1, "the service was not told TERM")
        check(stored(box) == 0, "the trial under way has been stored")
    events = [kind for kind, in query(box, "SELECT kind FROM event ORDER BY id")]
    check(events == ["started", "stopped"] + ["resumed", "stopped"] * 2, events)
    finish(box)


@scenario(quick=True)
def asked_twice_it_stops_now(box):
    # The service is deaf to TERM and may take two minutes: nobody waits for that.
    told = steady_study(box, "--ignore-term", stop_grace="120s")
    running = in_a_window(box)
    running.signal(signal.SIGINT)
    while times_told(told) == 0:
        time.sleep(0.02)
    running.signal(signal.SIGINT)
    result = running.wait(60)
    box.expect_clean()
    check(result.code == 5 and len(result.err.splitlines()) == 1, str(result))
    check(stored(box) == 0, "the trial under way has been stored")


@scenario()
def asked_while_a_service_starts_or_stops(box):
    told = steady_study(box, "--start-delay", "{delay}", "--ignore-term", stop_grace="1s",
                        knobs={"delay": ["500ms", "600ms"]})
    terminal = Terminal(box, "start", lambda pid: os.kill(pid, signal.SIGTERM))
    check(terminal.run() == 5 and "while llm was starting" in terminal.text, terminal.text)
    # Asked during the stop, the trial is whole: it is stored first.
    code = run_to_stop(box, told, lambda pid: os.kill(pid, signal.SIGINT))
    check(code == 5 and box.verdicts() == ["ok"], f"{code} {box.verdicts()}\n{box.story()}")
    finish(box, 5)


@scenario(quick=True)
def interrupted_on_a_terminal(box):
    # ^C goes to all in the foreground: the worker and the keepers leave it to spica.
    steady_study(box)
    terminal = Terminal(box, "measure", lambda pid: os.killpg(pid, signal.SIGINT))
    check(terminal.run() == 5 and "stopped" in terminal.text, terminal.text)
    box.expect_clean()
    check(stored(box) == 0, "the trial under way has been stored")
    running = in_a_window(box)
    slay(victims(running.pid, "worker+keeper"), signal.SIGINT)
    check(running.wait().code == 0, box.story())
    all_ok(box)


@scenario(quick=True)
def the_terminal_is_closed(box):
    steady_study(box)
    pid, fd = pty.fork()
    if pid == 0:
        os.chdir(box.folder)
        os.execve(SPICA, [SPICA, "run", box.file], box.env)
    text = b""
    while b"measuring" not in text:
        text += os.read(fd, 65536)
    os.close(fd)
    code = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
    box.expect_clean()
    check(code == 5 and stored(box) == 0, f"exit status {code}, {stored(box)} stored")
    finish(box)


@scenario(quick=True)
def the_reader_of_its_output_goes_away(box):
    # `spica run | head -1`: nobody reads on. The measurements go on, but this is not a success.
    box.study(llm=box.fake("llm", "--latency", "20ms", *NASTY, stop_grace="100ms"))
    reader, writer = os.pipe()
    with subprocess.Popen([SPICA, "run", box.file], env=box.env, cwd=box.folder, stdout=writer,
                          stdin=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True) as popen:
        os.close(writer)
        os.read(reader, 10)
        os.close(reader)
        err = popen.communicate(timeout=DEADLINE_S)[1]
    box.expect_clean()
    check(popen.returncode == 1 and err == "spica: standard output: write error\n",
          f"{popen.returncode} {err}")
    had = expect_kept(box, {})
    box.run("run", box.file, code=0)
    expect_kept(box, {"trial": had["trial"]})
    all_ok(box)


# ---- stopped for a while ----

@scenario()
def stopped_and_continued_in_a_window(box):
    # The worker goes on, but our own readings are late: the trial is tried again.
    long_study(box)

    def pause(pid):
        os.kill(pid, signal.SIGSTOP)
        time.sleep(3)
        os.kill(pid, signal.SIGCONT)
    terminal = Terminal(box, "measure", pause)
    check(terminal.run() == 0, terminal.text)
    box.expect(1, "instrument", says="readings of the window")
    check(box.trials()[1]["retry_of"] == 1, box.trials()[1])
    check(box.verdicts()[1:] == ["ok"] * 5, box.verdicts())


@scenario(long=True)
def stopped_and_continued_in_other_phases(box):
    # Deadlines that passed meanwhile are nobody's fault.
    llm = box.fake("llm", "--latency", "{latency}", "--start-delay", "300ms", *NASTY,
                   stop_grace="200ms", ready={"http": "/health", "within": "2s"},
                   knobs={"latency": ["250ms", "500ms"]})
    box.study(llm=llm, stt=box.fake("stt", "--latency", "250ms"),
              measure={"warmup": "500ms", "probe_within": "2s", "drain": "1s", "alone": "1s"})

    def pause(pid):
        os.kill(pid, signal.SIGSTOP)
        time.sleep(4)
        os.kill(pid, signal.SIGCONT)
    for phase in ("start", "probe", "drain", "alone"):
        terminal = Terminal(box, phase, pause, 2 if phase == "alone" else 0)
        check(terminal.run() == 0, terminal.text)
        verdicts = [v for v, in query(box, "SELECT verdict FROM trials ORDER BY number")]
        spoiled = phase == "alone" and verdicts[2] == "instrument" and verdicts.pop(2)
        check(verdicts == ["ok"] * 5, f"{phase}: {verdicts} {spoiled}")
        wrong = query(box, "SELECT trial, value FROM metrics WHERE metric = 'latency' "
                      "AND stat = 'p50' AND value NOT BETWEEN 0.2 AND 1.5")
        check(not wrong, f"{phase}: {wrong}")
        os.rename(box.results, f"{box.results}.{phase}")


# ---- two copies ----

def two_studies(box):
    """Files of two studies over the same device."""
    steady_study(box)
    with open(box.file, encoding="utf-8") as file:
        first = box.write("first.yaml", file.read().replace('"sc"', '"first"'))
    box.study(llm=box.fake("llm", "--latency", "20ms"))
    return first, box.file


def await_waiting(box, running):
    while "waiting" not in running.output():
        check(running.poll() is None, f"it did not wait\n{box.story()}")
        time.sleep(0.02)


@scenario(quick=True)
def the_second_copy_names_the_holder(box):
    first, second = two_studies(box)
    running = in_a_window(box, first)
    result = box.run("run", second, code=4)
    check(f"pid {running.pid}" in result.err and '"first"' in result.err, str(result))
    check("trial 1" in result.err and "--wait" in result.err, str(result))
    result = box.run("run", first, code=4)  # the same study again
    check(f"pid {running.pid}" in result.err, str(result))
    check(running.poll() is None, "the first was disturbed")
    waiting = box.start("run", "--wait", second)
    await_waiting(box, waiting)
    check(not os.path.exists(database(box)), "it does not only wait")
    slay([running.pid])
    result = waiting.wait()
    check(result.code == 0 and f"pid {running.pid}" in result.out, str(result))
    all_ok(box)


@scenario()
def a_killed_holder_holds_nothing(box):
    first, second = two_studies(box)
    running = in_a_window(box, first)
    slay([running.pid])
    running.wait()
    box.run("run", second, code=0)
    all_ok(box)
    waiting = in_a_window(box, first)
    other = box.start("run", "--wait", second)
    await_waiting(box, other)
    other.signal(signal.SIGINT)  # who waits can be stopped, too
    result = other.wait()
    check(result.code == 5 and "stopped while waiting" in result.err, str(result))
    waiting.signal(signal.SIGINT)
    check(waiting.wait().code == 5, box.story())


@scenario()
def a_stale_lock_text_does_no_harm(box):
    box.study(llm=box.fake("llm", "--latency", "20ms"))
    box.run("run", box.file, code=0)
    locks = os.listdir(box.path("lock"))
    check(len(locks) == 1, locks)
    for text in (json.dumps({"pid": os.getpid(), "study": "gone", "since": 1}).encode(), b"\0\xff{",
                 b"x" * 100000, b""):
        box.write("lock/" + locks[0], text)
        box.run("run", box.file, code=0)


# ---- the store's bad days ----

def small_disk(box, kilobytes):
    """A file system of its own for the results; returns functions that fill and free it."""
    folder = box.path("small")
    os.mkdir(folder)
    mount = ["mount", "-t", "tmpfs", "-o", f"size={kilobytes}k", "none", folder]
    skip_unless(os.getuid() == 0 and subprocess.run(mount, stderr=subprocess.DEVNULL, check=False)
                .returncode == 0, "no file system can be mounted here")
    box.cleanups.append(lambda: subprocess.run(["umount", "-l", folder], check=False))
    ballast = os.path.join(folder, "ballast")

    def fill():
        for size in (65536, 4096, 1):
            with open(ballast, "ab", buffering=0) as file:
                try:
                    while True:
                        file.write(bytes(size))
                except OSError:
                    pass
    return fill, lambda: os.unlink(ballast)


def expect_disk_full(result):
    check(result.code == 1 and len(result.err.splitlines()) == 1, str(result))
    check(re.search("disk full|No space left", result.err), str(result))


@scenario(quick=True)
def the_disk_is_full(box):
    fill, free = small_disk(box, 2000)
    box.study(llm=box.fake("llm", "--latency", "{latency}", "--print", "hello", *NASTY,
                           stop_grace="100ms", knobs={"latency": ["20ms", "200ms"]}))
    box.results = os.path.join(box.path("small"), "sc.spica")
    run = ("run", "--out", box.results, box.file)
    # When it begins.
    fill()
    expect_disk_full(box.run(*run))
    free()
    check(stored(box) == 0, "something was stored")
    # In the first trial, then in a later one, then at the end.
    for trials in (0, 1, 4):
        running = in_a_window(box, *run[1:])
        while stored(box) < trials:
            check(running.poll() is None, box.story())
            time.sleep(0.02)
        before = snapshot(box)
        fill()
        expect_disk_full(running.wait())
        box.expect_clean()
        free()
        expect_kept(box, before)
    finish(box, 5, run[1:])
    with open(os.path.join(box.results, "winner.json"), encoding="utf-8") as file:
        before = file.read()
    fill()
    expect_disk_full(box.run("report", "--out", box.results, box.file))
    with open(os.path.join(box.results, "winner.json"), encoding="utf-8") as file:
        check(file.read() == before, "a report half written")
    free()
    check(not [n for n in os.listdir(box.results) if n.endswith(".tmp")], os.listdir(box.results))


@scenario(quick=True)
def the_results_are_removed_while_it_runs(box):
    steady_study(box)
    running = in_a_window(box)
    shutil.rmtree(box.results)
    result = running.wait()
    box.expect_clean()
    check(result.code == 1 and len(result.err.splitlines()) == 1, str(result))
    check("study.db" in result.err, str(result))
    check(stored(box) == 0, "what remained of the folder is no study")
    finish(box)


@scenario()
def the_folder_becomes_read_only(box):
    nobody = ("setpriv", "--reuid=65534", "--clear-groups")
    skip_unless(os.getuid() == 0 and shutil.which("setpriv"), "takes root, to become another")
    box.study(llm=box.fake("llm", "--latency", "20ms", stop_grace="100ms"))
    subprocess.run(["chown", "-R", "65534", box.folder], check=True)
    reachable = subprocess.run([*nobody, "test", "-x", SPICA, "-a", "-x", FAKE], check=False)
    skip_unless(reachable.returncode == 0, "others can't execute spica here")
    running = in_a_window(box, box.file, prefix=nobody)
    os.chmod(box.results, 0o555)
    result = running.wait()
    box.expect_clean()
    check(result.code == 1 and len(result.err.splitlines()) == 1, str(result))
    check(box.results in result.err and "ermission denied" in result.err, str(result))
    result = box.run("run", box.file, prefix=nobody)
    check(result.code in (1, 2) and len(result.err.splitlines()) == 1, str(result))
    os.chmod(box.results, 0o755)
    before = snapshot(box)
    box.run("run", box.file, code=0, prefix=nobody)
    expect_kept(box, before)
    all_ok(box)


# ---- random instants ----

def await_write(box, running):
    """Until the database's log grows: a transaction is under way, or has just been."""
    wal = database(box) + "-wal"

    def state():
        try:
            found = os.stat(wal)
            return found.st_size, found.st_mtime_ns
        except OSError:
            return None
    first, end = state(), time.monotonic() + 20
    looks = 0
    while state() == first and time.monotonic() < end:
        looks += 1
        if looks % 1000 == 0:
            if running.poll() is not None:
                return
            time.sleep(0.0001)


def await_worker(running):
    end = time.monotonic() + 20
    while running.poll() is None and time.monotonic() < end:
        found = worker_of(running.pid)
        if found:
            return found
        time.sleep(0.01)
    return []


WHOM = ["spica", "spica", "spica+worker", "worker+spica", "group", "keeper+spica", "guard+spica"]


class Rounds:
    """Random kills of one study after the other, resumed each time, until `count` were done."""

    def __init__(self, box, seed, count):
        self.box, self.random, self.left = box, random.Random(seed), count
        self.kills = self.spoiled = 0
        short_study(box)
        self.reference = reference_of(box)
        self.before = {}

    def look(self, all_of_it):
        """Nothing is left; and the store, unless spica shall be the first to open it."""
        self.box.expect_clean()
        if not all_of_it:
            return
        self.before = expect_kept(self.box, self.before)
        known = order(self.box) if self.before.get("trial") else []
        wanted = self.reference[0][:len(known)]
        check(known == wanted, f"order {known}, not {wanted}")

    def kill_worker(self, running):
        """The worker alone: spica lives on. No second time until a trial after it went well."""
        found = await_worker(running)
        time.sleep(self.random.uniform(0, 1.2))
        slay(found)
        self.spoiled = stored(self.box) + 2
        self.kills += bool(found)

    def one(self):
        running = self.box.start("run", self.box.file, prefix=("setsid",))
        dice = self.random.random()
        whom = self.random.choice(WHOM)
        if dice < 0.15:
            time.sleep(self.random.uniform(0, 0.08))
        elif dice < 0.4:
            # At once, for which there must be nothing to look up first; or a little later.
            delay = self.random.choice([0, 0, 0.0005, 0.001, 0.002, 0.005, 0.02, 0.05])
            whom = "spica" if delay < 0.02 else whom
            await_write(self.box, running)  # that it began
            if self.random.random() < 0.8:
                time.sleep(0.3)
                await_write(self.box, running)  # a trial
            time.sleep(delay)
        elif dice < 0.55 and stored(self.box) >= self.spoiled:
            self.kill_worker(running)
            time.sleep(self.random.uniform(0, 2.0))
        else:
            time.sleep(self.random.uniform(0, 2.2))
        if whom == "group":
            slay([-running.pid])
        else:
            slay(victims(running.pid, whom))
        self.kills += 1
        result = running.wait()
        if result.code == -signal.SIGKILL:
            self.look(self.random.random() < 0.5)
            return
        check(result.code == 0, str(result))
        self.finished()

    def finished(self):
        self.look(True)
        verdicts = {v for v, in query(self.box, "SELECT verdict FROM trials")}
        check(verdicts <= {"ok", "instrument"}, f"verdicts {verdicts}")
        expect_same(self.box, self.reference)
        wrong = query(self.box, "SELECT t.candidate, m.value FROM metrics m JOIN trials t "
                      "ON t.number = m.trial WHERE m.metric = 'latency' AND m.stat = 'p50' "
                      "AND (t.verdict <> 'ok' OR m.value NOT BETWEEN 0.003 AND 1.5)")
        check(not wrong, f"numbers of a spoiled window: {wrong}")
        shutil.rmtree(self.box.results)
        self.box.runs.clear()
        self.before, self.spoiled = {}, 0

    def all(self):
        while self.kills < self.left:
            self.one()
        result = self.box.run("run", self.box.file, code=0)
        check(result.code == 0, str(result))
        self.finished()
        print(f"{self.kills} kills")


@scenario(quick=True)
def killed_at_random_instants_quick(box):
    Rounds(box, "quick", 15).all()


def slice_of(number):
    def killed(box):
        Rounds(box, f"slice {number}", KILLS // SLICES).all()
    killed.__name__ = f"killed_at_random_instants_{number}"
    killed.__module__ = __name__
    return scenario(long=True)(killed)


for slice_number in range(1, SLICES + 1):
    slice_of(slice_number)


if __name__ == "__main__":
    main(__name__)
