#!/usr/bin/env python3
"""Promotion of a service that is asked over TLS, on a real `systemd --user`: verified as it was measured,
and who shows another certificate than the study trusts is not asked."""

import json
import os
import shutil
import ssl
import sys

import tls_front
from harness import FAKE, check, main, scenario
from production import NEW, OLD, Production
from test_https import counts
from tls_front import certificate, secured
from traffic import fetch

NAME = "llm.internal"  # no look-up would find it


class Secured(Production):
    """llm is behind TLS; which certificate it shows is a variable of its unit."""

    def __init__(self, box, environment=None, **general):
        self.pem, self.key = certificate(box, "DNS:" + NAME)
        self.ca = shutil.copy(self.pem, box.path("ca.pem"))
        self.arrivals = box.path("arrivals")
        fake = box.fake("llm", "--latency", "{wait}", knobs={"wait": [OLD["llm"], NEW["llm"]]})
        super().__init__(box, general=general, llm=secured(fake, self.pem, self.key, ca=self.ca, name=NAME))
        keys, self.rag = self.services["llm"], self.services["rag"]
        self.write_study(llm=dict(keys, environment=dict(keys["environment"], **environment or {})))

    def units(self):
        front = os.path.abspath(tls_front.__file__)
        self.systemd.service(
            "llm", f"{sys.executable} {front} ${{PEM}} ${{KEY}} -- {FAKE} --kind llm --port {self.llm_port} "
                   f"--life 900s --arrivals {self.arrivals} --latency ${{WAIT}}",
            extra=f"Environment=WAIT={OLD['llm']} PEM={self.pem} KEY={self.key}\nTimeoutStopSec=5")
        self.systemd.service("rag", f"{FAKE} --kind llm --port {self.rag_port} --life 900s "
                                    f"--latency {OLD['rag']}", extra="TimeoutStopSec=5")
        self.start("llm", "rag")

    def answers(self, port):
        if port != self.llm_port:
            return super().answers(port)
        trusts = ssl.create_default_context(cafile=self.ca)
        trusts.check_hostname = False
        return fetch(f"https://127.0.0.1:{port}/health", context=trusts) is not None


def seen(result, kind, service="llm"):
    """What was seen of it, in the words that a person reads."""
    return [c["answer"] + ": " + c["text"] for c in result["checks"]
            if c["check"] == kind and c["service"] in (service, None)]


def another(box):
    """A certificate for the same name, of nobody whom the study trusts."""
    pem, key = certificate(box, "DNS:" + NAME, stem="other")
    return {"PEM": pem, "KEY": key}


@scenario(quick=True)
def promoted_over_tls(box):
    """Ready, one request, a window; the way back is from the journal alone."""
    with Secured(box) as production:
        shown = production.spica("promote", "--dry-run", code=0)
        check("over TLS" in shown.out, shown)
        result = production.promote(0)
        check(result["verified"], result)
        for kind in ("ready", "probe", "load"):
            told = seen(result, kind)
            check(told and all(text.startswith("passed") for text in told), (kind, result["checks"]))
        check(counts(box, "arrivals") > 3, "requests have arrived")
        production.expect(NEW)
        os.remove(box.file)
        back = box.run("rollback", box.results, "--json", code=0, lines=-1)
        check(f"ready on port {production.llm_port}" in back.out, back)
        production.expect(OLD)


@scenario(quick=True)
def another_certificate_is_undone(box):
    """The new setting shows one that is not trusted: no request reaches it, and nobody waits for it to change."""
    with Secured(box, environment=another(box)) as production:
        keys = production.services["llm"]
        production.write_study(llm=dict(keys, within="300s"))
        result = production.promote(7)
        check("self-signed" in result["why"] and "ca names a file with it" in result["why"], result["why"])
        check("no secure connection" in result["why"] and "not ready" not in result["why"], result)
        production.expect(OLD)
        check([c for c in result["checks"] if c["answer"] == "passed" and "ready on port" in c["text"]], result)


@scenario()
def one_that_is_not_restarted(box):
    """Nothing of it changes, and it shows another certificate: seen by the verification, at once."""
    with Secured(box) as production:
        keys = dict(production.services["llm"], within="300s")
        production.write_study(llm=keys, rag=None)
        production.promote(0)
        production.write_study(llm=keys, rag=production.rag)
        other = another(box)
        production.systemd.write("llm.service.d/20-other.conf", "[Service]\n" + "".join(
            f"Environment={name}={value}\n" for name, value in other.items()))
        production.systemd.ctl("restart", "llm", ok=True)
        result = production.promote(8)
        bad = [c for c in result["checks"] if c["answer"] == "failed"]
        check(bad and bad[0]["check"] == "ready" and bad[0]["service"] == "llm", result)
        check("no secure connection on port" in bad[0]["text"] and "self-signed" in bad[0]["text"], result)


@scenario()
def a_way_back_to_nobody_we_trust(box):
    """The certificate was changed since: told by a rollback that has only the journal, and gone on with."""
    with Secured(box) as production:
        production.promote(0)
        os.remove(box.file)
        shown = (production.pem, production.key)
        for path, now in zip(shown, another(box).values()):
            os.rename(path, path + ".good")
            os.rename(now, path)
        back = json.loads(box.run("rollback", box.results, "--json", code=8, lines=-1).out)
        check("self-signed" in back["why"], back)
        for path in shown:
            os.replace(path + ".good", path)
        box.run("rollback", box.results, code=0)
        production.expect(OLD)


if __name__ == "__main__":
    main(__name__)
