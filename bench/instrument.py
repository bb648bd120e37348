#!/usr/bin/env python3
"""spica as an instrument, beside the tools that people trust and against servers that are known.

    bench/instrument.py                    all rows, about 25 minutes on a quiet machine
    bench/instrument.py NAME...            only these; the others keep their last results
    bench/instrument.py --list             what there is
    bench/instrument.py --setup            gets the referees that are missing (about 4 minutes, 1.5 GB)
    bench/instrument.py --seconds 5 ...    short runs, to see that it works; never to be quoted
    bench/instrument.py --markdown         the kept results as tables

Each check is a line: what, what was seen, its bar, ok or SHORT and by how much. A referee that is not
there is MISSING, by name. Exit status 1 when a bar is missed or could not be looked at.
Results are kept in build/bench-results/instrument.json, the requests' records beside it.

Servers, referees and spica share the machine: whatever else runs on it shows in the times, and in the
bare sender's and the server's own, which stand beside them.
"""

import sys

from bench_lib import FAKE, SPICA, need
from instrument_lib import BARE_SENDER
from rows_lib import Bench

import instrument_facts
import instrument_model
import instrument_referees
import instrument_time

# name -> (how, what it is, seconds it takes when the machine is quiet)
ROWS = {
    "arrivals": (instrument_time.arrivals, "known arrivals at 1,000/s: constant, Poisson, a trace", 75),
    "freeze": (instrument_time.freeze, "a server that freezes 2 s in a run of 20 s at 100/s", 65),
    "fixed": (instrument_time.fixed, "a fixed 20 ms at 1,000/s, beside wrk, vegeta and AIPerf", 190),
    "capacity": (instrument_model.capacity, "16 slots of a fixed 20 ms: what it can take", 600),
    "streams": (instrument_model.streams, "64 streams of 200 tokens/s with a known first token and gaps", 25),
    "llama": (instrument_model.llama, "a real llama-server, beside AIPerf and its own timings", 70),
    "intervals": (instrument_facts.intervals, "95 % intervals of quantiles, 2,000 simulated windows", 140),
    "requirements": (instrument_facts.requirements, "answers about requirements at the boundary, 2,000 runs", 1),
    "wer": (instrument_facts.wer, "word errors equal jiwer's", 10),
    "throughput": (instrument_facts.throughput, "one worker: 5,000/s of JSON; 2,000 streams at once", 85),
}
BENCH = Bench("instrument", __doc__, ROWS, 20)


def main():
    asked = BENCH.parse(sys.argv[1:], setup=True)
    if BENCH.show(asked):
        return 0
    if asked.setup:
        instrument_referees.set_up()
        if not asked.rows:
            return 0
    need(SPICA, FAKE, BARE_SENDER, instrument_facts.STATS, instrument_facts.LOAD)
    return BENCH.run(asked.rows or list(ROWS), asked.seconds)


if __name__ == "__main__":
    BENCH.main(main)
