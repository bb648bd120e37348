"""Whole small studies: the right answer, from the right trials, with numbers that the database bears
out, and what a person sees."""

import json
import os
import re
import signal
import sqlite3
import time

from harness import FAKE, check, descendants, main, processes, scenario


def pair(box, stt=("10ms", "60ms"), llm=("5ms", "50ms"), baseline=("60ms", "50ms"), **parts):
    """A speech and an LLM server; each one's latency is its knob."""
    box.study(stt=box.fake("stt", "--latency", "{latency}", knobs={"latency": list(stt)}),
              llm=box.fake("llm", "--latency", "{latency}", knobs={"latency": list(llm)}),
              **dict({"baseline": {"stt.latency": baseline[0], "llm.latency": baseline[1]}}, **parts))


def explored(box):
    return [t["candidate"] for t in box.trials() if t["purpose"] == "explore"]


def finals(box):
    return [t for t in box.trials() if t["purpose"] == "final"]


def quantile(values, q):
    """Type 7, as everybody's default."""
    values = sorted(values)
    at = (len(values) - 1) * q
    low = int(at)
    return values[low] + (values[min(low + 1, len(values) - 1)] - values[low]) * (at - low)


def latencies(box, trials, service, mode="shared"):
    return [(r["done_ns"] - r["intended_ns"]) / 1e9 for number in trials
            for r in box.requests(number, service, mode) if r["part"] == 1 and r["error"] is None]


def close_to(a, b, what):
    check(abs(a - b) <= 1e-6 * max(abs(a), abs(b), 1e-9), f"{what}: {a} and {b}")


# ---- the answer ----

@scenario()
def a_tournament_finds_the_fastest_pair(box):
    pair(box, search={"strategy": "tournament", "finalists": 2}, measure={"alone": "1s"})
    result = box.run("run", box.file, code=0)
    best = "stt.latency=10ms llm.latency=5ms"
    decision = box.decision()
    check(decision["outcome"] == "winner" and decision["winner"] == best, decision)
    check(decision["comparison"]["fitness_difference"]["low"] > 0, decision)
    check(f"Winner: {best}" in " ".join(result.out.split()), str(result))
    # What the final looks like: three blocks, in each the baseline and both finalists once, cold, with
    # each service measured alone as well.
    rows = finals(box)
    check(len(rows) == 9, rows)
    for block in (1, 2, 3):
        names = [t["candidate"] for t in rows if t["repeat"] == block]
        check(len(set(names)) == 3 and best in names, names)
        check("stt.latency=60ms llm.latency=50ms" in names, names)
    check([t["repeat"] for t in rows] == [1] * 3 + [2] * 3 + [3] * 3, "blocks are interleaved")
    for trial in rows:
        check(trial["cold"] == 1, trial)
        for name, row in box.services(trial["number"]).items():
            check(row["started_in_trial"] == trial["number"], (trial, row))
            check(box.metric(trial["number"], name, "latency", "p50", "alone") is not None, name)
            check(box.requests(trial["number"], name, "alone"), name)
    compare_report(box, best)


def compare_report(box, best):
    """The reports' numbers are those of the requests in the database."""
    report, winner = box.json("report.json"), box.json("winner.json")
    check(report["outcome"] == "winner" and report["winner"] == best, report["outcome"])
    check(len(report["trials"]) == len(box.trials()), "every trial is there")
    sides = {side["candidate"]: side for side in report["final"]}
    for trial in finals(box):
        sides[trial["candidate"]].setdefault("numbers", []).append(trial["number"])
    for candidate, side in sides.items():
        check(sorted(side["measured_trials"]) == side["numbers"], side)
        for service in ("stt", "llm"):
            for mode in ("shared", "alone"):
                values = latencies(box, side["numbers"], service, mode)
                number = side[mode][f"{service}.latency.p50"]
                check(number["count"] == len(values), (candidate, service, mode, number, len(values)))
                close_to(number["value"], quantile(values, 0.5), f"{candidate} {service} {mode}")
                if number["low"] is None:  # other work on the machine makes neighbours in time alike
                    check("are alike" in number["no_interval"], number)
                else:
                    check(number["low"] <= number["value"] <= number["high"], number)
    for trial in report["trials"]:
        for service in ("stt", "llm"):
            value = trial["values"][f"{service}.latency.p50"]
            close_to(value, quantile(latencies(box, [trial["number"]], service), 0.5),
                     f"trial {trial['number']} {service}")
            close_to(value, box.metric(trial["number"], service, "latency", "p50"), "the metric's row")
    shared = sides[best]["shared"]
    check(winner["winner"] is True and winner["experiment"] == "sc", winner)
    check(winner["best_params"] == {"stt.latency": "10ms", "llm.latency": "5ms"}
          or set(winner["best_params"]) == {"stt.latency", "llm.latency"}, winner["best_params"])
    close_to(winner["best_metrics"]["stt_latency_ms"], 1000 * shared["stt.latency.p50"]["value"], "stt")
    close_to(winner["best_metrics"]["llm_latency_ms"], 1000 * shared["llm.latency.p50"]["value"], "llm")
    for key in ("gpu_utilization", "concurrent_capacity"):
        check(winner[key] is None and winner["reasons"][key], key)
    check(winner["oom_events"] == 0 and winner["evidence"]["repeats"] == 3, winner)
    check(winner["evidence"]["study_sha256"] == box.rows("SELECT digest FROM study")[0]["digest"], "digest")
    text = open(os.path.join(box.results, "report.md"), encoding="utf-8").read()
    check(best in text and "## Can I trust it?" in text, text[:2000])
    # A digest, or what a version shows of one, may hold any digits.
    check("999" not in re.sub(r"[0-9a-f]{12,}", "", text), "no 999 in the report")


@scenario()
def the_baseline_stays_when_nothing_is_better(box):
    pair(box, stt=("10ms", "60ms"), llm=("5ms",), baseline=("10ms", "5ms"))
    result = box.run("run", box.file, code=0)
    decision = box.decision()
    check(decision["outcome"] == "baseline_best" and decision["winner"] is None, decision)
    winner = box.json("winner.json")
    check(winner["winner"] is False, winner)
    check(winner["best_metrics"]["stt_latency_ms"] is not None, winner)
    check("today" in result.out or "baseline" in result.out, str(result))


@scenario()
def the_same_twice_is_no_winner(box):
    # Two settings that do the same: whatever their luck, neither is certainly better.
    box.study(llm=box.fake("llm", "--latency", "20ms", "--seed", "{seed}", knobs={"seed": [1, 2]}),
              baseline={"llm.seed": 1},
              goal={"optimise": {"llm.tokens_per_s": {"good": 100000, "bad": 0}}})
    box.run("run", box.file, code=0)
    decision = box.decision()
    check(decision["outcome"] in ("baseline_best", "winner"), decision)
    if decision["outcome"] == "winner":  # once in forty such studies, by the stated confidence
        check(decision["comparison"]["fitness_difference"]["low"] > 0, decision)


@scenario()
def a_lucky_single_run_does_not_win(box):
    # It answers at once the first time that it is started, and slowly ever after.
    path = box.write("bin/lucky", f"""#!/bin/sh
if [ ! -e {box.folder}/was-lucky ]; then
    : > {box.folder}/was-lucky
    exec {FAKE} "$@" --latency 1ms
fi
exec {FAKE} "$@" --latency 120ms
""")
    os.chmod(path, 0o755)
    service = box.fake("llm", knobs={"way": {"values": {"lucky": path, "steady": FAKE}},
                                     "rest": {"values": {"plain": "40ms"}}})
    service["command"] = ["{way}"] + service["command"][1:]
    steady = box.write("bin/steady", f"#!/bin/sh\nexec {FAKE} \"$@\" --latency 40ms\n")
    os.chmod(steady, 0o755)
    service["knobs"] = {"way": {"values": {"lucky": path, "steady": steady}}}
    box.study(llm=service, baseline={"llm.way": "steady"})
    box.run("run", box.file, code=0)
    lucky = [t for t in box.trials() if t["candidate"] == "llm.way=lucky" and t["purpose"] == "explore"]
    steadies = [t for t in box.trials() if t["candidate"] == "llm.way=steady"]
    check(lucky[0]["fitness"] > max(t["fitness"] for t in steadies), "it was lucky")
    decision = box.decision()
    check(decision["outcome"] == "baseline_best", decision)


@scenario(quick=True)
def nothing_is_feasible(box):
    pair(box, llm=("5ms",), baseline=("60ms", "5ms"),
         goal={"optimise": {"stt.latency.p50": {"good": "1ms", "bad": "1s"}},
               "require": ["stt.latency.p50 < 1ms"]})
    result = box.run("run", box.file, code=3)
    check(set(box.verdicts()) == {"slow"}, box.verdicts())
    check(box.decision()["outcome"] == "infeasible", box.decision())
    check("Nothing is feasible" in result.out, str(result))
    winner = box.json("winner.json")
    check(winner["winner"] is False and winner["best_params"] is None, winner)
    check("no candidate met every requirement" in winner["reasons"]["best_params"], winner)
    check(box.json("report.json")["outcome"] == "infeasible", "the report says so")
    again = box.run("run", box.file, code=3)
    check(len(again.out) > 0 and box.decision()["outcome"] == "infeasible", str(again))


@scenario(quick=True)
def only_the_baseline_is_feasible(box):
    # The others fail: what runs today stays, and that is an answer (0), not an infeasible study (3).
    box.study(llm=box.fake("llm", "--latency", "{latency}", knobs={"latency": ["10ms", "300ms"]}),
              baseline={"llm.latency": "10ms"},
              goal={"optimise": {"llm.latency.p50": {"good": "1ms", "bad": "1s"}},
                    "require": ["llm.latency.p50 < 150ms"]})
    box.run("run", box.file, code=0)
    check(box.decision()["outcome"] == "baseline_best", box.decision())


@scenario(quick=True)
def one_service_without_knobs_is_measured(box):
    # Nothing to choose: the one setting is measured and stays, which is an answer (0).
    box.study(llm=box.fake("llm", "--latency", "10ms"))
    box.run("run", box.file, code=0)
    check(box.decision()["outcome"] == "baseline_best", box.decision())
    check(set(box.verdicts()) == {"ok"}, box.verdicts())


@scenario()
def a_finalist_that_fails_a_start_is_out(box):
    # The fastest one does not survive its third start; the next in rank takes its place.
    path = box.write("bin/fragile", f"""#!/bin/sh
echo start >> {box.folder}/starts
[ "$(wc -l < {box.folder}/starts)" -eq 3 ] && exit 9
exec {FAKE} "$@" --latency 1ms
""")
    os.chmod(path, 0o755)
    ways = {"fragile": path}
    for name, latency in (("good", "10ms"), ("today", "60ms")):
        ways[name] = box.write(f"bin/{name}", f"#!/bin/sh\nexec {FAKE} \"$@\" --latency {latency}\n")
        os.chmod(ways[name], 0o755)
    service = box.fake("llm", knobs={"way": {"values": ways}})
    service["command"] = ["{way}"] + service["command"][1:]
    box.study(llm=service, baseline={"llm.way": "today"})
    box.run("run", box.file, code=0)
    decision = box.decision()
    check(decision["winner"] == "llm.way=good", decision)
    failed = [f for f in decision["finalists"] if f["candidate"] == "llm.way=fragile"]
    check(failed and "crashed_start" in failed[0]["eliminated"], decision)
    text = open(os.path.join(box.results, "report.md"), encoding="utf-8").read()
    check("crashed_start" in text, text)


# ---- what stays up ----

@scenario()
def unchanged_services_stay_up(box):
    pair(box, stt=("10ms", "20ms", "60ms"), search={"finalists": 1})
    box.run("run", box.file, code=0)
    trials = [t for t in box.trials() if t["purpose"] != "final"]
    before, kept, restarted = None, 0, 0
    for trial in trials:
        services = box.services(trial["number"])
        for name, row in services.items():
            same = before is not None and before[name]["settings"] == row["settings"]
            if same:
                kept += 1
                check(row["started_in_trial"] == before[name]["started_in_trial"], (trial, row))
                check(row["ready_s"] is None, "a kept service was not started in this trial")
            else:
                restarted += 1
                check(row["started_in_trial"] == trial["number"], (trial, row))
                check(row["ready_s"] is not None, row)
        check(trial["cold"] == all(r["started_in_trial"] == trial["number"] for r in services.values()),
              trial)
        before = services
    check(kept >= 3 and restarted >= 2, (kept, restarted))


@scenario()
def a_fresh_service_is_restarted_each_time(box):
    pair(box)
    study = json.load(open(box.file))
    study["services"]["llm"]["fresh"] = True
    box.write("study.yaml", json.dumps(study, indent=1))
    box.run("run", box.file, code=0)
    for trial in box.trials():
        check(box.services(trial["number"])["llm"]["started_in_trial"] == trial["number"], trial)
    stt = [box.services(t["number"])["stt"]["started_in_trial"] for t in box.trials()
           if t["purpose"] != "final"]
    check(len(set(stt)) < len(stt), "the other stays up")


@scenario()
def a_service_is_not_kept_after_a_failure(box):
    # After a crash the next candidate does not inherit what was beside it.
    box.study(stt=box.fake("stt", "--latency", "10ms"),
              llm=box.fake("llm", "--latency", "10ms", "--at", "{at}",
                           knobs={"at": {"values": {"dies": "5:die:3", "lives": "100000:die:3"}}}),
              baseline={"llm.at": "dies"})
    box.run("run", box.file, code=0)
    crashed = [t["number"] for t in box.trials() if t["verdict"] == "crashed_load"]
    check(crashed, box.verdicts())
    for number in crashed:
        if number < len(box.trials()):
            check(box.services(number + 1)["stt"]["started_in_trial"] == number + 1, number)


@scenario()
def rates_of_other_rules_are_not_pooled(box):
    # German is compared after "plain"; a study that was begun before that has no word of it, and its
    # rates were counted after the rules for English. The file is the same.
    box.study(stt=box.fake("stt", "--latency", "{latency}", knobs={"latency": ["5ms", "10ms"]}),
              load={"stt": {"language": "de"}})
    box.run("run", "--trials", "1", box.file)
    path = os.path.join(box.results, "study.db")
    with sqlite3.connect(path) as db:
        check(db.execute("SELECT detail FROM event WHERE kind = 'words'").fetchall()
              == [('{"stt":"plain"}',)], "its rules are stored")
    box.run("run", "--trials", "2", box.file)
    with sqlite3.connect(path) as db:
        before = db.execute("SELECT count(*) FROM trial").fetchone()
        db.execute("DELETE FROM event WHERE kind = 'words'")
    err = box.run("run", "--trials", "3", box.file, code=2).err
    check('stt after "english", now "plain"' in err and "--fresh" in err, err)
    with sqlite3.connect(path) as db:
        check(db.execute("SELECT count(*) FROM trial").fetchone() == before, "no trial came to them")
    box.run("run", "--trials", "1", "--fresh", box.file)


@scenario()
def sharing_costs_are_seen(box):
    # Two services that slow each other down: alone each is faster, and the report says by how much.
    box.path("share")
    os.mkdir(box.path("share"))
    share = ("--share-dir", box.path("share"), "--share-factor", "3")
    box.study(stt=box.fake("stt", "--latency", "30ms", *share),
              llm=box.fake("llm", "--latency", "{latency}", *share, knobs={"latency": ["30ms"]}),
              measure={"alone": "1s"})
    box.run("run", box.file, code=0)
    side = box.json("report.json")["final"][0]
    for name in ("stt", "llm"):
        shared = side["shared"][f"{name}.latency.p50"]["value"]
        alone = side["alone"][f"{name}.latency.p50"]["value"]
        check(shared > 1.5 * alone, (name, shared, alone))
        check(side["sharing"][f"{name}.latency.p50"]["value"] > 1.5, side["sharing"])
    text = open(os.path.join(box.results, "report.md"), encoding="utf-8").read()
    check("## What sharing costs each service" in text, "the report shows it")


# ---- the order ----

@scenario()
def the_same_seed_gives_the_same_order(box):
    orders = {}
    for name, seed in (("a", 5), ("b", 5), ("c", 6)):
        box.study(study=name, seed=seed, search={"strategy": "random", "trials": 4},
                  llm=box.fake("llm", "--latency", "10ms", "--seed", "{n}",
                               knobs={"n": list(range(1, 13))}))
        box.run("run", box.file, lines=-1)
        orders[name] = explored(box)
        check(len(orders[name]) == 4 and len(set(orders[name])) == 4, orders)
        box.close_db()
    check(orders["a"] == orders["b"], orders)
    check(orders["a"] != orders["c"], orders)


@scenario()
def a_limit_on_trials_is_kept(box):
    for strategy in ("grid", "random", "tournament"):
        box.study(study=strategy, search={"strategy": strategy},
                  llm=box.fake("llm", "--latency", "10ms", "--seed", "{n}",
                               knobs={"n": list(range(1, 9))}))
        box.run("run", box.file, "--trials", "3", lines=-1)
        check(1 <= len(explored(box)) <= 3, explored(box))
        check(box.decision() is not None, "it ends with a decision")
        check(box.json("report.json")["study"]["name"] == strategy, "and a report")
        box.close_db()


@scenario()
def conditions_and_constraints_are_kept(box):
    box.study(stt=box.fake("stt", "--latency", "10ms", "--slots", "{threads}",
                           knobs={"threads": [1, 2]}),
              llm=box.fake("llm", "--latency", "10ms", "--slots", "{threads}", "--seed", "{seed}",
                           knobs={"threads": [1, 2],
                                  "seed": {"values": [1, 2], "when": "threads == 1"}}),
              constraints=["stt.threads + llm.threads <= 3"])
    box.run("run", box.file, lines=-1)
    seen = explored(box)
    check(len(seen) == len(set(seen)) == 5, seen)
    for candidate in seen:
        values = dict(part.split("=") for part in candidate.split())
        check(int(values["stt.threads"]) + int(values["llm.threads"]) <= 3, candidate)
        check(("llm.seed" in values) == (values["llm.threads"] == "1"), candidate)
    for trial in box.trials():
        command = box.services(trial["number"])["llm"]["command"]
        wanted = "llm.seed" in trial["candidate"]
        check(("--seed" in command.split()) or not wanted, command)


@scenario(quick=True)
def the_time_budget_keeps_room_for_the_final(box):
    box.study(llm=box.fake("llm", "--latency", "10ms", "--seed", "{n}",
                           knobs={"n": list(range(1, 31))}))
    # Far too short: one candidate all the same, since nothing measured would be no answer.
    result = box.run("run", box.file, "--time", "1s", code=0)
    check(len(explored(box)) == 1 and len(finals(box)) == 3, str(result))
    check(box.decision()["outcome"] == "winner", box.decision())


@scenario()
def a_finished_study_does_not_run_again(box):
    pair(box, llm=("5ms",), baseline=("60ms", "5ms"))
    first = box.run("run", box.file, code=0)
    trials, decision = box.trials(), box.decision()
    box.close_db()
    second = box.run("run", box.file, code=0)
    check(box.trials() == trials, "no trial was added")
    check(box.decision() == decision, "the same answer")
    check("resumed" in second.out, str(second))
    check(first.out.splitlines()[-1] == second.out.splitlines()[-1], f"{first}\n{second}")


@scenario(long=True)
def an_interrupted_study_goes_on_to_the_same_answer(box):
    def order(name):
        return [(t["purpose"], t["round"], t["repeat"], t["candidate"]) for t in box.trials()]
    # Latencies so far apart that no noise of a busy machine changes who is better.
    parts = dict(search={"strategy": "tournament", "finalists": 1}, seed=3, stt=("15ms", "60ms"),
                 llm=("10ms", "150ms"), baseline=("60ms", "150ms"))
    pair(box, study="whole", **parts)
    box.run("run", box.file, code=0)
    whole, winner = order("whole"), box.decision()["winner"]
    box.close_db()
    pair(box, study="pieces", **parts)
    for stop_after in (1, 3, 6):
        running = box.start("run", box.file)
        end = time.monotonic() + 60
        while time.monotonic() < end and running.poll() is None:
            if os.path.exists(box.results + "/study.db"):
                try:
                    if len(box.trials()) >= stop_after:
                        break
                except (sqlite3.Error, AssertionError):
                    pass
            time.sleep(0.05)
        running.signal(signal.SIGINT)
        result = running.wait()
        check(result.code == 5, str(result))
        box.expect_clean()
    box.run("run", box.file, code=0)
    check(order("pieces") == whole, f"{order('pieces')}\n{whole}")
    check(box.decision()["winner"] == winner, box.decision())
    kinds = [row["kind"] for row in box.rows("SELECT kind FROM event ORDER BY id")]
    check(kinds.count("stopped") == 3 and kinds.count("resumed") == 3, kinds)


# ---- numbers ----

@scenario(quick=True)
def numbers_are_those_of_the_requests(box):
    box.study(stt=box.fake("stt", "--latency", "20ms", "--wer", "0.25"),
              llm=box.fake("llm", "--latency", "10ms", "--latency-per-token", "4ms"),
              load={"llm": {"rate": "20/s", "arrivals": "poisson", "max_tokens": 6}},
              measure={"window": "2s"},
              goal={"optimise": {"stt.wer": {"good": "0%", "bad": "100%"}}})
    box.run("run", box.file, "--trials", "1", lines=-1)
    box.expect(1, "ok")
    stt = [r for r in box.requests(1, "stt") if r["part"] == 1]
    llm = [r for r in box.requests(1, "llm") if r["part"] == 1]
    check(len(stt) > 10 and len(llm) > 10, (len(stt), len(llm)))
    # Word error rate: all words pooled.
    wer = sum(r["word_errors"] for r in stt) / sum(r["words"] for r in stt)
    close_to(box.metric(1, "stt", "wer"), wer, "wer")
    check(0 < wer < 0.5, wer)
    # Requests belong to the window by their intended send.
    check(all(0 <= r["intended_ns"] < 2_000_000_000 for r in stt + llm), "outside the window")
    # A latency is from the intended send to the last byte; the first token comes between.
    for q in (0.5, 0.95):
        name = f"p{int(q * 100)}"
        for service, rows in (("stt", stt), ("llm", llm)):
            values = [(r["done_ns"] - r["intended_ns"]) / 1e9 for r in rows]
            close_to(box.metric(1, service, "latency", name), quantile(values, q), f"{service} {name}")
        values = [(r["first_token_ns"] - r["intended_ns"]) / 1e9 for r in llm]
        close_to(box.metric(1, "llm", "ttft", name), quantile(values, q), f"ttft {name}")
    for r in llm:
        check(r["sent_ns"] >= r["intended_ns"], r)
        check(r["sent_ns"] + 9_000_000 < r["first_token_ns"] < r["last_token_ns"] <= r["done_ns"], r)
        check(r["tokens"] == 6 and r["tokens_exact"] == 1, r)
    rtf = [(r["done_ns"] - r["intended_ns"]) / 1e9 / r["audio_s"] for r in stt]
    close_to(box.metric(1, "stt", "rtf", "p50"), quantile(rtf, 0.5), "rtf")
    done = sum(0 <= r["done_ns"] < 2_000_000_000 for r in box.requests(1, "llm") if r["error"] is None)
    close_to(box.metric(1, "llm", "requests_per_s"), done / 2, "requests/s")
    check(box.metric(1, "llm", "errors") == 0, "errors")
    check(box.metric(1, "llm", "itl", "p50") > 0.002, "gaps of 4 ms")


@scenario(quick=True)
def an_open_loop_charges_for_a_freeze(box):
    # A server that freezes for 600 ms: in an open loop the requests that were meant for that time are
    # late by as much, and the tail shows it.
    box.study(llm=box.fake("llm", "--latency", "5ms", "--at", "20:freeze:600ms"),
              load={"llm": {"rate": "40/s", "arrivals": "constant", "concurrency": 200}},
              measure={"window": "2s"})
    box.run("run", box.file, "--trials", "1", lines=-1)
    box.expect(1, "ok")
    late = [v for v in latencies(box, [1], "llm") if v > 0.1]
    check(len(late) >= 15, f"{len(late)} requests met the freeze")
    check(box.metric(1, "llm", "latency", "max") >= 0.5, "the first of them waited for all of it")


@scenario(quick=True)
def readings_of_a_service(box):
    box.study(llm=box.fake("llm", "--latency", "10ms", "--rss", "80M", "--spin-per-request", "3ms"),
              measure={"window": "2s"})
    box.run("run", box.file, "--trials", "1", lines=-1)
    memory = box.metric(1, "llm", "memory")
    check(80e6 < memory < 120e6, memory)
    check(box.metric(1, "llm", "cpu") > 0.02, box.metric(1, "llm", "cpu"))
    row = box.services(1)["llm"]
    check(row["placement"] == "cpu", row["placement"])
    check(row["ready_s"] > 0 and row["first_request_s"] > 0, row)
    trial = box.trials()[0]
    check(trial["window_s"] == 2 and trial["duration_s"] > 2, trial)
    phases = [r["name"] for r in box.rows(
        "SELECT t.body AS name FROM phase JOIN text t ON t.id = name WHERE trial = 1 ORDER BY position")]
    check(phases == ["start", "probe", "warmup", "measure", "drain", "stop"], phases)


# ---- output ----

@scenario()
def results_are_found_by_any_name(box):
    pair(box, llm=("5ms",), baseline=("60ms", "5ms"))
    box.run("run", box.file, code=0)
    board = box.run("show", box.file, code=0).out
    for name in (box.results, box.results + "/study.db", "sc"):
        check(box.run("show", name, code=0).out == board, name)
    check(box.run("show", code=0).out == board, "the only one in the folder")
    shown = json.loads(box.run("show", box.file, "--json", code=0).out)
    check(shown["winner"] == box.decision()["winner"], shown["winner"])
    reported = json.loads(box.run("report", box.file, "--json", code=0).out)
    check(reported == shown, "show --json and report --json are the same")
    for number in (1, len(box.trials())):
        text = box.run("show", box.file, "--trial", number, code=0).out
        check(f"trial {number}" in text and "stt.latency" in text, text)
    box.run("show", box.file, "--trial", "99", code=2)
    log = box.run("show", box.file, "--trial", "1", "--log", "stt", code=0).out
    check("listening on" in log, log)
    box.run("show", box.file, "--trial", "1", "--log", "nobody", code=2)
    box.run("report", box.file, "--to", box.path("elsewhere"), code=0)
    for name in ("report.md", "report.html", "report.json", "winner.json"):
        check(os.path.getsize(box.path("elsewhere", name)) > 100, name)
        check(os.path.getsize(os.path.join(box.results, name)) > 100, name)
    html = open(box.path("elsewhere/report.html"), encoding="utf-8").read()
    check("http://" not in html.replace("http://www.w3.org", "") and "<script src" not in html,
          "the page stands alone")


@scenario()
def results_can_be_read_while_it_runs(box):
    pair(box, measure={"window": "1s"})
    running = box.start("run", box.file)
    end = time.monotonic() + 60
    while time.monotonic() < end:
        result = box.run("show", box.file, lines=-1)
        if result.code == 0 and "1 trial" in result.out or "2 trials" in result.out:
            break
        check(running.poll() is None, box.story())
        time.sleep(0.2)
    report = json.loads(box.run("report", box.file, "--json", code=0).out)
    check(report["outcome"] == "unfinished" and report["winner"] is None, report["outcome"])
    check(running.wait().code == 0, "it was not disturbed")


@scenario(quick=True)
def nothing_has_been_run_yet(box):
    pair(box)
    for command in ("show", "report"):
        result = box.run(command, box.file, code=2)
        check("nothing has been run yet" in result.err, str(result))


@scenario(long=True)
def plain_lines_where_there_is_no_terminal(box):
    pair(box, llm=("5ms",), baseline=("60ms", "5ms"))
    result = box.run("run", box.file, code=0)
    check("\x1b" not in result.out and "\r" not in result.out, repr(result.out))
    check(result.err == "", result.err)
    lines = result.out.splitlines()
    numbers = [int(m.group(1)) for m in (re.match(r" *(\d+)  [a-z_]+ ", line) for line in lines) if m]
    check(numbers == list(range(1, len(box.trials()) + 1)), f"{numbers}\n{result}")
    check(max(len(line) for line in lines) <= 100, max(lines, key=len))
    quiet = box.run("run", "--quiet", "--fresh", box.file, code=0)
    check(len(quiet.out.splitlines()) < len(lines), str(quiet))


def screen(text):
    """What stands on a terminal after that text: the few sequences that are used, and no others."""
    lines, row = [""], 0
    for piece in re.findall(r"\x1b\[[0-9;?]*[A-Za-z]|\r|\n|[^\x1b\r\n]+|\x1b", text):
        if piece == "\n":
            row += 1
            if row == len(lines):
                lines.append("")
        elif piece == "\r":
            pass
        elif piece.endswith("A") and piece.startswith("\x1b["):
            row = max(0, row - int(piece[2:-1] or 1))
        elif piece == "\x1b[2K":
            lines[row] = ""
        elif re.fullmatch(r"\x1b\[[0-9;]*m", piece):
            pass
        elif piece.startswith("\x1b"):
            raise AssertionError(f"an unexpected sequence: {piece!r}")
        else:
            lines[row] = piece if not lines[row] else lines[row] + piece
    return lines


@scenario(long=True)
def a_terminal_shows_progress_and_is_left_clean(box):
    pair(box, llm=("5ms",), baseline=("60ms", "5ms"))
    code, text = box.terminal("run", box.file)
    check(code == 0, text)
    for words in ("measuring", "starting", "left", "█"):
        check(words in text, f"no {words!r} in {text!r}")
    check("\x1b[32m" in text, "colours")
    lines = screen(text)
    left = "\n".join(lines)
    check("measuring" not in left and "█" not in left and " left" not in left, left)
    check(all(len(line) <= 100 for line in lines), left)
    rows = [line for line in lines if re.match(r" *\d+  ok", line)]
    check(len(rows) == len(box.trials()), left)
    plain, text = box.terminal("run", "--fresh", box.file, env={"NO_COLOR": "1"})
    check(plain == 0 and "\x1b[3" not in text, repr(text[:2000]))
    dumb, text = box.terminal("run", "--fresh", box.file, env={"TERM": "dumb"})
    check(dumb == 0 and "\x1b" not in text, repr(text[:2000]))


@scenario(quick=True)
def a_terminal_is_left_clean_by_an_interrupt(box):
    pair(box, measure={"window": "20s"})
    sent = []

    def interrupt(text, pid):
        if "measuring" in text and not sent:
            sent.append(pid)
            os.kill(pid, signal.SIGINT)
    code, text = box.terminal("run", box.file, columns=80, on_output=interrupt)
    check(code == 5 and sent, text)
    lines = screen(text)
    left = "\n".join(lines)
    check("measuring" not in left and "█" not in left, left)
    check([line for line in lines if line.startswith("spica: ")], left)
    check(all(len(line) <= 80 for line in lines if not line.startswith("spica: ")), left)
    box.expect_clean()


def window_worker(running):
    """The load worker of a window: one that is there for a whole second (a probe's is not)."""
    seen = {}
    while True:
        check(running.poll() is None, f"it ended before a window was seen: {running.poll() is not None and running.wait()}")
        table = processes()
        for pid in descendants(running.pid, table):
            if table[pid][2] == "spica-load":
                if time.monotonic() - seen.setdefault(pid, time.monotonic()) > 1:
                    return pid
        time.sleep(0.02)


@scenario(long=True)
def late_ourselves(box):
    # The worker stands still for a while: no number of that window counts, the retry is shared out
    # to two, and both the trial's page and the report say so.
    box.study(llm=box.fake("llm", "--latency", "{latency}", knobs={"latency": ["5ms", "30ms"]}),
              measure={"window": "3s", "lateness": "100ms"}, load={"llm": {"concurrency": 4}},
              baseline={"llm.latency": "30ms"})
    running = box.start("run", box.file)
    worker = window_worker(running)
    os.kill(worker, signal.SIGSTOP)
    time.sleep(1)
    os.kill(worker, signal.SIGCONT)
    running.result = running.wait()
    check(running.result.code == 0, str(running.result))
    box.expect(1, "instrument")
    again = box.expect(2, "ok")
    check(again["retry_of"] == 1, again)
    tries = box.rows("SELECT workers, stall_p99_s FROM trial WHERE number <= 2 ORDER BY number")
    check([t["workers"] for t in tries] == [1, 2], f"by {tries}")
    check(tries[0]["stall_p99_s"] > 0.1, f"it stood still, unseen: {tries}")
    check("sent by 2 workers" in box.run("show", box.results, "--trial", 2, code=0).out, "show says nothing")
    box.run("report", box.results, code=0)
    with open(os.path.join(box.results, "report.md"), encoding="utf-8") as file:
        text = file.read()
    check("Sent by 2 workers, since one was too late" in text, f"the report says nothing:\n{text}")


if __name__ == "__main__":
    main(__name__)
