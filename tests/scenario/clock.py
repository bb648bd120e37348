"""A clock that a scenario sets for the programs that it wants to be fooled (tests/fakes/fake_clock.c).

    clock = Clock(box)
    with clock:
        running = box.start("guard", box.file)
    clock.set(3600)     # somebody sets the wall clock an hour forward
    clock.passes(121)   # two minutes pass at once
"""

import os
import struct

from harness import ROOT
from systemd_box import skip_unless

LIBRARY = os.path.abspath(os.environ.get("FAKE_CLOCK_LIBRARY",
                                         os.path.join(ROOT, "build/tests/fakes/libfake-clock.so")))


class Clock:
    def __init__(self, box):
        skip_unless(os.path.exists(LIBRARY), f"{LIBRARY} is not there")
        self.box, self.wall_s, self.passed_s = box, 0, 0
        self.file = box.write("clock", bytes(16))

    def __enter__(self):
        self.box.env.update(LD_PRELOAD=LIBRARY, FAKE_CLOCK=self.file)
        return self

    def __exit__(self, kind, value, trace):
        del self.box.env["LD_PRELOAD"]

    def set(self, seconds):
        """The wall clock, so far from what it would show; the steady ones go on."""
        self.wall_s = seconds
        self._write()

    def passes(self, seconds):
        """So much time, for all clocks."""
        self.passed_s += seconds
        self._write()

    def _write(self):
        with open(self.file, "r+b") as file:
            file.write(struct.pack("qq", self.wall_s, self.passed_s))
