"""Promotion beside what is not its own, on a real `systemd --user`: units that hang on ours, files of
units that somebody else edits, the environment that commands are given."""

import json
import os
import shutil

from harness import FAKE, check, main, scenario
from production import NEW, OLD, Production

EDITED = "Environment=SNEAKED=yes\n"


def front(production, how, extra=""):
    """A unit that hangs on llm, up."""
    systemd = production.systemd
    systemd.write("front.service", f"[Unit]\n{how}\nAfter=llm.service\n"
                                   f"[Service]\nExecStart=/bin/sleep 1000\n{extra}")
    systemd.start("front")


def works(production, name="front"):
    check(production.systemd.active(name), production.systemd.story())


# ---- what hangs on ours ----

@scenario(quick=True)
def what_is_bound_is_up_again(box):
    """BindsTo= stops it with every early end of llm, and nothing starts it again."""
    with Production(box) as production:
        front(production, "BindsTo=llm.service")
        production.fault("--exit-at-start", "3")
        result = production.promote(7)
        check(result["verified"], result)
        works(production)
        production.expect(OLD)
        check([c for c in result["checks"] if c["answer"] == "passed" and "front.service" in c["text"]],
              result)
        production.fault()
        production.promote(0)
        works(production)
        # What somebody stops on purpose is not ours to start.
        production.systemd.ctl("stop", "front", ok=True)
        production.rollback(0)
        check(not production.systemd.active("front"), production.systemd.story())


@scenario()
def what_requires_is_up_again(box):
    """Requires= and After=: the start of llm that fails takes it down."""
    with Production(box) as production:
        systemd = production.systemd
        systemd.service("llm", f"{FAKE} --kind llm --port {production.llm_port} --life 900s "
                               "--latency ${WAIT}",
                        extra=f"Environment=WAIT={OLD['llm']}\nTimeoutStopSec=5\n"
                              f"ExecStartPre=/bin/sh -c '[ $WAIT != {NEW['llm']} ]'")
        systemd.ctl("restart", "llm", ok=True)
        production.start("llm")
        front(production, "Requires=llm.service")
        result = production.promote(7)
        check(result["verified"], result)
        works(production)
        production.expect(OLD)


@scenario()
def what_does_not_come_back_is_told(box):
    """PartOf=: restarted along, and it fails, at its second start and all after it."""
    with Production(box) as production:
        once = box.path("once")
        production.systemd.write(
            "front.service", "[Unit]\nPartOf=llm.service\nAfter=llm.service\n[Service]\n"
            f"ExecStart=/bin/sh -c 'test ! -e {once} && touch {once} && exec sleep 1000'\n")
        production.systemd.start("front")
        result = production.promote(8)
        check("front.service" in result["why"] and not result["verified"], result)
        os.remove(once)
        production.rollback(0)
        works(production)
        production.expect(OLD)


@scenario()
def killed_while_what_hangs_is_down(box):
    with Production(box) as production:
        front(production, "BindsTo=llm.service")
        production.fault("--exit-at-start", "3")
        production.kill_at(production.begin(), lambda journal: journal["state"] == "undoing")
        production.rollback(0)
        works(production)
        production.expect(OLD)


if __name__ == "__main__":
    main(__name__)
