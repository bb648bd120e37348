"""Every verdict and pitfall of a GPU, on fake cards (gpu.py): no GPU is needed.

The fake services take memory on the card and work there as real processes; the fake driver's library
shows that to spica. What a scenario provokes at a moment is tied to a request ("--at 20:touch:FILE"),
never to a time.
"""

import os
import re
import signal
import sqlite3
import sys
import time

from gpu import options as gpu_options
from gpu import (GIB, LIBRARY, Card, expect_returned, gpu_disguised, gpu_fake, readings, remove,
                 stranger, study, touch, used_mib)
from harness import FAKE, ROOT, check, main, scenario, skip_unless

sys.path.insert(0, os.path.join(ROOT, "bench"))
import fault_matrix  # noqa: E402

SMALL = "64M"  # below what counts as somebody's memory


def cases(box, kind, table, code=3, **parts):
    """As test_verdicts.cases, on the card: label -> (options of the fake, verdict, what expect() shall
    look for). None of them may leave anything on the card."""
    box.card()
    for label, (options, _, _) in table.items():
        box.write(f"case-{label}", "\n".join(options) + "\n")
    keys = parts.pop("keys", {})
    service = gpu_fake(box, kind, "--script", box.path("case-{case}"), knobs={"case": list(table)},
                       **keys)
    study(box, **{kind: service}, **parts)
    box.run("run", box.file, code=code)
    for label, (_, verdict, more) in table.items():
        mine = [t for t in box.trials() if f"{kind}.case={label}" in t["candidate"].split()]
        check(len(mine) == 1, f"{label}: {len(mine)} trials\n{box.story()}")
        box.expect(mine[0]["number"], verdict, service=kind, **more)
    expect_returned(box)


def stored(box, text):
    """Is that text somewhere in the study's database?"""
    return any(text in line for line in box.db().iterdump())


def trial_count(box):
    """While the study runs."""
    path = os.path.join(box.results, "study.db")
    if not os.path.exists(path):
        return 0
    try:
        db = sqlite3.connect(f"file:{path}?mode=ro", uri=True)
        count = db.execute("SELECT count(*) FROM trial").fetchone()[0]
        db.close()
        return count
    except sqlite3.Error:  # it is just being made
        return 0


def wait_for(condition, what, within=60):
    end = time.monotonic() + within
    while not condition():
        check(time.monotonic() < end, f"no {what} within {within} s")
        time.sleep(0.02)


def running_to(box, flag, *args):
    """Starts the study; returns it once a service has made the file `flag`."""
    running = box.start("run", box.file, *args)
    wait_for(lambda: os.path.exists(flag) or running.poll() is not None, flag)
    return running


# ---- where it ran ----

@scenario(quick=True)
def ok_on_the_card(box):
    card = box.card()
    study(box, stt=gpu_fake(box, "stt", memory="800M"), llm=gpu_fake(box, "llm", memory="20G"))
    box.run("run", box.file, "--trials", "1", lines=-1)
    box.expect(1, "ok")
    services = box.services(1)
    for name, mib in (("stt", 800), ("llm", 20 * 1024)):
        service = services[name]
        check(service["placement"] == "gpu", service)
        check(service["peak_memory_bytes"] == mib << 20, service["peak_memory_bytes"])
        check(card.uuid in service["environment"] and "PCI_BUS_ID" in service["environment"], service)
    seen = readings(box, 1)
    for name in services:  # not what was asked for: what its process has
        words = {r["name"]: r["words"] for r in seen if r["service"] == name}
        check(words["CUDA_VISIBLE_DEVICES"] == card.uuid, words)
        check(words["CUDA_DEVICE_ORDER"] == "PCI_BUS_ID", words)
    free = {r["phase"]: r["value"] for r in seen if r["name"] == "free"}
    check(free["before"] == free["after"] == free["start"] + (20 * GIB) + (800 << 20), free)
    check(stored(box, "listed on gpu0") and stored(box, "of the SMs"), "both pieces of evidence")
    expect_returned(box)


@scenario(quick=True)
def cpu_fallback(box):
    cases(box, "llm", {
        "cpu_build": (["--gpu-cpu-build"], "cpu_fallback", {"says": "not listed on gpu0"}),
        # It holds memory on the card, and computes elsewhere: CPU time is the counter-evidence.
        # On a machine that is too busy to give it half a core, that is no proof.
        "holds_only": (["--gpu-sm 0", "--spin-per-request 700ms"],
                       ("cpu_fallback", "placement_unproven"), {"evidence": "no SM use"}),
    })


@scenario(quick=True)
def cpu_fallback_by_the_services_own_environment(box):
    # CUDA_VISIBLE_DEVICES emptied in the study file, and by a wrapper behind our back: /health is fine.
    box.card()
    box.write("bin/wrapper", f'#!/bin/sh\nCUDA_VISIBLE_DEVICES= exec {FAKE} "$@"\n')
    os.chmod(box.path("bin/wrapper"), 0o755)
    wrapped = gpu_fake(box, "llm")
    wrapped["command"][0] = box.path("bin/wrapper")
    emptied = gpu_fake(box, "llm", environment={"CUDA_VISIBLE_DEVICES": ""})
    for name, service in (("wrapped", wrapped), ("emptied", emptied)):
        study(box, study=name, llm=service)
        box.run("run", box.file, code=3)
        box.expect(1, "cpu_fallback", service="llm", says="not listed on gpu0",
                   evidence="CUDA_VISIBLE_DEVICES" if name == "wrapped" else None)
        check("Device=cpu" in box.services(1)["llm"]["log"], box.services(1))
        check(box.services(1)["llm"]["placement"] == "cpu", box.services(1))
        box.close_db()


@scenario()
def llama_server_without_a_card(box):
    # odysseus-dev/odysseus#831: healthy, and on the CPU.
    box.card()
    study(box, llm=gpu_disguised(box, "llama-server", environment={"CUDA_VISIBLE_DEVICES": ""}))
    box.run("run", box.file, code=3)
    box.expect(1, "cpu_fallback", service="llm")
    check("no usable GPU found" in box.services(1)["llm"]["log"], box.services(1)["llm"])


@scenario(quick=True)
def partial_offload(box):
    box.card()
    study(box, llm=gpu_disguised(box, "llama-server", "--gpu-layers 10/31", memory="300M"))
    box.run("run", box.file, code=3)
    box.expect(1, "partial_offload", service="llm", evidence="10.*31")
    check(box.services(1)["llm"]["placement"] == "partial", box.services(1)["llm"])


@scenario(quick=True)
def placement_unproven(box):
    # It holds memory, and nobody saw it compute: neither the card nor the CPU.
    cases(box, "llm", {"idle": (["--gpu-sm 0"], "placement_unproven", {"evidence": "no SM use"})})


@scenario()
def on_another_card(box):
    # It overrides CUDA_VISIBLE_DEVICES by an index that means another card.
    box.card(Card(0), Card(1))
    study(box, llm=gpu_fake(box, "llm", environment={"CUDA_VISIBLE_DEVICES": "1"}))
    box.run("run", box.file, code=3)
    box.expect(1, "placement_unproven", service="llm", evidence="gpu1")
    expect_returned(box, 1)


# ---- memory ----

@scenario(quick=True)
def oom_at_the_start(box):
    # The second of our own services does not fit beside the first.
    box.card()
    study(box, stt=gpu_fake(box, "stt", memory="20G"),
          llm=gpu_fake(box, "llm", memory="{memory}", knobs={"memory": ["70G", "40G"]}))
    box.run("run", box.file, code=0)
    for trial in box.trials():
        fits = "40G" in trial["candidate"]
        box.expect(trial["number"], "ok" if fits else "oom_start", service=None if fits else "llm",
                   evidence=None if fits else "CUDA out of memory")
    check("40G" in box.decision()["winner"], box.decision())
    expect_returned(box)


@scenario()
def vllm_beside_a_declared_neighbour(box):
    # What the neighbour holds makes it oom_start, with the numbers that the engine printed.
    box.card()
    neighbour = stranger(box, "--gpu-hold", "40G")
    study(box, neighbours=[{"pid": neighbour.pid}],
          llm=gpu_disguised(box, "vllm", knobs={"gpu_memory_utilization": [0.3, 0.7]}))
    box.run("run", box.file, code=0)
    for trial in box.trials():
        if "0.7" in trial["candidate"]:
            box.expect(trial["number"], "oom_start", service="llm",
                       evidence=r"Free memory on device cuda:0 \(3\d\.\d+/79\.\d+ GiB\).*\(0\.7, ")
        else:
            box.expect(trial["number"], "ok")
    check(neighbour.poll() is None, "the neighbour is left alone")
    check(40 << 10 <= used_mib(box) <= 41 << 10, used_mib(box))


@scenario(quick=True)
def oom_under_load(box):
    cases(box, "stt", {
        "dies": (["--gpu-grow 3G"], "oom_load", {"evidence": "CUDA out of memory"}),
        "first": (["--gpu-first 90G"], "oom_load", {"says": "first request"}),
        "lives": (["--gpu-grow 3G", "--gpu-oom-lives"], "oom_load", {"says": "stays alive"}),
    })


@scenario()
def oom_under_load_of_llama_server(box):
    # llama.cpp#13085 and the like: it aborts.
    box.card()
    study(box, llm=gpu_disguised(box, "llama-server", "--gpu-grow 3G"))
    box.run("run", box.file, code=3)
    box.expect(1, "oom_load", service="llm", evidence="cudaMalloc failed: out of memory")
    check(box.services(1)["llm"]["signal"] == 6, box.services(1)["llm"])


@scenario(quick=True)
def oom_of_the_host(box):
    # The kernel killed it while it was on the card: not the card's memory.
    cases(box, "llm", {
        "systemd": (["--at 5:print:llm.service: A process of this unit has been killed by the OOM "
                     "killer.", "--at 5:signal:KILL"], "oom_host", {}),
    })


@scenario()
def memory_that_comes_back_late_is_no_leak(box):
    box.card()
    study(box, llm=gpu_fake(box, "llm", "--gpu-linger", "1s"))
    box.run("run", box.file, "--trials", "1", lines=-1)
    box.expect(1, "ok")
    expect_returned(box)


@scenario()
def leak_of_the_card(box):
    # It is all gone, and the memory is not: nothing more can be measured here.
    box.card()
    study(box, llm=gpu_fake(box, "llm", "--gpu-leak", "2G", "--latency-jitter", "{jitter}",
                            knobs={"jitter": ["0", "0.1"]}))
    result = box.run("run", box.file)
    check(result.code in (4, 5), str(result))
    check(box.verdicts() == ["leak"], box.verdicts())
    box.expect(1, "leak", says="gpu0: 2(,048 MiB|.0 GiB) did not come back|did not come back")
    check("resume" in result.err, result.err)


@scenario()
def a_leak_is_not_the_next_runs_clean_card(box):
    # 50 MiB at each end: the first passes, the second is noticed, and no later run may call that clean.
    box.card()
    study(box, llm=gpu_fake(box, "llm", "--gpu-leak", "50M", "--latency-jitter", "{jitter}",
                            knobs={"jitter": ["0", "0.1", "0.2", "0.3"]}))
    box.run("run", box.file, code=5)
    count = len(box.trials())
    check(box.verdicts()[-1] == "leak" and count == 2, box.verdicts())
    for _ in range(2):
        result = box.run("run", box.file, code=4)
        check(re.search(r"gpu0: 1\d\d MiB more are in use than before the first trial", result.err), result.err)
        check("--fresh" in result.err, result.err)
        check(len(box.trials()) == count, box.verdicts())


def is_second(box):
    """Is the first trial stored, and does a service hold the card again?"""
    path = os.path.join(box.results, "study.db")
    if not os.path.exists(path):
        return False
    db = sqlite3.connect(f"file:{path}?mode=ro", uri=True)
    try:
        return db.execute("SELECT count(*) FROM trial").fetchone()[0] > 0 and used_mib(box) > 2000
    except sqlite3.Error:
        return False
    finally:
        db.close()


@scenario()
def a_leak_is_said_after_a_stop(box):
    box.card()
    study(box, llm=gpu_fake(box, "llm", "--gpu-leak", "{leak}", knobs={"leak": ["1M", "300M"]}),
          baseline={"llm.leak": "1M"}, measure={"window": "4s"})
    running = box.start("run", box.file)
    end = time.monotonic() + 60
    while not is_second(box):
        check(running.poll() is None and time.monotonic() < end, running.output())
        time.sleep(0.02)
    running.signal(signal.SIGINT)
    result = running.wait()
    check(result.code == 5, result)
    check(re.search(r"gpu0: 30\d MiB more are in use than before the first trial", result.err), result)


@scenario()
def an_orphan_that_holds_the_card_is_ended(box):
    # vllm#55510: the front is killed under load, its engine lives on with the memory.
    box.card()
    study(box, llm=gpu_fake(box, "llm", "--fork-setsid", "--gpu-child", "--at", "9:signal:KILL"))
    box.run("run", box.file, code=3)
    box.expect(1, "crashed_load", service="llm")
    expect_returned(box)


@scenario()
def an_engine_process_holds_the_card(box):
    # The front holds nothing: the tree is what counts.
    box.card()
    study(box, llm=gpu_fake(box, "llm", "--fork-child", "--gpu-child", memory="9G"))
    box.run("run", box.file, "--trials", "1", lines=-1)
    box.expect(1, "ok")
    check(box.services(1)["llm"]["peak_memory_bytes"] == 9 * GIB, box.services(1))


# ---- others on the card ----

@scenario(quick=True)
def device_dirty(box):
    box.card()
    other = stranger(box, "--gpu-hold", "5G")
    study(box, llm=gpu_fake(box, "llm"))
    result = box.run("run", box.file, code=4)
    check(f"pid {other.pid}" in result.err and "fake-service" in result.err, result.err)
    check("5,120 MiB" in result.err or "5 GiB" in result.err, result.err)
    check("neighbours" in result.err, "says what to do: " + result.err)
    check(other.poll() is None, "the stranger is left alone")
    check(not any(t["verdict"] == "ok" for t in box.trials()), box.trials())
    other.terminate()
    other.wait()
    box.close_db()
    box.run("run", box.file, "--trials", "2", lines=-1)
    check("ok" in box.verdicts(), box.verdicts())


@scenario()
def a_small_stranger_is_no_dirt(box):
    box.card()
    stranger(box, "--gpu-hold", SMALL)
    study(box, llm=gpu_fake(box, "llm"))
    box.run("run", box.file, "--trials", "1", lines=-1)
    box.expect(1, "ok")


@scenario()
def contended_by_a_stranger_that_grows(box):
    # It takes 3 GiB in the window and gives them back: tried again, then right.
    box.card()
    flag = box.path("flag")
    other = stranger(box, "--gpu-hold", SMALL, "--gpu-when", flag, "--gpu-grow-at", "0:3G",
                     "--gpu-grow-at", "600ms:64M")
    study(box, llm=gpu_fake(box, "llm", "--at", f"10:touch:{flag}"))
    running = box.start("run", box.file)
    wait_for(lambda: running.poll() is not None or trial_count(box) > 0, "a first trial")
    other.terminate()
    running.wait()
    trials = box.trials()
    box.expect(1, "contended", says="memory", evidence=f"pid {other.pid}")
    check([t["retry_of"] for t in trials][:2] == [None, 1], trials)
    box.expect(2, "ok")


@scenario()
def contended_by_a_stranger_that_works(box):
    box.card()
    other = stranger(box, "--gpu-hold", SMALL, "--gpu-sm", "60", "--gpu-work-at", "0")
    # Its share is asked for once a second, and one answer proves nothing.
    study(box, llm=gpu_fake(box, "llm"), measure={"contention": "45%", "window": "6s"})
    box.run("run", box.file, code=5)
    check(box.verdicts() == ["contended"] * 3, box.verdicts())
    box.expect(1, "contended", says="busy, 45 % allowed", evidence=f"pid {other.pid}")
    check(other.poll() is None, "the stranger is left alone")


@scenario()
def a_neighbour_that_works_is_no_contention(box):
    box.card()
    neighbour = stranger(box, "--gpu-hold", "5G", "--gpu-sm", "60", "--gpu-work-at", "0")
    study(box, llm=gpu_fake(box, "llm"), neighbours=[{"pid": neighbour.pid}],
          measure={"contention": "45%"})
    box.run("run", box.file, "--trials", "1", lines=-1)
    box.expect(1, ("ok", "contended"), never=f"pid {neighbour.pid}")


@scenario()
def contended_and_not_out_of_memory(box):
    # A stranger takes the card while ours starts: what was lacking is theirs.
    box.card()
    flag = box.path("flag")
    box.write("bin/late", f'#!/bin/sh\n: > {flag}\nexec {FAKE} "$@"\n')
    os.chmod(box.path("bin/late"), 0o755)
    other = stranger(box, "--gpu-hold", SMALL, "--gpu-when", flag, "--gpu-grow-at", "0:70G")
    service = gpu_fake(box, "llm", "--start-delay", "700ms", memory="20G")
    service["command"][0] = box.path("bin/late")
    study(box, llm=service)
    box.run("run", box.file, lines=-1)
    box.expect(1, "contended", says="took", evidence=f"pid {other.pid}")


@scenario()
def neighbour_harmed(box):
    box.card()
    flag = box.path("flag")
    neighbour = stranger(box, "--gpu-hold", "5G")
    study(box, llm=gpu_fake(box, "llm", "--at", f"10:touch:{flag}"),
          neighbours=[{"pid": neighbour.pid}])
    running = running_to(box, flag)
    neighbour.kill()
    neighbour.wait()
    running.wait()
    box.expect(1, "neighbour_harmed", says=str(neighbour.pid))


@scenario()
def no_winner_without_the_neighbour(box):
    # It stays beside them, says the study: once it is gone, nothing measured is an answer.
    box.card()
    neighbour = stranger(box, "--gpu-hold", "40G")
    flag = box.path("flag")
    service = gpu_fake(box, "llm", "--at", f"10:touch:{flag}", memory="{share}")
    service["knobs"] = {"share": ["2G", "60G"]}
    study(box, llm=service, neighbours=[{"pid": neighbour.pid}])
    running = running_to(box, flag)
    neighbour.kill()
    neighbour.wait()
    result = running.wait()
    check(result.code == 5 and f"pid {neighbour.pid} is not running" in result.err, str(result))
    check("Winner" not in result.out, str(result))
    check(box.verdicts()[-1] == "env_fault", box.verdicts())


@scenario(quick=True)
def no_winner_beside_a_neighbour_that_gave_memory_back(box):
    # As Ollama does after some idle minutes: what then has room has none beside what stays.
    box.card()
    flag = box.path("flag")
    neighbour = stranger(box, "--gpu-hold", "40G", "--gpu-when", flag, "--gpu-grow-at", "0:1G")
    box.write("case-2G", f"--latency 40ms\n--gpu-memory 2G\n--touch-at-end {flag}\n")
    large = ["60G", "61G", "62G"]  # each is tried once, and they stop nothing
    for share in large:
        box.write(f"case-{share}", f"--latency 5ms\n--gpu-memory {share}\n")
    study(box, llm=gpu_fake(box, "llm", "--script", box.path("case-{share}"),
                            knobs={"share": ["2G", *large]}),
          neighbours=[{"pid": neighbour.pid}])
    box.run("run", box.file, lines=-1)
    tried = [t for t in box.trials() if "share=2G" not in t["candidate"]]
    check(len(tried) == len(large) and {t["verdict"] for t in tried} == {"no_room"}, box.story())
    check(all("held since the study began" in t["summary"] for t in tried), box.story())
    check(box.decision(), box.story())


@scenario(quick=True)
def a_resumed_study_knows_what_neighbours_held(box):
    box.card()
    flag = box.path("flag")
    neighbour = stranger(box, "--gpu-hold", "40G", "--gpu-when", flag, "--gpu-grow-at", "0:1G")
    box.write("case-2G", "--latency 40ms\n--gpu-memory 2G\n")
    box.write("case-60G", "--latency 5ms\n--gpu-memory 60G\n--start-delay 1s\n")
    study(box, llm=gpu_fake(box, "llm", "--script", box.path("case-{share}"),
                            knobs={"share": ["2G", "60G"]}),
          neighbours=[{"pid": neighbour.pid}])
    running = box.start("run", box.file)
    wait_for(lambda: running.poll() is not None or trial_count(box) > 0, "a first trial")
    running.popen.send_signal(signal.SIGINT)
    running.wait()
    check(len(box.trials()) == 1, box.trials())
    with open(flag, "w", encoding="ascii"):
        pass
    wait_for(lambda: used_mib(box) < 2048, "memory given back")
    box.close_db()
    box.run("run", box.file, lines=-1)
    large = [t for t in box.trials() if "60G" in t["candidate"]]
    check(large and not any(t["verdict"] in ("ok", "slow") for t in large), box.story())
    check("60G" not in ((box.decision() or {}).get("winner") or ""), box.decision())


@scenario(quick=True)
def a_neighbour_that_grows_at_the_end(box):
    # The last run of the final sees more than the winner's runs did: 60G has no room beside it.
    box.card()
    neighbour = stranger(box, "--gpu-hold", "1G")
    box.write("case-2G", "--latency 40ms\n--gpu-memory 2G\n")
    box.write("case-60G", "--latency 5ms\n--gpu-memory 60G\n")
    study(box, llm=gpu_fake(box, "llm", "--script", box.path("case-{share}"),
                            knobs={"share": ["2G", "60G"]}),
          neighbours=[{"pid": neighbour.pid}])
    box.run("run", box.file, lines=-1)
    check("60G" in box.decision()["winner"], box.decision())
    box.close_db()
    db = sqlite3.connect(os.path.join(box.results, "study.db"))
    # As if it had grown after the winner's last run.
    last = db.execute("SELECT max(number) FROM trial").fetchone()[0]
    name = db.execute("SELECT id FROM text WHERE body = 'neighbours, most'").fetchone()[0]
    changed = db.execute("UPDATE reading SET value = ? WHERE trial = ? AND name = ?",
                         (40.0 * GIB, last, name)).rowcount
    db.commit()
    db.close()
    check(changed == 1, changed)
    result = box.run("run", box.file, code=5)
    check("40.0 GiB on gpu0" in result.err and "nothing is decided" in result.err, str(result))
    box.close_db()
    check(box.decision() is None, "what an earlier run decided is still to be promoted")


@scenario()
def a_neighbour_that_shrinks_in_the_window(box):
    box.card()
    flag = box.path("flag")
    neighbour = stranger(box, "--gpu-hold", "40G", "--gpu-when", flag, "--gpu-grow-at", "0:1G")
    study(box, llm=gpu_fake(box, "llm", "--at", f"10:touch:{flag}"),
          neighbours=[{"pid": neighbour.pid}])
    box.run("run", box.file, "--trials", "2", lines=-1)
    box.expect(1, "contended", says="changed their memory by 39")
    box.expect(2, "ok")  # it has room for the neighbour's most


@scenario(quick=True)
def a_neighbour_that_grows_while_ours_starts(box):
    box.card()
    flag = box.path("flag")
    box.write("bin/late", f'#!/bin/sh\n: > {flag}\nexec {FAKE} "$@"\n')
    os.chmod(box.path("bin/late"), 0o755)
    neighbour = stranger(box, "--gpu-hold", "1G", "--gpu-when", flag, "--gpu-grow-at", "0:70G")
    service = gpu_fake(box, "llm", "--start-delay", "700ms", memory="20G")
    service["command"][0] = box.path("bin/late")
    study(box, llm=service, neighbours=[{"pid": neighbour.pid}])
    box.run("run", box.file, "--trials", "2", lines=-1)
    box.expect(1, "contended", says="declared neighbours on gpu0 took 69")
    box.expect(2, "oom_start")  # beside what it holds now


def worker_killed(box, memory):
    """A neighbour's worker ends in the window of the first trial; its front lives on. Its pid."""
    box.card()
    flag = box.path("flag")
    neighbour = stranger(box, "--gpu-hold", "5G", "--fork-child", "--gpu-child")
    with open(f"/proc/{neighbour.pid}/task/{neighbour.pid}/children", encoding="ascii") as file:
        worker = int(file.read().split()[0])
    study(box, llm=gpu_fake(box, "llm", "--at", f"10:touch:{flag}", memory=memory),
          neighbours=[{"pid": neighbour.pid}])
    running = running_to(box, flag, "--trials", "2")
    os.kill(worker, signal.SIGKILL)
    wait_for(lambda: running.poll() is not None or trial_count(box) > 0, "a first trial")
    check(neighbour.poll() is None, "the front lives")
    running.wait()
    return worker


@scenario(quick=True)
def a_neighbours_worker_ends_by_its_own_plan(box):
    # As fronts do with an idle one: nothing shows that it was our doing, so it is tried again.
    worker_killed(box, "2G")
    box.expect(1, "contended")
    box.expect(2, "ok")


@scenario(quick=True)
def a_neighbours_worker_is_killed_on_a_full_card(box):
    worker = worker_killed(box, "75800M")
    box.expect(1, "neighbour_harmed",
               says=rf"process {worker} \(fake-service, 5,120 MiB on gpu0, 159 MiB free at the least\)")


@scenario(quick=True)
def a_program_of_a_neighbours_name_that_comes_later(box):
    box.card()
    flag = box.path("flag")
    stranger(box, "--gpu-hold", "5G")
    study(box, llm=gpu_fake(box, "llm", "--at", f"10:touch:{flag}"),
          neighbours=[{"command": "fake-service"}], measure={"window": "3s"})
    running = running_to(box, flag)
    later = stranger(box, "--gpu-hold", "9G")
    wait_for(lambda: running.poll() is not None or trial_count(box) > 0, "a first trial")
    later.terminate()
    running.wait()
    box.expect(1, "contended", says="strangers on gpu0", evidence=f"pid {later.pid}")


@scenario(quick=True)
def out_of_memory_by_a_stranger_that_has_left(box):
    # The server takes two seconds to end after it found no memory; who took it is gone by then.
    box.card()
    flag = box.path("flag")
    box.write("bin/slow", f'#!/bin/sh\n: > {flag}\n{FAKE} "$@" &\nown=$!\n'
              'trap "kill $own" TERM\nwait $own\ncode=$?\nsleep 2\nexit $code\n')
    os.chmod(box.path("bin/slow"), 0o755)
    other = stranger(box, "--gpu-hold", SMALL, "--gpu-when", flag, "--gpu-grow-at", "0:70G",
                     "--gpu-grow-at", "1200ms:64M")
    service = gpu_fake(box, "llm", "--start-delay", "700ms", memory="20G")
    service["command"][0] = box.path("bin/slow")
    study(box, llm=service)
    box.run("run", box.file, "--trials", "1", lines=-1)
    box.expect(1, "contended", says="took", evidence=f"pid {other.pid}")
    check(not box.rows("SELECT 1 FROM trial WHERE bound IS NOT NULL"), "a fact was made of it")


@scenario()
def out_of_memory_under_load_beside_a_stranger_that_grows(box):
    box.card()
    flag = box.path("flag")
    other = stranger(box, "--gpu-hold", SMALL, "--gpu-when", flag, "--gpu-grow-at", "0:70G")
    study(box, llm=gpu_fake(box, "llm", "--at", f"5:touch:{flag}", "--gpu-grow", "500M",
                            memory="6G"), measure={"window": "4s"})
    running = box.start("run", box.file)
    wait_for(lambda: running.poll() is not None or trial_count(box) > 0, "a first trial")
    other.terminate()
    running.wait()
    box.expect(1, "contended", evidence=f"pid {other.pid}")


@scenario()
def a_stranger_that_comes_while_services_start(box):
    box.card()
    flag = box.path("flag")
    other = stranger(box, "--gpu-hold", SMALL, "--gpu-when", flag, "--gpu-grow-at", "0:30G")
    study(box, llm=gpu_fake(box, "llm", f"--at", f"1:touch:{flag}"))
    running = box.start("run", box.file)
    wait_for(lambda: running.poll() is not None or trial_count(box) > 0, "a first trial")
    other.terminate()
    running.wait()
    box.expect(1, "contended", says="memory", evidence=f"pid {other.pid}")


@scenario()
def a_stranger_that_works_in_a_short_window(box):
    box.card()
    other = stranger(box, "--gpu-hold", SMALL, "--gpu-sm", "90", "--gpu-work-at", "0")
    study(box, llm=gpu_fake(box, "llm"), measure={"window": "2s", "contention": "50%"})
    box.run("run", box.file, "--trials", "1", lines=-1)
    box.expect(1, "contended", says="busy", evidence=f"pid {other.pid}")


@scenario(quick=True)
def a_stranger_that_worked_early_in_the_window(box):
    # The driver has forgotten it by the window's end.
    box.card(Card(lines=["forget 1"]))
    flag = box.path("flag")
    other = stranger(box, "--gpu-hold", SMALL, "--gpu-sm", "90", "--gpu-when", flag,
                     "--gpu-work-at", "0:4s")
    study(box, llm=gpu_fake(box, "llm", "--at", f"10:touch:{flag}"),
          measure={"window": "7s", "contention": "20%"})
    running = box.start("run", box.file)
    wait_for(lambda: running.poll() is not None or trial_count(box) > 0, "a first trial")
    other.terminate()
    running.popen.send_signal(signal.SIGINT)
    running.wait()
    box.expect(1, "contended", says="strangers on gpu0 kept [0-9]+ % of it busy")


@scenario()
def a_start_race_is_run_again_once_and_named(box):
    # A neighbour gives memory back while vLLM sizes itself: its first start fails, the second does not.
    box.card()
    flag = box.path("flag")
    neighbour = stranger(box, "--gpu-hold", "9G", "--gpu-when", flag, "--gpu-grow-at", "0:1G")
    service = gpu_disguised(box, "vllm", "--gpu-profiles", f"--touch-at-start {flag}",
                            "--start-delay 900ms", gpu_memory_utilization=0.3)
    study(box, llm=service, neighbours=[{"pid": neighbour.pid}])
    box.run("run", box.file, "--trials", "1", lines=-1)
    box.expect(1, "ok", evidence="memory profiling|start race|gave memory back")


# ---- the service ----

@scenario(quick=True)
def hung_and_crashed_on_the_card(box):
    cases(box, "llm", {
        "hangs": (["--from 8:hang"], "hung", {}),
        "probe": (["--from 1:hang"], "hung", {"says": "never answered"}),
        "crashes": (["--at 8:die:3"], "crashed_load", {"says": "exit status 3 under load"}),
        "deaf": (["--from 8:hang", "--ignore-term"], "hung", {}),
    }, load={"llm": {"timeout": "1500ms"}}, measure={"drain": "2s", "probe_within": "1s"},
          keys={"stop_grace": "500ms"})


@scenario()
def recorded_ends_of_vllm(box):
    # A context over the model's; weights that leave no cache; a card that somebody holds.
    box.card()
    recorded = os.path.join(ROOT, "tests/recordings/vllm/")
    for name, verdict, evidence in (("refused-context", "refused", "max_model_len"),
                                    ("no-cache", "oom_start", "cache blocks"),
                                    ("busy-card", "oom_start", r"28\.69/79\.18")):
        study(box, study=name, llm=gpu_fake(box, "llm", "--print-file", f"{recorded}{name}.log",
                                            "--exit-at-start", "1"))
        box.run("run", box.file, code=3)
        box.expect(1, verdict, service="llm", evidence=evidence)
        box.close_db()


@scenario(quick=True)
def a_hint_is_kept(box):
    cases(box, "llm", {"kv": ([
        "--print ValueError: larger than the available KV cache memory (3.18 GiB). Based on the "
        "available memory, the estimated maximum model length is 34736.", "--exit-at-start 1"],
        "oom_start", {"evidence": "34736"})})


# ---- the driver ----

@scenario()
def driver_lost_and_back(box):
    # In the middle of a window; the study goes on where it was once the card is there again.
    box.card()
    flag = box.path("flag")
    study(box, llm=gpu_fake(box, "llm", "--at", f"10:touch:{flag}", "--latency-jitter", "{jitter}",
                            knobs={"jitter": ["0", "0.1"]}))
    running = running_to(box, flag)
    touch(box, "lost")
    result = running.wait()
    check(result.code == 5, str(result))
    check("resume" in result.err and "lost" in result.err, result.err)
    check(not any(v in ("ok", "slow", "crashed_load", "errors") for v in box.verdicts()),
          box.trials())
    remove(box, "lost")
    box.close_db()
    box.run("run", box.file, code=0)
    check(box.decision()["winner"] is not None, box.decision())
    expect_returned(box)


@scenario()
def a_driver_that_hangs(box):
    # A call that never comes back loses the card as Xid 79 does. Before: spica hung with it.
    box.card()
    box.env["SPICA_NVML_WITHIN"] = "2"
    flag = box.path("flag")
    study(box, llm=gpu_fake(box, "llm", "--at", f"10:touch:{flag}", "--latency-jitter", "{jitter}",
                            knobs={"jitter": ["0", "0.1"]}))
    running = running_to(box, flag)
    touch(box, "lost", "hang *\n")
    result = running.wait()
    check(result.code == 5 and "resume" in result.err, str(result))
    check("does not answer" in result.err, result.err)
    check("ok" not in box.verdicts(), box.trials())
    result = box.run("doctor", code=6, lines=0)
    check("does not answer" in result.out, str(result))
    remove(box, "lost")
    box.close_db()
    box.run("run", box.file, code=0)
    check(box.decision()["winner"] is not None, box.decision())
    expect_returned(box)


@scenario()
def driver_unloaded_under_load(box):
    # 9: no driver is loaded any more; every call says so.
    box.card()
    flag = box.path("flag")
    study(box, llm=gpu_fake(box, "llm", "--at", f"10:touch:{flag}"))
    running = running_to(box, flag)
    touch(box, "lost", "fail * 9\n")
    result = running.wait()
    check(result.code == 5 and "resume" in result.err, str(result))
    check("ok" not in box.verdicts(), box.trials())


@scenario(quick=True)
def no_driver(box):
    box.card()
    study(box, llm=gpu_fake(box, "llm"))
    result = box.run("run", box.file, env={"SPICA_NVML_LIBRARY": box.path("nowhere.so")})
    check(result.code not in (0, 3) and len(result.err.splitlines()) == 1, str(result))
    check("gpu0" in result.err and "driver" in result.err, result.err)
    box.study(llm=box.fake("llm", "--latency", "15ms"))
    box.run("run", box.file, "--trials", "1", lines=-1,
            env={"SPICA_NVML_LIBRARY": box.path("nowhere.so")})
    box.expect(1, "ok")


@scenario(quick=True)
def a_driver_that_refuses(box):
    # 18: the library does not fit the loaded driver, as after an update without a restart.
    box.card(script="fail nvmlInit 18\n")
    study(box, llm=gpu_fake(box, "llm"))
    result = box.run("run", box.file)
    check(result.code not in (0, 3) and len(result.err.splitlines()) == 1, str(result))
    check("mismatch" in result.err, result.err)


@scenario()
def older_drivers(box):
    # Their lists and samples have other layouts; where they tell no process's share, the card's is used.
    built = os.path.join(os.path.dirname(LIBRARY), "../unit/device")
    for generation in (3, 2):
        library = os.path.join(built, f"libfake-nvml-{generation}.so")
        skip_unless(os.path.exists(library), f"{library} is not built")
        box.card()
        study(box, study=f"g{generation}", llm=gpu_fake(box, "llm", memory="9G"))
        box.run("run", box.file, "--trials", "1", lines=-1, env={"SPICA_NVML_LIBRARY": library})
        box.expect(1, "ok")
        check(box.services(1)["llm"]["peak_memory_bytes"] == 9 * GIB, box.services(1))
        box.close_db()


# ---- cards ----

@scenario()
def a_card_per_candidate(box):
    cards = Card(0), Card(1, total_mib=24576, name="NVIDIA A10")
    box.card(*cards)
    study(box, llm=gpu_fake(box, "llm", memory="9G", knobs={"device": ["gpu0", "gpu1"]}))
    box.run("run", box.file, code=0)
    seen = set()
    for trial in box.trials():
        box.expect(trial["number"], "ok")
        number = 0 if "gpu0" in trial["candidate"] else 1
        service = box.services(trial["number"])["llm"]
        check(cards[number].uuid in service["environment"], service)
        check(service["placement"] == "gpu", service)
        seen.add(number)
    check(seen == {0, 1}, seen)
    expect_returned(box, 0)
    expect_returned(box, 1)


@scenario()
def a_mig_instance(box):
    card = Card(0, lines=["mig 1"], instances=[10240, 10240])
    box.card(card)
    study(box, llm=gpu_fake(box, "llm", memory="4G"), device=card.instances[1])
    box.run("run", box.file, "--trials", "1", lines=-1)
    box.expect(1, "ok")
    check(card.instances[1] in box.services(1)["llm"]["environment"], box.services(1))
    study(box, study="whole", llm=gpu_fake(box, "llm"))
    result = box.run("run", box.file)
    check(result.code not in (0, 3) and card.instances[0] in result.err, str(result))


@scenario()
def mps_and_modes_are_noticed(box):
    box.card(Card(0, lines=["mode 2"]))
    study(box, llm=gpu_fake(box, "llm"))
    result = box.run("run", box.file, code=4)
    check("Prohibited" in result.err, result.err)
    server = box.helper("/bin/sleep", "300")
    box.card(Card(0, lines=["mode 3", f"process m {server.pid} 10"]))
    result = box.run("check", box.file, code=0)
    check("MPS is on" in result.text and "Exclusive" in result.text, str(result))
    # Before: said at the start, and nowhere else.
    box.card(Card(0, lines=["mode 3"]))
    box.run("run", box.file, "--trials", "1", lines=-1)
    shown = box.run("show", box.file, "--trial", "1", code=0).out
    check("compute mode Exclusive" in shown, shown)


@scenario()
def a_recorded_card(box):
    # The trace of a real machine: somebody holds the card, whoever looks at whatever time.
    trace = os.path.join(ROOT, "tests/recordings/nvml/whisper-cpu.txt")
    box.card()
    holder = stranger(box, "--gpu-hold", "0")
    box.card(Card(0, lines=[f"trace {trace}", f"map 8256 {holder.pid}"]))
    study(box, llm=gpu_fake(box, "llm"))
    result = box.run("run", box.file, code=4)
    check("25,742 MiB" in result.err or "25.1 GiB" in result.err, result.err)


@scenario()
def a_second_probe_only_while_it_can_be_decided(box):
    # Listed, and no work seen: a quick service is asked again, a slow one can't be within 3 s of its answer.
    box.card()
    log = box.path("asked")
    study(box, llm=gpu_fake(box, "llm", "--latency", "1200ms", *[
        text for n in range(1, 5) for text in ("--at", f"{n}:touch:{log}-{n}")], sm=0))
    box.run("run", box.file, code=3)
    box.expect(1, "placement_unproven", service="llm")
    asked = [n for n in range(1, 5) if os.path.exists(f"{log}-{n}")]
    fallback = len(box.requests(1, "llm", mode="fallback"))
    check(fallback > 0 and len(asked) - fallback == 1, (asked, fallback))


# ---- public reports of theme C and D, on a card ----

@scenario()
def ollama_tells_where_its_model_lies(box):
    # /api/ps: size_vram below size is partial, 0 is no word for the card; the runner's log says nothing.
    program = os.path.join(box.bin, "ollama")
    os.symlink(FAKE, program)
    plain = ["--life 300s", "--latency 15ms"]
    card = [f"{a} {b}" for a, b in zip(*[iter(gpu_options(box, "300M"))] * 2)]
    for name, more in (("all", card), ("some", card + ["--gpu-layers 10/31"]),
                       ("none", card + ["--gpu-cpu-build"])):
        box.write(f"ollama-{name}", "\n".join(plain + more) + "\n")
    box.card()
    study(box, llm={"engine": "ollama", "program": program, "model": "fake-model", "on": "gpu",
                    "environment": {"FAKE_SERVICE_SCRIPT": box.path("ollama-{where}")},
                    "knobs": {"where": ["all", "some", "none"]}, "stop_grace": "5s", "ready": {"within": "20s"}})
    box.run("run", box.file, lines=-1)
    seen = {}
    for trial in box.trials():
        if trial["purpose"] == "explore":
            where = trial["candidate"].split("llm.where=")[1].split()[0]
            seen[where] = trial["verdict"]
            if where == "some":
                box.expect(trial["number"], "partial_offload", service="llm", evidence=r"device memory \(32 %\)")
    check(seen == {"all": "ok", "some": "partial_offload", "none": "cpu_fallback"}, box.story())


@scenario()
def llama_cpp_13085_out_of_memory_and_silent(box):
    # It says so at its first request, stays up and answers nothing: not slow, and not merely hung.
    box.card()
    study(box, llm=gpu_fake(box, "llm", "--at", "1:print:CUDA error: out of memory", "--at", "1:hang",
                            "--ignore-term", stop_grace="300ms"), measure={"probe_within": "2s"})
    box.run("run", box.file, code=3)
    box.expect(1, "oom_load", service="llm", evidence="CUDA error: out of memory")
    box.expect_clean()
    expect_returned(box)


@scenario()
def ollama_8426_layers_vary_across_repeats(box):
    # Whole while exploring and in the first run of the final, 49 of 63 layers in the next: no winner, and
    # the one that is whole each time wins although it is slower.
    box.card()
    box.write("bin/now-and-then", f"""#!/bin/sh
case "$*" in *"--seed 9 "*) exec {FAKE} "$@" ;; esac
echo x >> {box.path("starts")}
if [ "$(wc -l < {box.path("starts")})" -ge 3 ]; then
    exec {FAKE} "$@" --gpu-layers 49/63
fi
exec {FAKE} "$@" --gpu-layers 63/63
""")
    os.chmod(box.path("bin/now-and-then"), 0o755)
    service = gpu_fake(box, "llm", "--seed", "{case}", "--latency", "{case}0ms", knobs={"case": [4, 9]})
    service["command"][0] = box.path("bin/now-and-then")
    study(box, llm=service, search={"finalists": 2})
    box.run("run", box.file, lines=-1)
    partial = [t for t in box.trials() if t["verdict"] == "partial_offload"]
    check(partial and all(t["purpose"] == "final" and "case=4" in t["candidate"] for t in partial), box.story())
    check((box.decision()["winner"] or "") == "llm.case=9", box.decision())


@scenario()
def ollama_6031_a_slow_load_is_no_failure(box):
    # /health says 503 while memory on the card grows; ready within what the study allows, and the load's
    # time is in no latency. With less time allowed it is not_ready and no crash.
    box.card()
    service = gpu_fake(box, "llm", "--loading", "3s", "--gpu-grow-at", "500ms:3G", "--gpu-grow-at", "1500ms:5G",
                       "--gpu-grow-at", "2500ms:9G")
    study(box, llm=service)
    box.run("run", box.file, "--trials", "1", lines=-1)
    box.expect(1, "ok")
    check(box.metric(1, "llm", "ready") >= 3 and box.metric(1, "llm", "latency", "p50") < 1, box.story())
    check(box.services(1)["llm"]["peak_memory_bytes"] == 9 * GIB, box.services(1))
    box.close_db()
    service["ready"] = {"http": "/health", "within": "2s"}
    study(box, llm=service, study="hasty")
    box.run("run", box.file, code=3)
    box.expect(1, "not_ready", service="llm")


# ---- the matrix of faults, one seed of each (bench/faults.py runs twenty) ----

def one_fault(name):
    def fault(box):
        outcome = fault_matrix.run_one(box, name, 1 + len(name))
        check(not outcome["problems"], "\n".join(outcome["problems"]))
        check(not outcome["false_winner"], "the faulty candidate won")
        check(outcome["left"] == 0 and outcome["back"], outcome)
    fault.__name__ = "fault_" + name
    return scenario()(fault)


for each in fault_matrix.FAULTS:
    one_fault(each)


if __name__ == "__main__":
    main(__name__)
