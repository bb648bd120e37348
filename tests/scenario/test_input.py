"""Bad input and bad days: one clear line (what, where, what to do), the right exit status, nothing left
running, nothing lost."""

import json
import os
import random
import re
import shutil
import signal
import subprocess
import time

import gpu
from harness import FAKE, SPICA, check, environment_of, main, processes, scenario, skip_unless


def refused(box, says, *args, code=2, **more):
    """The command ends with that status and exactly one line on stderr, which says so."""
    result = box.run(*(args or ("check", box.file)), code=code, lines=1, **more)
    check(re.search(says, result.err), f"not said: {says!r}\n{result}")
    check(result.err.startswith("spica: "), str(result))
    check(not re.search(r"[\x00-\x08\x0b-\x1f\x7f]", result.err), repr(result.err))
    check(len(result.err) < 1600, f"{len(result.err)} bytes of message")
    box.expect_clean()
    return result


def changed(box, change):
    """Writes the small study with something changed."""
    study = box.study(llm=box.fake("llm", "--latency", "{latency}", knobs={"latency": ["5ms", "9ms"]}))
    change(study)
    box.write("study.yaml", json.dumps(study, indent=1) + "\n")


# ---- the study file ----

@scenario(quick=True)
def study_files_that_are_wrong(box):
    llm = lambda s: s["services"]["llm"]
    table = [
        ("unknown key", lambda s: s.update(serach=s.pop("search")),
         r'study\.yaml:\d+:\d+: there is no key "serach"; did you mean search'),
        ("unknown key within", lambda s: llm(s).update(comand=1), r"llm: .*comand.*did you mean command"),
        ("wrong type", lambda s: s["measure"].update(window="soon"),
         r'\d+:\d+: measure\.window: "soon" is not a time'),
        ("no unit", lambda s: s["measure"].update(window="30"), r"measure\.window"),
        ("out of range", lambda s: s["measure"].update(repeats=1), r"repeats.*3 to 100"),
        ("list for a mapping", lambda s: s.update(load=[]), r"load: must be a mapping"),
        ("empty knob", lambda s: llm(s)["knobs"].update(latency=[]), r"latency.*is empty"),
        ("one value", lambda s: llm(s)["knobs"].update(latency="5ms"), r"must be a list"),
        ("a value twice", lambda s: llm(s)["knobs"].update(latency=["5ms", "5ms"]), r"given twice"),
        ("impossible constraint", lambda s: s.update(constraints=["llm.latency == 7ms"]),
         r"constraint"),
        ("constraint on nothing", lambda s: s.update(constraints=["llm.latencie == 5ms"]),
         r"latencie.*did you mean|did you mean.*latency"),
        ("placeholder without a knob", lambda s: llm(s)["command"].append("{threads}"),
         r"\{threads\}"),
        ("knob that nothing uses", lambda s: llm(s)["knobs"].update(threads=[1, 2]),
         r"threads.*nothing uses"),
        ("no services", lambda s: s.update(services={}), r"services"),
        ("load of nobody", lambda s: s["load"].update(lm={}), r'no service "lm"'),
        ("unknown engine", lambda s: s["services"].update(x={"engine": "llama-sever"}),
         r"llama-sever.*did you mean llama-server"),
        ("unknown protocol", lambda s: llm(s).update(protocol="openai-chta"), r"did you mean openai-chat"),
        ("unknown strategy", lambda s: s["search"].update(strategy="grit"), r"did you mean grid"),
        ("unknown metric", lambda s: s["goal"].update(optimise={"llm.latncy.p50": {"good": "1s",
         "bad": "2s"}}), r'"latncy"; llm has latency, ttft'),
        ("baseline off the list", lambda s: s.update(baseline={"llm.latency": "6ms"}), r"6ms"),
        ("baseline lacks a knob", lambda s: s.update(baseline={}), r"baseline"),
        ("a GPU on a CPU box", lambda s: llm(s).update(on="gpu"), r'"gpu" needs a GPU'),
        ("a shell line", lambda s: llm(s).update(command="serve --port {port}"), r"must be a list"),
    ]
    for name, change, says in table:
        changed(box, change)
        try:
            refused(box, says)
        except AssertionError as error:
            raise AssertionError(f"{name}: {error}")


@scenario(quick=True)
def a_missing_study_file(box):
    refused(box, "no.yaml", "check", box.path("no.yaml"))
    refused(box, "no.yaml", "run", box.path("no.yaml"))
    refused(box, "no such study file", "show", box.path("no.yaml"))
    refused(box, "no NAME.spica folder here", "show")
    refused(box, "", "run", box.folder)


@scenario(quick=True)
def a_study_file_of_10_MB(box):
    line = "# " + "x" * 97 + "\n"
    box.write("study.yaml", "study: big\n" + line * 100_000)
    refused(box, r"study\.yaml.*(1 MiB|large|at most)")
    box.write("study.yaml", "study: [" + "a," * 5_000_000 + "]\n")
    refused(box, r"study\.yaml")
    box.write("study.yaml", "[" * 100_000)
    refused(box, r"study\.yaml")


@scenario(quick=True)
def a_study_file_of_random_bytes(box):
    rng = random.Random(20)
    template = subprocess.run([SPICA, "init", "llm"], capture_output=True, check=True).stdout
    for i in range(60):
        if i % 3 == 0:
            text = rng.randbytes(rng.randrange(1, 4096))
        else:  # a good file with some bytes broken
            data = bytearray(template)
            for _ in range(rng.randrange(1, 30)):
                data[rng.randrange(len(data))] = rng.randrange(256)
            text = bytes(data)
        box.write("study.yaml", text)
        result = box.run("check", box.file)
        check(result.code in (0, 2), str(result))
        check(len(result.err.splitlines()) == (1 if result.code else 0), str(result))
        check("\x1b" not in result.text, repr(result.text))
    for text in (b"", b"\0", b"\xff\xfe", b"\xef\xbb\xbf", b"---\n---\n", b"study: \x1b[31mred\x1b[0m\n",
                 b"a: &a [*a]\n", b"&a a: *a\n", b"!!python/object:os.system x\n", b"x: " + b"\xc3\n"):
        box.write("study.yaml", text)
        refused(box, r"study\.yaml")


@scenario(quick=True)
def names_in_messages_are_escaped(box):
    box.write("study.yaml", '"study\\e[31m": x\n"a\\nb": 1\n')
    result = refused(box, r"study\.yaml")
    check("\x1b" not in result.text, repr(result.text))


# ---- what a study needs ----

@scenario(quick=True)
def a_missing_program(box):
    box.study(llm=dict(box.fake("llm"), command=["no-such-server", "--port", "{port}"]))
    refused(box, r"llm.*no-such-server", "run", box.file)
    refused(box, r"llm.*no-such-server")
    check(not os.path.exists(os.path.join(box.results, "study.db")), "nothing was begun")
    path = box.write("bin/not-executable", "#!/bin/sh\n")
    os.chmod(path, 0o644)
    box.study(llm=dict(box.fake("llm"), command=[path, "{port}"]))
    refused(box, r"not-executable", "run", box.file)


@scenario(quick=True)
def missing_and_broken_weights(box):
    service = box.disguised("llama-server")
    os.remove(box.path("models/llm.gguf"))
    box.study(llm=service)
    refused(box, r"llm\.gguf", "run", box.file)
    result = box.run("prepare", box.file, code=2)
    check("llm.gguf" in result.text, str(result))
    box.write("models/llm.gguf", b"<html>404</html>")
    refused(box, r"llm\.gguf.*GGUF", "run", box.file)
    box.weights("llama-server")
    box.run("prepare", "--check", box.file, code=0)


@scenario(quick=True)
def weights_of_one_knob_value_are_missing(box):
    # Found before the first trial, not after an hour.
    service = box.disguised("whisper-server", knobs={"size": ["tiny", "base"]})
    service["model"] = box.path("models/ggml-{size}.bin")
    box.study(stt=service)
    refused(box, r"ggml-base\.bin", "run", box.file)
    check(not os.path.exists(box.results), "nothing was begun")


@scenario(quick=True)
def corpora_that_cannot_be_used(box):
    box.study(stt=box.fake("stt"), load={"stt": {"corpus": "nowhere"}})
    refused(box, r"load\.stt\.corpus.*nowhere", "run", box.file)
    os.mkdir(box.path("empty"))
    box.study(stt=box.fake("stt"), load={"stt": {"corpus": "empty"}})
    refused(box, r"empty", "run", box.file)
    box.write("broken/a.wav", b"RIFF not audio at all")
    box.study(stt=box.fake("stt"), load={"stt": {"corpus": "broken"}})
    refused(box, r"a\.wav", "run", box.file)
    box.write("json/manifest.jsonl", '{"audio_filepath": "x.wav"\n')
    box.study(stt=box.fake("stt"), load={"stt": {"corpus": "json"}})
    refused(box, r"manifest\.jsonl:1", "run", box.file)
    box.write("gone/manifest.jsonl", '{"audio_filepath": "x.wav", "text": "a"}\n')
    box.study(stt=box.fake("stt"), load={"stt": {"corpus": "gone"}})
    refused(box, r"x\.wav", "run", box.file)
    box.study(llm=box.fake("llm"), load={"llm": {"prompts": "none.jsonl"}})
    refused(box, r"none\.jsonl", "run", box.file)
    box.write("bad.jsonl", '{"prompt": "a"}\n{"prompt": 7}\n')
    box.study(llm=box.fake("llm"), load={"llm": {"prompts": "bad.jsonl"}})
    refused(box, r"bad\.jsonl:2", "run", box.file)
    check(not os.path.exists(box.results), "nothing was begun")


@scenario(quick=True)
def no_transcripts_where_word_errors_are_asked_for(box):
    box.corpus("mute", transcripts=False)
    box.study(stt=box.fake("stt"), load={"stt": {"corpus": "mute"}},
              goal={"optimise": {"stt.wer": {"good": "5%", "bad": "50%"}}})
    refused(box, r"wer.*transcript", "run", box.file)
    box.study(stt=box.fake("stt"), load={"stt": {"corpus": "mute"}},
              goal={"optimise": {"stt.latency.p50": {"good": "1ms", "bad": "1s"}},
                    "require": ["stt.wer < 20%"]})
    refused(box, r"wer.*transcript", "run", box.file)


# ---- the store ----

def small(box, **parts):
    box.study(llm=box.fake("llm", "--latency", "15ms", "--tokens", "2"), **parts)


@scenario(quick=True)
def a_database_of_a_newer_version(box):
    import sqlite3
    small(box)
    box.run("run", box.file, "--trials", "1", lines=-1)
    before = len(box.trials())
    box.close_db()
    path = os.path.join(box.results, "study.db")
    connection = sqlite3.connect(path)
    connection.execute("PRAGMA user_version = 99")
    connection.commit()
    connection.close()
    for command in ("run", "show", "report"):
        refused(box, r"newer.*99", command, box.file)
    connection = sqlite3.connect(path)
    connection.execute("PRAGMA user_version = 1")
    connection.commit()
    connection.close()
    check(len(box.trials()) == before, "nothing was lost")


@scenario(quick=True)
def a_database_that_is_none(box):
    small(box)
    for text in (b"", b"this is not a database at all, but it is long enough" * 40):
        box.write("sc.spica/study.db", text)
        refused(box, r"study\.db", "show", box.file)
        if text:
            refused(box, r"study\.db", "run", box.file)
            with open(os.path.join(box.results, "study.db"), "rb") as file:
                check(file.read() == text, "it was changed")


@scenario(quick=True)
def a_file_where_the_folder_should_be(box):
    small(box)
    box.write("sc.spica", "in the way")
    result = box.run("run", box.file)
    check(result.code in (1, 2) and len(result.err.splitlines()) == 1, str(result))
    check("sc.spica" in result.err, str(result))
    check(open(box.results).read() == "in the way", "it was changed")


@scenario(quick=True)
def a_read_only_folder(box):
    small(box)
    skip_unless(os.geteuid() == 0 and shutil.which("mount"), "only root can make a read-only mount")
    mount = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=4m", "tmpfs", box.path("tmp")],
                           capture_output=True)
    skip_unless(mount.returncode == 0, f"nothing can be mounted here: {mount.stderr}")
    box.cleanups.append(lambda: subprocess.run(["umount", "-l", box.path("tmp")], check=False))
    study = json.load(open(box.file))
    study["load"]["llm"]["prompts"] = box.path("prompts.jsonl")
    box.write("tmp/ro/study.yaml", json.dumps(study))
    os.mkdir(box.path("tmp/runs"))
    subprocess.run(["mount", "-o", "remount,ro", box.path("tmp")], check=True)
    # (stdout and stderr of the command go to a file, which can't be there now)
    command = subprocess.run([SPICA, "run", box.path("tmp/ro/study.yaml")], env=box.env,
                             capture_output=True, text=True, timeout=60)
    check(command.returncode in (1, 2), command)
    check(len(command.stderr.splitlines()) == 1, command.stderr)
    check("Read-only file system" in command.stderr and "sc.spica" in command.stderr, command.stderr)
    subprocess.run(["mount", "-o", "remount,rw", box.path("tmp")], check=True)


@scenario()
def a_full_disk(box):
    skip_unless(os.geteuid() == 0 and shutil.which("mount"), "only root can mount a small disk")
    os.mkdir(box.path("sc.spica"))
    mount = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=600k", "tmpfs", box.path("sc.spica")],
                           capture_output=True)
    skip_unless(mount.returncode == 0, f"nothing can be mounted here: {mount.stderr}")
    box.cleanups.append(lambda: subprocess.run(["umount", "-l", box.path("sc.spica")], check=False))
    # Enough requests that a few trials fill it.
    box.study(llm=box.fake("llm", "--latency", "{latency}", "--tokens", "2",
                           knobs={"latency": [f"{n}ms" for n in range(1, 7)]}),
              load={"llm": {"concurrency": 8}})
    result = box.run("run", box.file, code=1)
    check(re.search(r"(full|space|No space)", result.err), str(result))
    box.expect_clean()
    before = box.trials()
    check([t["verdict"] for t in before] == ["ok"] * len(before), box.story())
    box.close_db()
    # With room again it goes on where it was.
    subprocess.run(["mount", "-o", "remount,size=64m", box.path("sc.spica")], check=True)
    box.run("run", box.file, code=0)
    after = box.trials()
    check(after[:len(before)] == before and len(after) > len(before), "finished trials stay")


@scenario(quick=True)
def a_changed_study_file(box):
    small(box)
    box.run("run", box.file, "--trials", "1", lines=-1)
    count = len(box.trials())
    box.close_db()
    small(box, seed=2)
    refused(box, r"another version.*--fresh", "run", box.file)
    check(len(box.trials()) == count, "nothing was lost")
    box.close_db()
    box.run("run", "--fresh", box.file, "--trials", "1", lines=-1)
    check(os.path.exists(box.results + ".1/study.db"), "the old results are kept")


# ---- the device is one ----

@scenario(quick=True)
def two_copies_on_one_device(box):
    small(box, measure={"window": "4s"})
    first = box.start("run", box.file)
    wait_for_service(first)
    box.study(study="other", llm=box.fake("llm", "--latency", "15ms"))
    refused(box, rf"{first.pid}", "run", box.file, code=4)
    waiting = box.start("run", "--wait", box.file, "--trials", "1")
    time.sleep(1)
    check(waiting.poll() is None, "it waits")
    first.signal(signal.SIGINT)
    check(first.wait().code == 5, "the first was stopped")
    result = waiting.wait()
    check(result.code in (0, 3), str(result))
    check(str(first.pid) in result.text, f"says whom it waited for\n{result}")


def wait_for_service(running, name="fake", within=30):
    """Until the command has a process of that name below it."""
    from harness import descendants
    end = time.monotonic() + within
    while time.monotonic() < end:
        table = processes()
        if any(name in table[pid][2] for pid in descendants(running.pid, table)):
            time.sleep(0.5)
            return
        check(running.poll() is None, running.output())
        time.sleep(0.05)
    raise AssertionError(f"no {name} within {within} s\n{running.output()}")


@scenario(quick=True)
def what_an_earlier_run_left_is_named(box):
    # A server of an earlier run whose keeper was killed as well: nobody's child any more. It is named,
    # not killed, for its number may be somebody's by now; once it is gone the study runs.
    small(box)
    left = subprocess.Popen([FAKE, "--port", "0", "--life", "300s"], stdout=subprocess.DEVNULL,
                            stderr=subprocess.DEVNULL, env=dict(box.env, SPICA_SERVICE="old/llm"))
    box.helpers.append(left)
    result = box.run("run", box.file, code=4)
    check(f"pid {left.pid}" in result.err and "old/llm" in result.err, str(result))
    check(left.poll() is None, "it is left alone")
    left.kill()
    left.wait()
    box.run("run", box.file, "--trials", "1", code=0)


# ---- stopping ----

@scenario(quick=True)
def an_interrupt_ends_it_cleanly(box):
    small(box, measure={"window": "20s"})
    for number in (signal.SIGINT, signal.SIGTERM):
        running = box.start("run", box.file)
        wait_for_service(running)
        running.signal(number)
        result = running.wait()
        check(result.code == 5 and len(result.err.splitlines()) == 1, str(result))
        box.expect_clean()
    check(box.trials() == [], "a trial under way is not stored")
    kinds = [row["kind"] for row in box.rows("SELECT kind FROM event ORDER BY id")]
    check(kinds == ["started", "stopped", "resumed", "stopped"], kinds)


@scenario(quick=True)
def a_second_interrupt_ends_it_now(box):
    # The service is deaf to TERM and has a long grace: the first ^C waits for it, the second kills it.
    box.study(llm=box.fake("llm", "--latency", "15ms", "--ignore-term", stop_grace="300s"),
              measure={"window": "20s"})
    running = box.start("run", box.file)
    wait_for_service(running)
    running.signal(signal.SIGINT)
    time.sleep(1.5)
    check(running.poll() is None, "it waits for the service")
    running.signal(signal.SIGINT)
    result = running.wait(60)
    check(result.code == 5 and len(result.err.splitlines()) == 1, str(result))
    box.expect_clean()


@scenario(quick=True)
def stdout_that_is_full_or_gone(box):
    small(box)
    with open("/dev/full", "w") as full:
        command = subprocess.run([SPICA, "check", box.file], env=box.env, stdout=full,
                                 stderr=subprocess.PIPE, text=True, timeout=60)
    check(command.returncode == 1 and len(command.stderr.splitlines()) == 1, command)
    reader, writer = os.pipe()
    os.close(reader)
    command = subprocess.run([SPICA, "check", box.file], env=box.env, stdout=writer,
                             stderr=subprocess.PIPE, text=True, timeout=60)
    os.close(writer)
    check(command.returncode == 1 and len(command.stderr.splitlines()) == 1, command)


# ---- services that misbehave ----

@scenario(quick=True)
def a_service_that_floods_its_log(box):
    box.study(llm=box.fake("llm", "--latency", "15ms", "--print", "the very first line", "--flood",
                           "50M", "--tokens", "2"))
    box.run("run", box.file, "--trials", "1", lines=-1)
    box.expect(1, "ok")
    logs = os.path.join(box.results, "logs")
    sizes = {name: os.path.getsize(os.path.join(logs, name)) for name in os.listdir(logs)}
    check(sizes and max(sizes.values()) < 8_000_000, sizes)
    log = box.services(1)["llm"]["log"]
    check("the very first line" in log and len(log) < 8_000_000, "head and tail are kept")


@scenario(quick=True)
def a_service_with_binary_and_endless_log_lines(box):
    box.study(llm=box.fake("llm", "--latency", "15ms", "--log-binary", "--log-long-line", "20M",
                           "--print", "\x1b]0;title\x07\x1b[2J", "--at", "9:die:3"))
    result = box.run("run", box.file, code=3)
    box.expect(1, "crashed_load", service="llm")
    check("\x1b" not in result.text and "\x07" not in result.text, repr(result.text))
    show = box.run("show", box.file, "--trial", "1", code=0)
    check("\x1b" not in show.text, repr(show.text[:500]))
    log = box.run("show", box.file, "--trial", "1", "--log", "llm", code=0)
    check("\x1b" not in log.text, "a log is shown, not obeyed")
    for name in ("report.md", "report.html", "report.json", "winner.json"):
        with open(os.path.join(box.results, name), "rb") as file:
            check(b"\x1b" not in file.read(), name)


# ---- clocks ----

SHIM = r"""
#define _GNU_SOURCE
#include <sys/syscall.h>
#include <sys/time.h>
#include <time.h>
#include <unistd.h>
/* Wall time jumps by hours, to and fro, at each look; the monotonic clock is left alone. */
static long jump(void) { static int n; return (__atomic_add_fetch(&n, 1, 5) % 7 - 3) * 5000L; }
int clock_gettime(clockid_t id, struct timespec *t)
{
    long r = syscall(SYS_clock_gettime, id, t);
    if (r == 0 && (id == CLOCK_REALTIME || id == CLOCK_REALTIME_COARSE))
        t->tv_sec += jump();
    return (int)r;
}
time_t time(time_t *t)
{
    struct timespec now;
    clock_gettime(CLOCK_REALTIME, &now);
    if (t)
        *t = now.tv_sec;
    return now.tv_sec;
}
int gettimeofday(struct timeval *t, void *z)
{
    struct timespec now;
    (void)z;
    clock_gettime(CLOCK_REALTIME, &now);
    t->tv_sec = now.tv_sec;
    t->tv_usec = now.tv_nsec / 1000;
    return 0;
}
"""


@scenario(quick=True)
def a_clock_that_is_set_while_it_runs(box):
    compiler = shutil.which("cc") or shutil.which("gcc") or shutil.which("clang")
    skip_unless(compiler, "no compiler for the clock's shim")
    box.write("shim.c", SHIM)
    subprocess.run([compiler, "-shared", "-fPIC", "-O1", "-o", box.path("shim.so"), box.path("shim.c")],
                   check=True)
    small(box)
    env = {"LD_PRELOAD": box.path("shim.so"), "ASAN_OPTIONS": "verify_asan_link_order=0:detect_leaks=0"}
    box.run("run", box.file, env=env, lines=-1)
    check(set(box.verdicts()) == {"ok"}, box.story())
    for trial in box.trials():
        check(0 < trial["duration_s"] < 60, trial)
        for request in box.requests(trial["number"], "llm"):
            check(0 <= request["done_ns"] - request["sent_ns"] < 20e9, request)


# ---- options ----

@scenario(quick=True)
def options_that_are_wrong(box):
    small(box)
    for args, says in [
        (["rnu"], r'no command "rnu"; did you mean run\?'),
        (["run"], r"STUDY\.yaml is missing"),
        (["run", box.file, "more"], r'"more"'),
        (["run", "--trails", "3", box.file], r"--trails; did you mean --trials\?"),
        (["run", "--trials"], r"--trials needs an argument"),
        (["run", "--trials", "0", box.file], r"--trials 0.*1 to 1000000"),
        (["run", "--trials", "many", box.file], r"--trials many"),
        (["run", "--time", "45", box.file], r"--time 45"),
        (["run", "-z", box.file], r"-z"),
        (["check", "--candidate", "llm.x=1", box.file], r"llm\.x"),
        (["show", "--trial", "x", box.file], r".*"),
        (["show", "--log", "llm", box.file], r".*"),
        (["init", "voice-cup"], r"did you mean voice-cpu\?"),
        (["help", "rnu"], r"rnu"),
    ]:
        refused(box, says, *args)
    result = box.run(code=2, lines=-1)
    check("usage: spica COMMAND" in result.text, str(result))


@scenario(quick=True)
def help_fits_a_terminal(box):
    result = box.run("--help", code=0)
    commands = re.findall(r"^  ([a-z]+) ", result.out, re.M)
    check({"init", "check", "prepare", "run", "show", "report", "help"} <= set(commands), commands)
    texts = {"spica": result.out}
    for command in commands:
        texts[command] = box.run(command, "--help", code=0).out
        check(box.run("help", command, code=0).out == texts[command], command)
        check("usage: spica" in texts[command], texts[command])
    for command, text in texts.items():
        wide = [line for line in text.splitlines() if len(line) > 80]
        check(not wide, f"{command}: {wide}")
        blank = [line for line in text.splitlines() if line.endswith(" ")]
        check(not blank, f"{command}: {blank}")
    check("spica" in box.run("--version", code=0).out, "its version")
    check(box.run("help", "--man", code=0).out.startswith(".TH SPICA 1"), "its man page")


# ---- init, check ----

@scenario(quick=True)
def templates_pass_check(box):
    kinds = [line.split()[0] for line in box.run("init", "--list", code=0).out.splitlines()]
    check({"voice-cpu", "voice-gpu", "llm"} <= set(kinds), kinds)
    box.corpus()
    box.prompts()
    for name in ("llama-server", "whisper-server", "faster-whisper-server", "vllm"):
        os.symlink(FAKE, box.path("bin", name))
    for kind in kinds:
        path = box.path(f"{kind}.yaml")
        box.run("init", kind, "--out", path, code=0)
        check(open(path).read() == box.run("init", kind, code=0).out, "the same on stdout")
        result = box.run("check", path, code=0)
        check("candidates" in result.out and "Commands of the baseline" in result.out, str(result))
        before = open(path).read()
        refused(box, "exists already", "init", kind, "--out", path)
        check(open(path).read() == before, "an existing file stays")
    check(box.run("init", code=0).out == open(box.path("voice-cpu.yaml")).read(), "the default kind")


@scenario(quick=True)
def check_names_every_missing_program(box):
    box.study(one={"command": ["/no/one", "{port}"], "protocol": "openai-chat"},
              llm=box.fake("llm"), two={"command": ["/no/two", "{port}"], "protocol": "openai-chat"})
    result = box.run("check", box.file, code=2, lines=-1)
    lines = result.err.splitlines()
    check(len(lines) == 2 and "no program /no/one" in lines[0] and "no program /no/two" in lines[1],
          result.err)
    check("--kind llm" in result.out, result.out)


@scenario(quick=True)
def check_prints_the_space_and_the_commands(box):
    box.study(stt=box.fake("stt", "--slots", "{threads}", knobs={"threads": [1, 2, 3]},
                           environment={"WAIT_POLICY": "{policy}"}),
              llm=box.fake("llm", "--slots", "{threads}", knobs={"threads": [1, 2, 3]}),
              constraints=["stt.threads + llm.threads <= 4"],
              baseline={"stt.threads": 2, "stt.policy": "default", "llm.threads": 1})
    study = json.load(open(box.file))
    study["services"]["stt"]["knobs"]["policy"] = {"values": {"default": None, "passive": "PASSIVE"}}
    box.write("study.yaml", json.dumps(study, indent=1))
    result = box.run("check", box.file, code=0)
    # 6 of the 9 pairs, each with two policies.
    check(re.search(r"12 candidates of 18 combinations", result.out), str(result))
    check("--slots 2" in result.out and "--kind stt" in result.out and "--kind llm" in result.out,
          str(result))
    check("WAIT_POLICY=" not in result.out and "-u WAIT_POLICY" in result.out, "null leaves it out")
    other = box.run("check", "--candidate", "stt.threads=1 stt.policy=passive llm.threads=3", box.file,
                    code=0)
    check("WAIT_POLICY=PASSIVE" in other.out and "--slots 3" in other.out, str(other))
    listed = box.run("check", "--list", box.file, code=0).out.splitlines()
    check(len(listed) == 12 and len(set(listed)) == 12, listed)
    refused(box, "constraint", "check", "--candidate",
            "stt.threads=3 stt.policy=default llm.threads=3", box.file)
    check(not os.path.exists(box.results), "check writes nothing")
    check(not box.leftovers(), "and starts nothing")


@scenario(quick=True)
def check_shows_the_cards_or_why_not(box):
    first, second = gpu.Card(0), gpu.Card(1)
    gpu.cards(box, first, second)
    services = {"stt": dict(box.fake("stt"), device="gpu1"), "llm": box.fake("llm")}
    box.study(device="gpu0", **services)
    known = box.run("check", box.file, code=0).out
    for card in (first, second):
        check(f"{card.uuid}, 79.6 GiB" in known, known)
    visible = re.compile(r"CUDA_VISIBLE_DEVICES=(\S*)")
    check(visible.findall(known) == [second.uuid, first.uuid], known)
    check(known.count("CUDA_DEVICE_ORDER=PCI_BUS_ID") == 2, known)
    # A laptop without a driver: said once, exit status 0, numbers in PCI order.
    bare = box.run("check", box.file, code=0, env={"SPICA_NVML_LIBRARY": box.path("none.so")}).out
    check(bare.count("can't be opened here") == 1, bare)
    check(visible.findall(bare) == ["1", "0"], bare)


@scenario(quick=True)
def check_and_run_agree_on_the_command(box):
    box.study(llm=box.disguised("llama-server", "--latency 15ms", knobs={"threads": [1, 2]}),
              baseline={"llm.threads": 2})
    shown = box.run("check", box.file, code=0).out
    box.run("run", box.file, "--trials", "1", lines=-1)
    stored = box.services(1)["llm"]["command"]
    port = re.compile(r"--port \d+")
    dry = port.sub("--port N", stored)
    check(dry in port.sub("--port N", shown), f"{dry}\n{shown}")
    check("--threads 2" in dry, dry)


@scenario(quick=True)
def engines_are_driven_by_their_own_flags(box):
    for engine in ("llama-server", "whisper-server", "faster-whisper-server"):
        name = "stt" if "whisper" in engine else "llm"
        study = {name: box.disguised(engine, "--latency 15ms")}
        box.study(study=engine.replace("-", "_"), **study)
        box.run("run", box.file, "--trials", "1", lines=-1)
        box.expect(1, "ok")
        check(box.services(1)[name]["engine"] == engine, box.services(1))
        box.close_db()


@scenario(quick=True)
def children_carry_what_the_study_says(box):
    # Environment: what the study sets is there, null leaves a variable out, and it is stored.
    service = box.fake("llm", "--latency", "15ms",
                       environment={"OMP_WAIT_POLICY": "PASSIVE", "EDITOR": None})
    box.study(llm=service, measure={"window": "6s"})
    running = box.start("run", box.file, "--trials", "1", env={"EDITOR": "ed"})
    wait_for_service(running)
    from harness import descendants
    table = processes()
    server = [p for p in descendants(running.pid, table)
              if b"--kind" in open(f"/proc/{p}/cmdline", "rb").read()][0]
    env = environment_of(server)
    check(b"OMP_WAIT_POLICY=PASSIVE" in env and b"EDITOR=ed" not in env, env)
    running.signal(signal.SIGINT)
    running.wait()


@scenario(quick=True)
def a_trial_does_not_download(box):
    # The libraries that would are told so, unless the study allows it.
    for name, allowed in (("offline", False), ("online", True)):
        box.study(study=name, llm=box.fake("llm", "--latency", "15ms", allow_download=allowed))
        box.run("run", box.file, "--trials", "1", code=0)
        environment = json.loads(box.services(1)["llm"]["environment"])
        check((environment.get("HF_HUB_OFFLINE") == "1") == (not allowed), environment)
        check(environment.get("CUDA_VISIBLE_DEVICES") == "", environment)
        box.close_db()


if __name__ == "__main__":
    main(__name__)
