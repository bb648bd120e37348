"""A bench of rows: each measured by a function, its checks printed as they come and kept, so that the results
can be shown again as tables. instrument.py and guard.py are such benches."""

import argparse
import datetime
import json
import os
import platform
import signal
import subprocess
import sys
import time

from bench_lib import BUILD, ROOT
from instrument_lib import MARKS, Broken, Missing, Row, say


def commit():
    done = subprocess.run(["git", "-C", ROOT, "rev-parse", "--short", "HEAD"], capture_output=True, text=True,
                          check=False)
    return done.stdout.strip()


def cell(text):
    return str(text).replace("|", "\\|").replace("\n", " ")


def stop(*_):
    raise KeyboardInterrupt


class Bench:
    """`rows`: name -> (function of a Row, what it is, seconds it takes on a quiet machine)."""

    def __init__(self, name, text, rows, seconds):
        self.name, self.text, self.rows, self.seconds = name, text, rows, seconds
        self.results = os.path.join(BUILD, "bench-results", f"{name}.json")
        self.folder = os.path.join(BUILD, "bench-results", name)

    # -- results --

    def read(self):
        try:
            with open(self.results, encoding="utf-8") as file:
                return json.load(file)
        except (OSError, ValueError):
            return {}

    def keep(self, name, result):
        """One row at a time, so that a run that is cut short leaves what it had."""
        results = self.read()
        results[name] = result
        os.makedirs(os.path.dirname(self.results), exist_ok=True)
        with open(self.results + ".new", "w", encoding="utf-8") as file:
            json.dump({n: results[n] for n in self.rows if n in results}, file, indent=1)
        os.replace(self.results + ".new", self.results)

    def markdown(self):
        lines = []
        for name, result in self.read().items():
            load = f"{result['load_before']:.1f} before, {result['load_after']:.1f} after"
            short = f", **short runs of {result['seconds']} s**" if result["seconds"] != self.seconds else ""
            lines += [f"### {name}: {result['what']}", "",
                      f"`bench/{self.name}.py {name}`, {result['when']}, {result['wall_s']:.0f} s{short}"
                      f"; commit {result['commit']}; {result['cores']} cores, load {load}", "",
                      "| check | seen | bar | | |", "|---|---|---|---|---|"]
            lines += ["| " + " | ".join(map(cell, (c["what"], c["seen"], c["bar"], MARKS[c["ok"]], c["by"])))
                      + " |" for c in result["checks"]]
            lines.append("")
        return "\n".join(lines)

    # -- measuring --

    def measure(self, name, seconds):
        how, what, _ = self.rows[name]
        print(f"{name}: {what}", flush=True)
        row = Row(name, os.path.join(self.folder, name), seconds)
        began, load = time.monotonic(), os.getloadavg()[0]
        try:
            how(row)
        except Missing as why:
            row.missing(what, why, "all of this row")
        except (Broken, OSError, KeyError, ValueError, subprocess.SubprocessError) as why:
            row.note("the row could be measured", "yes", "no", False, f"{type(why).__name__}: {why}"[:600])
        wall_s = time.monotonic() - began
        print(f"  ({wall_s:.0f} s; load of the machine {load:.1f} before, {os.getloadavg()[0]:.1f} after)",
              flush=True)
        result = {"what": what, "checks": row.checks, "seconds": seconds, "wall_s": round(wall_s, 1),
                  "when": datetime.datetime.now(datetime.timezone.utc).isoformat(timespec="seconds"),
                  "load_before": load, "load_after": os.getloadavg()[0], "cores": os.cpu_count(),
                  "machine": platform.platform(), "commit": commit()}
        self.keep(name, result)
        return result

    def run(self, names, seconds):
        """The exit status: 1 when a bar is missed or could not be looked at."""
        results = {name: self.measure(name, seconds) for name in self.rows if name in names}
        checks = [check for result in results.values() for check in result["checks"]]
        short, missing = ([c for c in checks if c["ok"] == state] for state in (False, "missing"))
        good = sum(check["ok"] is True for check in checks)
        print(f"\n{good} ok, {len(short)} short, {len(missing)} missing")
        for check in short + missing:
            print(f"  {MARKS[check['ok']]}: {check['what']}: {check['seen']} [{check['bar']}] {check['by']}")
        return 1 if short or any(check["bar"] for check in missing) else 0

    # -- the command --

    def parse(self, arguments, setup=False):
        parser = argparse.ArgumentParser(description=self.text,
                                         formatter_class=argparse.RawDescriptionHelpFormatter)
        parser.add_argument("rows", nargs="*", metavar="NAME", help=", ".join(self.rows))
        parser.add_argument("--seconds", type=int, default=self.seconds,
                            help=f"of each timed run ({self.seconds})")
        if setup:
            parser.add_argument("--setup", action="store_true", help="gets the referees that are missing first")
        parser.add_argument("--list", action="store_true")
        parser.add_argument("--markdown", action="store_true", help="prints the kept results")
        asked = parser.parse_args(arguments)
        unknown = [name for name in asked.rows if name not in self.rows]
        if unknown or asked.seconds < 2:
            parser.error(f"there is no row {', '.join(unknown)}" if unknown else "--seconds: at least 2")
        return asked

    def show(self, asked):
        """True: that was all that was asked for."""
        if asked.list:
            for name, (_, what, seconds) in self.rows.items():
                print(f"{name:<14} {what} ({seconds} s)")
        elif asked.markdown:
            print(self.markdown())
        return asked.list or asked.markdown

    def main(self, function):
        signal.signal(signal.SIGTERM, stop)  # the servers have sessions of their own: ended on the way out
        try:
            sys.exit(function())
        except KeyboardInterrupt:
            say(f"{self.name}: stopped; the rows that were over are kept")
            sys.exit(130)
