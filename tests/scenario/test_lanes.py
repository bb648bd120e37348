"""Several lanes on fake cards: the same study as in one lane, one trial per card at a time, and nothing
left whoever is killed; and what two trials on one card would do to each other."""

import json
import os
import random
import re
import signal
import sqlite3
import time

from gpu import Card, expect_returned, gpu_fake, stranger, study, touch
from harness import alive, check, main, processes, scenario

PAIR = ["gpu0", "gpu1"]
KNOBS = {"n": [1, 2, 3]}


def pair(box, second=None):
    box.card(Card(0), second or Card(1))


def two_services(box, *options, **parts):
    """Fitness follows from the values: {n} of stt and {m} of llm are latencies."""
    parts.setdefault("device", PAIR)
    study(box,
          stt=gpu_fake(box, "stt", "--latency", "{n}0ms", *options, memory="800M", knobs={"n": [2, 4]}),
          llm=gpu_fake(box, "llm", "--latency", "{m}0ms", *options, memory="4G",
                       knobs={"m": [3, 6, 9]}),
          baseline={"stt.n": 4, "llm.m": 6}, **parts)


def measured(box):
    """What was asked for and answered, whatever the order."""
    return sorted((t["purpose"], t["round"], t["repeat"], t["candidate"], t["verdict"])
                  for t in box.trials())


def devices_of(box, trial):
    return {row["device"] for row in box.rows(
        "SELECT d.body AS device FROM service s JOIN text d ON d.id = s.device WHERE trial = ?", trial)}


def begun(box):
    return box.rows("SELECT number, started_wall_us, duration_s FROM trial ORDER BY number")


def lanes_of(pid):
    return [p for p, (parent, state, name) in processes().items()
            if parent == pid and name == "spica-lane" and state not in "ZX"]


def stored(box):
    """While the study runs."""
    path = os.path.join(box.results, "study.db")
    try:
        db = sqlite3.connect(f"file:{path}?mode=ro", uri=True)
        count = db.execute("SELECT count(*) FROM trial").fetchone()[0]
        db.close()
        return count
    except sqlite3.Error:
        return 0


def wait_for(condition, running, what):
    end = time.monotonic() + 90
    while not condition():
        check(running.poll() is None and time.monotonic() < end,
              f"no {what}\n{running.output()}")
        time.sleep(0.02)


def expect_one_at_a_time(box):
    """On each card trials follow each other; on both together some run beside each other."""
    spans = {}
    for t in begun(box):
        used = devices_of(box, t["number"])
        check(len(used) == 1, f"trial {t['number']} used {used}")
        begin = t["started_wall_us"]
        spans.setdefault(used.pop(), []).append((begin, begin + int(1e6 * t["duration_s"])))
    check(set(spans) == set(PAIR), f"cards used: {set(spans)}")
    for card, list_ in spans.items():
        list_.sort()
        for before, after in zip(list_, list_[1:]):
            check(before[1] <= after[0] + 20000, f"two at once on {card}: {list_}")
    check(any(a[0] < b[1] and b[0] < a[1] for a in spans["gpu0"] for b in spans["gpu1"]),
          f"never two at once: {spans}")


@scenario(quick=True)
def two_lanes_as_one(box):
    pair(box)
    two_services(box, study="one")
    one = box.run("run", box.file, code=0)
    check("only gpu0 is used; all 2 at once: --max-parallel 2" in one.out, one)
    wanted, decided = measured(box), box.decision()
    check(all(devices_of(box, t["number"]) == {"gpu0"} for t in box.trials()), box.story())
    box.close_db()
    two_services(box, study="two")
    two = box.run("run", box.file, "--max-parallel", "2", code=0)
    check("2 trials at once, one each on gpu0, gpu1" in two.out, two)
    check(measured(box) == wanted, f"{measured(box)}\nnot {wanted}\n{box.story()}")
    check(box.decision()["winner"] == decided["winner"], box.decision())
    numbers = [t["number"] for t in box.trials()]
    check(numbers == list(range(1, len(numbers) + 1)), numbers)
    for card in PAIR:
        starts = [t["started_wall_us"] for t in begun(box) if card in devices_of(box, t["number"])]
        check(starts == sorted(starts), f"numbers do not rise with the starts on {card}: {starts}")
    expect_one_at_a_time(box)
    names = {row["body"] for row in box.rows("SELECT DISTINCT d.body FROM reading r "
                                             "JOIN text d ON d.id = r.device")}
    check(names == set(PAIR), f"readings of {names}")
    for index in (0, 1):
        expect_returned(box, index)


@scenario()
def rounds_wait_for_each_other(box):
    pair(box)
    search = {"strategy": "tournament", "finalists": 1, "trials": 12}
    results = []
    for lanes in (1, 2):
        two_services(box, study=f"lanes{lanes}", search=search)
        box.run("run", box.file, "--max-parallel", lanes, code=0)
        results.append((measured(box), box.decision()["winner"]))
        box.close_db()
    check(results[0][1] == results[1][1], results)
    # Near ties may rank otherwise: how many of each round is the plan's.
    counts = [sorted((row[0], row[1]) for row in result[0]) for result in results]
    check(counts[0] == counts[1], counts)


@scenario(quick=True)
def refused(box):
    pair(box)
    two_services(box)
    reason = "one trial per device, since two on one measure each other"
    result = box.run("run", box.file, "--max-parallel", "3", code=2)
    check(reason in result.err and "(gpu0, gpu1)" in result.err, result)
    check("spica run --show-contention" in result.err, result)
    two_services(box, device="gpu0")
    result = box.run("run", box.file, "--max-parallel", "2", code=2)
    check(reason in result.err, result)
    for text in ("0", "two", "-1"):
        box.run("run", box.file, "--max-parallel", text, code=2)
    uuid = Card(0).uuid
    two_services(box, device=["gpu0", uuid])
    result = box.run("run", box.file, "--max-parallel", "2", code=2)
    check(f"gpu0 and {uuid} are one device" in result.err, result)
    pair(box, Card(1, total_mib=40960, name="NVIDIA A100-PCIE-40GB"))
    two_services(box)
    result = box.run("run", box.file, "--max-parallel", "2", code=2)
    check("are no equals" in result.err and "A100" in result.err, result)
    check(not os.path.exists(box.results), "something was made")


def begin(box, *options, until=2):
    pair(box)
    two_services(box, *options)
    running = box.start("run", box.file, "--max-parallel", "2")
    wait_for(lambda: stored(box) >= until and len(lanes_of(running.pid)) == 2, running, "trials")
    return running


def expect_resumes(box, lanes=2):
    """To the whole study, as if nothing had been."""
    box.expect_clean()
    for index in (0, 1):
        expect_returned(box, index)
    box.run("run", box.file, "--max-parallel", lanes, code=0)
    keys = [row[:4] for row in measured(box)]
    check(len(keys) == len(set(keys)), f"measured twice: {keys}")
    check(sum(1 for k in keys if k[0] == "explore") == 5, keys)
    check(sum(1 for k in keys if k[0] == "final") == 6, keys)
    check(box.decision()["winner"] == "stt.n=2 llm.m=3", box.decision())


@scenario(quick=True)
def parent_killed(box):
    running = begin(box)
    lanes = lanes_of(running.pid)
    running.signal(signal.SIGKILL)
    running.wait()
    box.expect_clean()
    check(not any(alive(pid) for pid in lanes), "a lane outlived its parent")
    expect_resumes(box)


@scenario()
def parent_killed_and_resumed_in_one_lane(box):
    running = begin(box, until=5)
    running.signal(signal.SIGKILL)
    running.wait()
    expect_resumes(box, lanes=1)


@scenario()
def begun_in_one_lane(box):
    # Before: the study's row kept one device, so a third could take the second's place unseen.
    pair(box)
    two_services(box)
    box.run("run", box.file, "--trials", "1", lines=-1)
    box.close_db()
    box.run("run", box.file, "--max-parallel", "2", "--trials", "3", lines=-1)
    row = box.rows("SELECT device_id FROM study")[0]["device_id"]
    check(row == f"{Card(0).uuid} + {Card(1).uuid}", row)
    box.close_db()
    pair(box, Card(7))
    result = box.run("run", box.file, "--max-parallel", "2", code=2)
    check("measured on other devices" in result.err, result.err)


@scenario()
def lane_killed(box):
    running = begin(box)
    os.kill(lanes_of(running.pid)[1], signal.SIGKILL)
    result = running.wait()
    check(result.code == 1, result)
    check(re.search(r"the lane on gpu[01] ended \(signal 9\)( during trial \d+, which is lost)?; run "
                    r"again to resume", result.err), result)
    expect_resumes(box)


@scenario()
def killed_again_and_again(box):
    # Whoever is killed, and whenever: nothing is left, and the study comes to its end.
    pair(box)
    two_services(box)
    chance = random.Random(4)
    for i in range(8):
        running = box.start("run", box.file, "--max-parallel", "2")
        end = time.monotonic() + chance.uniform(0.2, 4)
        while time.monotonic() < end and running.poll() is None:
            time.sleep(0.02)
        lanes = lanes_of(running.pid)
        victims = [[running.pid], lanes[:1], lanes[1:], [running.pid] + lanes][i % 4]
        for pid in victims:
            try:
                os.kill(pid, signal.SIGKILL)
            except ProcessLookupError:
                pass
        running.wait()
        box.expect_clean()
        for index in (0, 1):
            expect_returned(box, index)
    expect_resumes(box)


@scenario(quick=True)
def stopped(box):
    running = begin(box)
    running.signal(signal.SIGINT)
    result = running.wait()
    check(result.code == 5 and "stopped" in result.err, result)
    expect_resumes(box)


@scenario()
def stopped_at_once(box):
    # Services that are deaf to TERM, with a grace that would outlast the scenario.
    pair(box)
    service = gpu_fake(box, "llm", "--ignore-term", "--seed", "{n}", memory="1G", knobs=KNOBS, stop_grace="300s")
    study(box, device=PAIR, llm=service, measure={"window": "30s"})
    running = box.start("run", box.file, "--max-parallel", "2")
    wait_for(lambda: len(lanes_of(running.pid)) == 2 and
             sum(name == "fake-service" for _, _, name in processes().values()) >= 2, running,
             "services")
    running.signal(signal.SIGINT)
    time.sleep(0.3)
    running.signal(signal.SIGINT)
    result = running.wait(60)
    check(result.code == 5, result)
    box.expect_clean()


@scenario()
def terminal(box):
    # ^C reaches the whole foreground group: it still counts once.
    pair(box)
    two_services(box)
    pressed = []

    def press(text, pid):
        if not pressed and "gpu1" in text and "measuring" in text:
            pressed.append(pid)
            os.kill(pid, signal.SIGINT)
    code, text = box.terminal("run", box.file, "--max-parallel", "2", on_output=press)
    check(code == 5 and pressed, text)
    check(re.search(r"\d+  gpu0 ", text) and re.search(r"\d+  gpu1 ", text), text)


@scenario()
def one_card_is_held(box):
    # A stranger on the second card: its trial ends as device_dirty, and the study stops.
    pair(box)
    box.env["CUDA_VISIBLE_DEVICES"] = Card(1).uuid
    stranger(box, "--gpu-hold", "5G")
    del box.env["CUDA_VISIBLE_DEVICES"]
    two_services(box)
    result = box.run("run", box.file, "--max-parallel", "2", code=4)
    check("gpu1 is held by" in result.err, result)


@scenario()
def unequal_neighbours_are_refused(box):
    # What fits beside nobody on one card does not fit beside 40 GiB on the other.
    pair(box)
    neighbour = stranger(box, "--gpu-hold", "40G")
    study(box, device=PAIR, neighbours=[{"pid": neighbour.pid}],
          llm=gpu_fake(box, "llm", memory="{n}G", knobs={"n": [2, 3, 60, 61]}))
    result = box.run("run", box.file, "--max-parallel", "2", code=2)
    check(re.search(r"3\d\.\d+ GiB are left on gpu0 and 7\d\.\d+ GiB on gpu1", result.err), result)
    check("run without --max-parallel" in result.err, result)
    check(not os.path.exists(box.results), "something was made")


@scenario()
def the_driver_loses_the_cards(box):
    running = begin(box)
    touch(box, "lost")
    result = running.wait()
    check(result.code == 5, result)
    box.expect_clean()


@scenario(alone=True)
def lanes_are_no_strangers_to_each_other(box):
    # Services that burn all cores in both lanes. The machine's other users may disturb them, but
    # neither lane calls the other's work contention.
    pair(box)
    study(box, device=PAIR, measure={"contention": "20%"},
          llm=gpu_fake(box, "llm", "--spin", os.cpu_count(), "--seed", "{n}", memory="1G", knobs=KNOBS))
    box.run("run", box.file, "--max-parallel", "2")
    check(box.trials(), box.story())
    for trial in box.trials():
        texts = [trial["summary"] or ""] + [e["body"] or "" for e in box.evidence(trial["number"])]
        check(not any(re.search(r"(fake-service|spica[^ ]*) \(pid", text) for text in texts), texts)


@scenario(alone=True)
def lanes_that_measure_the_cpu_contend(box):
    # The CPU is one device for both lanes: what is measured there is disturbed by the other one.
    pair(box)
    study(box, device=PAIR, measure={"contention": "25%", "window": "2s"},
          llm=gpu_fake(box, "llm", memory="1G"),
          stt=box.fake("stt", "--latency", "{n}ms", "--spin", os.cpu_count(), on="cpu",
                       knobs={"n": list(range(10, 20))}))
    box.run("run", box.file, "--max-parallel", "2", code=5)
    said = [t["summary"] for t in box.trials() if t["verdict"] == "contended"]
    check(any("fake-service (pid" in text for text in said), box.story())


@scenario()
def each_card_has_its_lock(box):
    running = begin(box)
    study(box, study="other", device="gpu1", llm=gpu_fake(box, "llm"), file=False)
    other = box.study(study="other", device="gpu1", llm=gpu_fake(box, "llm"))
    check(other["device"] == "gpu1", other)
    result = box.run("run", box.file, code=4)
    check("gpu1 is busy" in result.err and "trial " in result.err, result)
    running.signal(signal.SIGINT)
    running.wait()


# ---- why not more ----

def contention_of(box):
    rows = box.rows("SELECT kind, detail FROM event WHERE kind = 'contention'")
    check(len(rows) == 1, rows)
    return json.loads(rows[0]["detail"])


def row_of(result, service, metric, stat=""):
    return next(r for r in result["metrics"]
                if (r["service"], r["metric"], r["stat"]) == (service, metric, stat))


@scenario(quick=True)
def contention_is_shown(box):
    # Fakes that share a device are three times as slow while others there are busy.
    os.mkdir(box.path("share"))
    share = ["--share-dir", box.path("share"), "--share-factor", "3", "--name", "{port}"]
    box.study(stt=box.fake("stt", "--latency", "{n}0ms", *share, knobs={"n": [2, 4]}),
              baseline={"stt.n": 4})
    result = box.run("run", box.file, "--show-contention", "--copies", "3", code=0)
    check("stt.n=4 on cpu, alone and beside copies of itself" in result.out, result)
    check("stt: 3 of 3 copies ran beside it" in result.out, result)
    shown = contention_of(box)
    latency = row_of(shown, "stt", "latency", "p50")
    check(latency["ratio"]["value"] > 1.5, latency)
    for key in ("alone", "crowded", "ratio"):
        v = latency[key]
        check(v["low"] <= v["value"] <= v["high"], latency)
    check([w["crowded"] for w in shown["windows"]] == [False, True, False, True], shown)
    check(box.trials() == [], "a trial was stored")
    # The study itself goes on as if nothing had been.
    box.run("run", box.file, code=0)
    check(box.trials()[0]["number"] == 1 and box.decision() is not None, box.story())


@scenario()
def copies_that_do_not_fit_are_named(box):
    # 80 GiB: the candidate and two copies of 25 GiB.
    box.card()
    study(box, llm=gpu_fake(box, "llm", memory="25G"))
    result = box.run("run", box.file, "--show-contention", code=0)
    check(re.search(r"llm: 2 of 10 copies ran beside it; llm~4: oom_start: ", result.out), result)
    shown = contention_of(box)
    check(shown["services"][0]["copies"] == 2, shown)
    check(row_of(shown, "llm", "latency", "p50")["ratio"]["value"], shown)
    expect_returned(box)


@scenario()
def contention_refused(box):
    box.study(stt=box.fake("stt", "--seed", "{n}", knobs=KNOBS), llm=box.fake("llm"))
    for args, says in ((["--copies", "3"], "goes with --show-contention"),
                       (["--show-contention", "--copies", "0"], "whole number"),
                       (["--show-contention", "--copies", "16"], "room for 15 copies"),
                       (["--show-contention", "--fresh"], "--fresh has no meaning"),
                       (["--show-contention", "--max-parallel", "2"], "--max-parallel has no")):
        result = box.run("run", box.file, *args, code=2)
        check(says in result.err, result)
    box.study(stt=box.fake("stt", "--exit-at-start", "1"))
    result = box.run("run", box.file, "--show-contention", "--copies", "2", code=3, lines=1)
    check("could not be measured even alone: crashed_start" in result.err, result)


if __name__ == "__main__":
    main(__name__)
