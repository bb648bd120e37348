#!/usr/bin/env python3
"""Holds memory of a GPU and does nothing else: a neighbour for studies, named `hold` among processes.

usage: hold.py --leave MIB | --take MIB [--grow MIB] [--device N] [--ready FILE]

--leave takes all but that much of what is free when it starts, which makes a card of any size scarce in
the same way. It asks the driver's library itself: PyTorch would start later, round sizes up and keep
half a gigabyte for its own context on top. --grow leaks: so much more each second, until the card is full.
FILE appears, with the MiB held, once all of it is held. It ends with TERM or INT, and everything is given back.

Plain allocations in pieces of at most 1 GiB: the card's free memory need not be one piece.
"""

import argparse
import ctypes
import os
import signal
import sys

MIB = 1 << 20
PIECE_MIB = 1024
PR_SET_NAME = 15


class Driver:
    def __init__(self):
        try:
            self.library = ctypes.CDLL("libcuda.so.1")
        except OSError as error:
            sys.exit(f"hold.py: no NVIDIA driver here: {error}")

    def call(self, name, *arguments):
        code = getattr(self.library, name)(*arguments)
        if code != 0:
            text = ctypes.c_char_p()
            self.library.cuGetErrorString(code, ctypes.byref(text))
            sys.exit(f"hold.py: {name}: {(text.value or b'?').decode()} ({code})")

    def open(self, number):
        device, context = ctypes.c_int(), ctypes.c_void_p()
        self.call("cuInit", 0)
        self.call("cuDeviceGet", ctypes.byref(device), number)
        self.call("cuDevicePrimaryCtxRetain", ctypes.byref(context), device)
        self.call("cuCtxSetCurrent", context)

    def free_mib(self):
        free, total = ctypes.c_size_t(), ctypes.c_size_t()
        self.call("cuMemGetInfo_v2", ctypes.byref(free), ctypes.byref(total))
        return free.value // MIB

    def take(self, mib):
        pointer = ctypes.c_uint64()
        self.call("cuMemAlloc_v2", ctypes.byref(pointer), ctypes.c_size_t(mib * MIB))


def main():
    parser = argparse.ArgumentParser(usage=__doc__.splitlines()[2].removeprefix("usage: "))
    amount = parser.add_mutually_exclusive_group(required=True)
    amount.add_argument("--leave", type=int)
    amount.add_argument("--take", type=int)
    parser.add_argument("--grow", type=int, default=0)
    parser.add_argument("--device", type=int, default=0)
    parser.add_argument("--ready")
    given = parser.parse_args()
    os.environ["CUDA_DEVICE_ORDER"] = "PCI_BUS_ID"
    ctypes.CDLL(None).prctl(PR_SET_NAME, b"hold", 0, 0, 0)
    # Waited for, not handled: a handler would run between two allocations.
    signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGTERM, signal.SIGINT})

    driver = Driver()
    driver.open(given.device)
    wanted = given.take if given.take is not None else driver.free_mib() - given.leave
    if wanted < 1:
        sys.exit(f"hold.py: only {driver.free_mib()} MiB are free")
    held = 0
    while held < wanted:
        piece = min(PIECE_MIB, wanted - held)
        driver.take(piece)
        held += piece
    print(f"hold: {held} MiB held, {driver.free_mib()} MiB left", flush=True)
    if given.ready:
        with open(given.ready + ".new", "w", encoding="utf-8") as file:
            print(held, file=file)
        os.replace(given.ready + ".new", given.ready)
    ends = {signal.SIGTERM, signal.SIGINT}
    while given.grow and driver.free_mib() > given.grow:
        if signal.sigtimedwait(ends, 1):
            return
        driver.take(given.grow)
    signal.sigwait(ends)


if __name__ == "__main__":
    main()
