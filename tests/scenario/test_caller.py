"""What a caller may do to the program: paths from elsewhere, standard files closed, a running study's
results moved, a space without an end."""

import os
import re
import time

from harness import check, main, scenario


def touching(box):
    """A service that writes into the folder which it was given as {dir}, before it serves."""
    service = box.fake("llm")
    service["command"] = ["/bin/sh", "-c", 'touch "$0/touched" || exit 3; exec "$@"', "{dir}"] + \
        service["command"]
    return service


# Expected: ok. Before: crashed_start, the folder was looked for below the study file's.
@scenario(quick=True)
def a_study_and_its_results_elsewhere(box):
    box.study(llm=touching(box))
    os.mkdir(box.path("here"))
    box.run("run", "--out", "results", "../study.yaml", cwd=box.path("here"), code=0)
    box.results = box.path("here", "results")
    verdicts = [trial["verdict"] for trial in box.trials()]
    # A starved machine may cost a retry; what is tried for is that the service starts.
    check(verdicts[-1] == "ok" and "crashed_start" not in verdicts, str(box.trials()))


# Expected: what is closed is nothing. Before: the lock file was open under the number of stderr, and
# got what was said there.
@scenario(quick=True)
def closed_standard_files(box):
    box.study(llm=box.fake("llm", "--print", "these are my words"))
    running = box.start("run", box.file, prefix=("/bin/sh", "-c", 'exec "$@" <&- >&- 2>&-', "sh"))
    while running.popen.poll() is None and not os.path.exists(os.path.join(box.results, "study.db")):
        time.sleep(0.01)
    for fd in range(3):
        where = os.readlink(f"/proc/{running.popen.pid}/fd/{fd}")
        check(where == "/dev/null", f"{fd} is {where}")
    result = running.wait(120)
    check(result.code == 1, f"exit status {result.code}, not 1: stdout can't be written")
    for trial in box.trials():
        check(trial["verdict"] == "ok", str(trial))
    log = box.run("show", box.file, "--trial", "1", "--log", "llm", code=0)
    check("these are my words" in log.out, str(log))


# Expected: busy, and nothing moved. Before: the running study lost its folder.
@scenario(quick=True)
def fresh_beside_a_running_study(box):
    box.study(llm=box.fake("llm"))
    running = box.start("run", box.file)
    while running.popen.poll() is None and not os.path.exists(os.path.join(box.results, "study.db")):
        time.sleep(0.01)
    box.run("run", "--fresh", box.file, code=4)
    check(not os.path.exists(box.results + ".1"), "moved while it was in use")
    check(running.wait(120).code == 0, "the running study was disturbed")
    box.run("run", "--fresh", "--out", box.results + "/", box.file, code=0)
    check(os.path.exists(box.results + ".1"), "not moved when it was free")


# Expected: what the stored trials took. Before: 8 s, whatever was known.
@scenario(quick=True)
def an_estimate_from_what_was_measured(box):
    box.study(llm=box.fake("llm", "--latency", "{latency}", knobs={"latency": ["5ms", "9ms"]}))
    check("(supposing 8 s for each start" in box.run("check", box.file, code=0).out, box.story())
    box.run("run", box.file, "--trials", "1", lines=-1)
    shown = box.run("check", box.file, code=0).out
    check(re.search(r"\(with \d\.\d s for the services' starts and stops, \d\.\d s where some stay up, as "
                    r"measured in \d+ trials\)", shown), shown)


# Expected: it says so. Before: it looked for the first candidate, for ages.
@scenario(quick=True)
def a_space_that_cannot_be_counted(box):
    knobs = {f"k{i}": list(range(1, 11)) for i in range(12)}
    service = box.fake("llm", knobs=knobs, environment={f"K{i}": "{k%d}" % i for i in range(12)})
    box.study(llm=service, constraints=[" + ".join(f"llm.k{i}" for i in range(12)) + " == 119"])
    result = box.run("check", box.file, code=0)
    check("too many candidates to count" in result.out, str(result))
    box.run("run", box.file, code=2)


# Expected: stopped, for nothing was measured. Before: "nothing is feasible".
@scenario(quick=True)
def nothing_but_disturbed_trials(box):
    box.study(llm=box.fake("llm"), measure={"lateness": "10us"},
              load={"llm": {"rate": "100/s", "arrivals": "constant", "concurrency": 8}})
    result = box.run("run", box.file, code=5)
    check("every trial was disturbed (the last: instrument)" in result.err, str(result))
    check(box.verdicts() == ["instrument"] * 3, box.verdicts())


if __name__ == "__main__":
    main(__name__)
