"""Fake cards for scenarios: a world folder (tests/fakes/nvml/README.md) that the fake driver's library
shows to spica and in which the fake services take memory.

    cards(box, Card())                       one H100; box.env points at the library and the world
    gpu_fake(box, "llm", memory="20G")       a service that holds 20 GiB there and works on it
    stranger(box, "--gpu-hold", "5G")        a program that is none of ours
    touch(box, "lost")                       the driver loses every card

FAKE_NVML_LIBRARY names the library (built beside the fake service)."""

import ctypes
import os
import time

import harness
from harness import FAKE, check

LIBRARY = os.path.abspath(os.environ.get("FAKE_NVML_LIBRARY",
                                         os.path.join(os.path.dirname(FAKE), "libfake-nvml.so")))
GIB = 1 << 30


class Card:
    """A line of the world's script, and the lines below it."""

    def __init__(self, number=0, total_mib=81559, reserved_mib=480, name="NVIDIA H100 80GB HBM3",
                 lines=(), instances=()):
        self.number = number
        self.uuid = f"GPU-{number:08d}-1111-2222-3333-444444444444"
        self.total_mib, self.reserved_mib = total_mib, reserved_mib
        self.pci = f"0000:{0x41 + number:02x}:00.0"
        self.text = "\n".join([f"card {self.uuid} {self.pci} {total_mib} {reserved_mib} {name}",
                               *lines])
        self.instances = []
        for i, mib in enumerate(instances):
            uuid = f"MIG-{number:04d}{i:04d}-1111-2222-3333-444444444444"
            self.instances.append(uuid)
            self.text += f"\ninstance {uuid} {self.pci} {mib} 0 {name} MIG"


def world(box, *parts):
    return box.path("world", *parts)


def cards(box, *all_cards, script=""):
    """Makes the world. Without cards: one."""
    all_cards = all_cards or (Card(),)
    check(os.path.exists(LIBRARY), f"{LIBRARY} is not there: build first")
    box.write("world/began", "")
    box.write("world/world", script + "\n".join(card.text for card in all_cards) + "\n")
    box.env["SPICA_NVML_LIBRARY"] = LIBRARY
    box.env["FAKE_NVML_WORLD"] = world(box)
    return all_cards[0]


def options(box, memory="2G", sm=30):
    """What a fake service needs to use the card."""
    return ["--gpu", world(box), "--gpu-memory", memory, "--gpu-sm", sm]


def gpu_fake(box, kind, *more, memory="2G", sm=30, **keys):
    """A service that should be on the card and is."""
    keys.setdefault("on", "gpu")
    return box.fake(kind, *options(box, memory, sm), "--latency", "15ms", *more, **keys)


def gpu_disguised(box, engine, *more, memory="2G", **keys):
    keys.setdefault("on", "gpu")
    return box.disguised(engine, *[f"{a} {b}" for a, b in zip(*[iter(options(box, memory))] * 2)],
                         "--latency 15ms", *more, **keys)


def stranger(box, *args):
    """A program on the card that spica did not start. It is there when this returns."""
    before = set(files(box))
    popen = box.helper(FAKE, "--gpu", world(box), "--life", "300s", *args)
    end = time.monotonic() + 20
    while f"{popen.pid}.gpu" not in set(files(box)) - before:
        check(popen.poll() is None and time.monotonic() < end, f"the stranger did not start: {args}")
        time.sleep(0.01)
    return popen


def files(box):
    return [name for name in os.listdir(world(box)) if name.endswith(".gpu")]


def touch(box, name, text=""):
    return box.write(f"world/{name}", text)


def remove(box, name):
    os.unlink(world(box, name))


def used_mib(box, index=0):
    """What the fake driver says is in use on a card, asked in a process of its own."""
    pid = os.fork()
    if pid == 0:
        code = 255
        try:
            os.environ["FAKE_NVML_WORLD"] = world(box)
            code = _ask(index, box.path("tmp", "used"))
        finally:
            os._exit(code)
    _, status = os.waitpid(pid, 0)
    check(status == 0, "the fake driver can't be asked")
    with open(box.path("tmp", "used"), encoding="utf-8") as file:
        return int(file.read())


def _ask(index, path):
    class Memory(ctypes.Structure):
        _fields_ = [("version", ctypes.c_uint), ("total", ctypes.c_ulonglong),
                    ("reserved", ctypes.c_ulonglong), ("free", ctypes.c_ulonglong),
                    ("used", ctypes.c_ulonglong)]
    nvml = ctypes.CDLL(LIBRARY)
    device = ctypes.c_void_p()
    memory = Memory(version=ctypes.sizeof(Memory) | 2 << 24)
    if nvml.nvmlInit_v2() or nvml.nvmlDeviceGetHandleByIndex_v2(index, ctypes.byref(device)):
        return 1
    if nvml.nvmlDeviceGetMemoryInfo_v2(device, ctypes.byref(memory)):
        return 2
    with open(path, "w", encoding="utf-8") as file:
        file.write(str(memory.used >> 20))
    return 0


def expect_returned(box, index=0, within_mib=64, within=5):
    """The card's memory is back where it was without anybody."""
    end = time.monotonic() + within
    while True:
        left = used_mib(box, index)
        if left <= within_mib:
            return
        check(time.monotonic() < end, f"{left} MiB are still in use: {files(box)}\n{box.story()}")
        time.sleep(0.05)


def readings(box, trial):
    """What was read of the devices: rows with phase, service, device, name, value, words."""
    texts = {row["id"]: row["body"] for row in box.rows("SELECT id, body FROM text")}
    rows = box.rows("SELECT * FROM reading WHERE trial = ? ORDER BY position", trial)
    ids = ("phase", "service", "device", "name", "source")
    return [{k: texts.get(v, v) if k in ids else v for k, v in row.items()}
            for row in rows]


def study(box, **parts):
    """As box.study(), on gpu0."""
    parts.setdefault("device", "gpu0")
    return box.study(**parts)


harness.Box.card = cards
harness.Box.gpu_fake = gpu_fake
