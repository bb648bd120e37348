"""The faults of bench/faults.py: one study per fault and seed, on a fake card.

The seed decides which service is at fault, how many candidates there are and where the faulty one stands
among them, when the fault strikes and how much memory is at stake. With an even seed the faulty candidate
answers fastest, so that it wins whenever its failure goes unseen; with an odd one it would not.

A fault says what the faulty candidate's fake service does (options), what else is on the card, and what
must come out: the verdict of each of its trials, or of the last one where the study has to stop.
"""

import dataclasses
import os
import random
import typing

import gpu
from harness import check

MIB = 1 << 20


@dataclasses.dataclass
class Case:
    """One study of the matrix, while it is put together."""
    box: object
    random: random.Random
    kind: str           # the service at fault
    card: gpu.Card
    request: int        # at which request it strikes, the probe being 1; a busy machine gets there, too
    memory_mib: int     # what the service holds on the card
    options: list       # of the faulty candidate's fake
    before: list = dataclasses.field(default_factory=list)   # of the candidate before it
    parts: dict = dataclasses.field(default_factory=dict)    # of the study file
    keys: dict = dataclasses.field(default_factory=dict)     # of the service at fault
    strangers: list = dataclasses.field(default_factory=list)
    measure: dict = dataclasses.field(default_factory=dict)
    real_limit: bool = True  # may a memory cgroup be made here?

    @property
    def free_mib(self):
        return self.card.total_mib - self.card.reserved_mib


@dataclasses.dataclass(frozen=True)
class Fault:
    verdict: str
    inject: typing.Callable
    stops: int = 0         # the exit status with which the study has to stop there
    tries: int = 1         # trials of the faulty candidate
    whole: bool = False    # the verdict is about no service
    comes_back: bool = True  # the card's memory


def oom_start(case):
    if case.random.random() < 0.5:  # more than the card has, or than is left beside a neighbour
        case.options += [f"--gpu-memory {case.free_mib + case.random.randint(1, 9000)}M"]
        return
    held = case.free_mib - case.memory_mib - case.random.randint(2000, 5000)
    neighbour = gpu.stranger(case.box, "--gpu-hold", f"{held}M")
    case.parts["neighbours"] = [{"pid": neighbour.pid}]
    case.options += [f"--gpu-memory {case.memory_mib + 6000}M"]


def oom_load(case):
    way = case.random.choice(["grows", "first", "lives"])
    step = case.free_mib // case.request + 1
    case.options += {"grows": [f"--gpu-grow {step}M"],
                     "first": [f"--gpu-first {case.free_mib}M"],
                     "lives": [f"--gpu-grow {step}M", "--gpu-oom-lives"]}[way]


def oom_host(case):
    """The kernel kills it at its memory limit; in one run of four its unit's manager did and said so."""
    if case.real_limit and case.random.random() < 0.75:
        case.keys["memory_limit"] = "96MiB"
        case.options += [f"--grow {128 // case.request + 1}M"]
        return
    n = case.request
    case.options += [f"--at {n}:print:llm.service: A process of this unit has been killed by the OOM "
                     "killer.", f"--at {n}:signal:KILL"]


def cpu_fallback(case):
    if case.random.random() < 0.5:
        case.options += ["--gpu-cpu-build"]
        return
    # The candidate's own wrapper takes the card away from it.
    case.box.write("bin/wrapper", '#!/bin/sh\ncase "$*" in *case-bad*) export CUDA_VISIBLE_DEVICES=;; esac\n'
                   f'exec {gpu.FAKE} "$@"\n')
    os.chmod(case.box.path("bin/wrapper"), 0o755)
    case.keys["program"] = case.box.path("bin/wrapper")


def partial_offload(case):
    layers = case.random.randint(12, 80)
    case.options += [f"--gpu-layers {case.random.randint(1, layers - 1)}/{layers}",
                     f"--gpu-memory {case.memory_mib // 3}M"]


def placement_unproven(case):
    case.options += ["--gpu-sm 0"]


def hung(case):
    case.options += [f"--from {min(case.request, 5)}:" +
                     case.random.choice(["hang", "mute", "stall-headers", "hang:503"])]
    case.options += case.random.choice([[], ["--ignore-term"]])


def crashed_load(case):
    case.options += [f"--at {case.request}:" +
                     case.random.choice(["die:3", "die:0", "signal:SEGV", "signal:ABRT", "signal:KILL"])]


def leak(case):
    case.options += [f"--gpu-leak {case.random.randint(200, case.memory_mib)}M"]


def contended(case):
    """Each time that the candidate is measured, a stranger takes memory for a moment, or works."""
    flag = case.box.path("flag")
    if case.random.random() < 0.5:
        does = ["--gpu-grow-at", f"0:{case.random.randint(300, 4000)}M", "--gpu-grow-at", "400ms:32M"]
    else:
        # The bound is for the machine's own CPU, too, which other studies keep busy meanwhile.
        does = ["--gpu-sm", "100", "--gpu-work-at", f"0:{case.random.randint(400, 700)}ms"]
        case.measure["contention"] = "99%"
    case.strangers.append(gpu.stranger(case.box, "--gpu-hold", "32M", "--gpu-when", flag, *does))
    # Early, so that it is over with the window: later it would be the next trial's.
    case.options += [f"--at {min(case.request, 8)}:touch:{flag}"]


def device_dirty(case):
    """A stranger is there before the study, or comes when the candidate before has been measured."""
    size = f"{case.random.randint(100, 9000)}M"
    flag = case.box.path("flag")
    if case.random.random() < 0.5:
        case.strangers.append(gpu.stranger(case.box, "--gpu-hold", size))
        return
    case.strangers.append(gpu.stranger(case.box, "--gpu-hold", "0", "--gpu-when", flag,
                                       "--gpu-grow-at", f"0:{size}"))
    case.before += [f"--touch-at-end {flag}"]


def driver_lost(case):
    case.options += [f"--at {case.request}:touch:{gpu.world(case.box, 'lost')}"]


FAULTS = {
    "oom_start": Fault("oom_start", oom_start),
    "oom_load": Fault("oom_load", oom_load),
    "oom_host": Fault("oom_host", oom_host),
    "cpu_fallback": Fault("cpu_fallback", cpu_fallback),
    "partial_offload": Fault("partial_offload", partial_offload),
    "placement_unproven": Fault("placement_unproven", placement_unproven),
    "hung": Fault("hung", hung),
    "crashed_load": Fault("crashed_load", crashed_load),
    "leak": Fault("leak", leak, stops=4, whole=True, comes_back=False),
    "contended": Fault("contended", contended, tries=3, whole=True),
    "device_dirty": Fault("device_dirty", device_dirty, stops=4, whole=True),
    "driver_lost": Fault("env_fault", driver_lost, stops=5, whole=True),
}


def wins(seed):
    """Would the faulty candidate win if nobody saw its failure?"""
    return seed % 2 == 0


def _case(box, name, seed):
    draw = random.Random(f"{name} {seed}")
    card = draw.choice([gpu.Card(0), gpu.Card(0, total_mib=24564, reserved_mib=300,
                                              name="NVIDIA GeForce RTX 4090")])
    gpu.cards(box, card)
    return Case(box=box, random=draw, kind=draw.choice(["stt", "llm"]), card=card,
                request=draw.randint(2, 40 if wins(seed) else 8), memory_mib=draw.randrange(800, 8000, 10), options=[])


def _study(case, seed):
    """Writes the study file; returns the candidates' names in their order."""
    box, kind = case.box, case.kind
    good = ["good", "also"][:case.random.choice([1, 1, 2])]
    names = good + ["bad"]
    case.random.shuffle(names)
    if case.before and names[0] == "bad":  # somebody has to be measured before it
        names.reverse()
    latencies = {"bad": 4 if wins(seed) else 40, "good": 12, "also": 25}
    for name in names:
        options = [f"--latency {latencies[name]}ms"] + (case.options if name == "bad" else case.before)
        box.write(f"case-{name}", "\n".join(options) + "\n")
    program = case.keys.pop("program", None)
    services = {kind: gpu.gpu_fake(box, kind, "--script", box.path("case-{case}"),
                                   memory=f"{case.memory_mib}M", knobs={"case": names},
                                   stop_grace="300ms", **case.keys)}
    if program:
        services[kind]["command"][0] = program
    if case.random.random() < 0.4:  # the other one stays as it is
        other = "llm" if kind == "stt" else "stt"
        services = {name: services.get(name) or gpu.gpu_fake(box, name, memory="700M")
                    for name in case.random.sample([kind, other], 2)}
    gpu.study(box, **services, **case.parts, seed=seed,
              load={name: {"timeout": "1s"} for name in services},
              measure={"drain": "2s", "probe_within": "3s", **case.measure},
              goal={"optimise": {f"{kind}.latency.p50": {"good": "1ms", "bad": "1s"}}})
    return names


def _look(case, fault, result):
    """What came out: label right, winner false, and why not."""
    box = case.box
    trials = box.trials() if os.path.exists(os.path.join(box.results, "study.db")) else []
    word = f"{case.kind}.case=bad"
    bad = [t for t in trials if word in t["candidate"].split()]
    rest = [t for t in trials if word not in t["candidate"].split()]
    named = None if fault.whole else case.kind
    problems = []
    if fault.stops:
        dirty = fault.verdict == "device_dirty"
        marked = trials[-1:] if dirty else bad
        if result.code != fault.stops and not (fault.verdict == "leak" and result.code == 5):
            problems.append(f"exit status {result.code}, not {fault.stops}")
        rest = [t for t in rest if t not in marked]
    else:
        marked = bad
        if result.code not in (0, 3):
            problems.append(f"exit status {result.code}")
        tries = fault.tries
        if fault.verdict == "oom_start" and bad and not bad[0]["cold"]:
            tries += 1  # beside a service that had stayed up: once more with all of them started anew
        if len(bad) != tries:
            problems.append(f"{len(bad)} trials of the faulty candidate")
    if not marked:
        problems.append("no trial shows it")
    for trial in marked:
        if trial["verdict"] != fault.verdict or (named and trial["service"] != named):
            problems.append(f"#{trial['number']} is {trial['verdict']}: {trial['summary']}")
        if trial["fitness"] is not None:
            problems.append(f"#{trial['number']} has a fitness")
    # Who came while the next one was being started grew beside it; its retry is the one that is refused.
    fine = ("ok", "slow", "contended") if fault.verdict == "device_dirty" else ("ok", "slow")
    for trial in rest:
        if trial["verdict"] not in fine:
            problems.append(f"innocent #{trial['number']} is {trial['verdict']}: {trial['summary']}")
    decision = box.decision() if trials else None
    winner = (decision or {}).get("winner") or ""
    if not fault.stops and not winner:
        problems.append("no winner, though good candidates are there")
    return problems, word in winner.split()


def run_one(box, name, seed):
    """Runs one study. Returns a dict: problems (texts; none: the label is right), false_winner, left
    (processes), back (is the card's memory back?)."""
    fault, case = FAULTS[name], _case(box, name, seed)
    fault.inject(case)
    _study(case, seed)
    result = box.run("run", box.file, lines=-1)
    if "no memory cgroup can be made" in result.err:
        case = dataclasses.replace(_case(box, name, seed), real_limit=False)
        fault.inject(case)
        _study(case, seed)
        result = box.run("run", box.file, "--fresh", lines=-1)
    problems, false_winner = _look(case, fault, result)
    try:
        box.expect_clean()
        left = 0
    except AssertionError:
        left = len(box.leftovers())
    if name == "driver_lost":
        gpu.remove(box, "lost")
    for stranger in box.helpers:  # ours, and its memory with it
        check(stranger.poll() is None, "spica ended a stranger")
        stranger.terminate()
        stranger.wait()
    try:
        gpu.expect_returned(box)
        back = True
    except AssertionError:
        back = False
    if problems:
        problems.append(str(result))
    return {"problems": problems, "false_winner": false_winner, "left": left,
            "back": back == fault.comes_back}
