"""What is written for systemd comes back as it was meant: a real systemd gives a service the words and
variables of the study file, byte by byte, whatever quotes, specifiers and dollars are in them."""

import json
import os

from harness import FAKE, check, main, scenario
from systemd_box import Systemd
from test_promote_units import ACCEPT, environment, free_port, unit

VARIABLES = {"A": 'a "b" \\ 100% $HOME ${X} %n', "B": "  lead;tail  ", "C": "\u00fcn\u00efcode #x", "D": "it's",
             "E": "", "F": "C:\\new\\table", "G": "\ttabs\t"}
WORDS = ["", "a b", "100%n", "$HOME", "${HOME}", '"q"', "it's", "back\\slash", ";", "#x", "\u00fc", "-o=%t", "\\"]


def braces(text):
    return text.replace("{", "{{")


def program(box, port):
    """Tells which words it was given, then serves."""
    serve = [FAKE, "--kind", "llm", "--port", str(port), "--life", "300s", "--latency", "5ms"]
    path = box.write("run it.py", "#!/usr/bin/python3\nimport json, os, sys\n"
                     f"json.dump(sys.argv[1:], open({box.path('words.json')!r}, 'w'))\n"
                     f"os.execv({FAKE!r}, {serve!r})\n")
    os.chmod(path, 0o755)
    return str(path)


@scenario(quick=True)
def systemd_reads_what_was_meant(box):
    port = free_port()
    box.study(llm=box.fake("llm", "--latency", "{wait}", knobs={"wait": ["60ms", "5ms"]}),
              baseline={"llm.wait": "60ms"},
              goal={"optimise": {"llm.latency.p50": {"good": "1ms", "bad": "1s"}},
                    "require": ["llm.latency.p50 < 800ms", "llm.errors == 0"]},
              production={"llm": {"unit": "llm.service", "user": True, "port": port, "except": ["wait"],
                                  "environment": {k: braces(v) for k, v in VARIABLES.items()},
                                  "exec": [program(box, port)] + [braces(w) for w in WORDS],
                                  "within": "20s"},
                          "verify": {"window": "2s", "rate": "5/s"}})
    box.run("run", box.file, "--quiet", code=0)
    with Systemd(box) as systemd:
        unit(systemd, box, port)
        shown = box.run("promote", box.file, *ACCEPT, "--plan-only", "--json", code=0)
        plan = json.loads(shown.out)["plan"]["id"]
        box.run("promote", box.file, *ACCEPT, "--approve", plan, "--json", code=0, lines=-1)
        found = environment(systemd, "llm")
        for name, value in VARIABLES.items():
            check(found.get(name.encode()) == value.encode(),
                  f"{name} is {found.get(name.encode())!r}, not {value!r}")
        with open(box.path("words.json"), encoding="utf-8") as file:
            words = json.load(file)
        check(words == WORDS, f"the words are {words!r}")
        # It is so now: nothing is left to be done.
        again = box.run("promote", box.file, *ACCEPT, "--plan-only", "--json", code=0)
        check(json.loads(again.out)["plan"]["empty"], "a second promotion would change something")


if __name__ == "__main__":
    main(__name__)
