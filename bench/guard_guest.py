#!/usr/bin/env python3
"""A guest in which the kernel really kills and somebody really sets the clock: neither can be had on a
machine that others use. qemu without hardware help, Debian's cloud kernel, busybox, spica and the fake
service with their libraries in one initrd; no disk, no network.

    bench/guard_guest.py --setup     fetches kernel and busybox as Debian packages (apt-get download)
    bench/guard_guest.py             boots, and prints what was found

In the guest a service of a control group whose memory.max is 64 MiB takes more and more, until the kernel
kills it; then `date -s` puts the clock an hour forward. Both times are by the steady clock: the kernel's
own stamp of its line, and the tick that names it."""

import glob
import gzip
import json
import os
import re
import shutil
import subprocess
import sys
import tempfile

import bench_lib as bench

HOME = os.path.join(bench.BUILD, "guest")
QEMU = "qemu-system-x86_64"
WITHIN_S = 240
STT_PORT, LLM_PORT = 8001, 8002

INIT = f"""#!/bin/busybox sh
/bin/busybox --install -s /bin
export PATH=/bin HOME=/tmp
mount -t proc none /proc; mount -t sysfs none /sys; mount -t devtmpfs none /dev
mount -t tmpfs none /tmp; mount -t tmpfs none /run; mkdir -p /sys/fs/cgroup
mount -t cgroup2 none /sys/fs/cgroup
ip link set lo up
echo +memory > /sys/fs/cgroup/cgroup.subtree_control
mkdir /sys/fs/cgroup/stt /sys/fs/cgroup/llm
echo 64M > /sys/fs/cgroup/stt/memory.max
sh -c 'echo $$ > /sys/fs/cgroup/stt/cgroup.procs
       exec fake-service --kind llm --port {STT_PORT} --rss-ramp 200M:60s' & STT=$!
sh -c 'echo $$ > /sys/fs/cgroup/llm/cgroup.procs
       exec fake-service --kind llm --port {LLM_PORT}' & LLM=$!
sed -e "s/@STT@/$STT/" -e "s/@LLM@/$LLM/" /study.json > /tmp/study.yaml
cp /prompts.jsonl /tmp; cd /tmp
spica guard study.yaml --json -o /tmp/s.spica > /tmp/out 2> /tmp/err & GUARD=$!
n=0
until grep -q 'oom-kernel' /tmp/out || [ $n -gt 150 ]; do sleep 1; n=$((n + 1)); done
sleep 3
echo "=uptime $(cut -d' ' -f1 /proc/uptime)"
date -s "@$(( $(date +%s) + 3600 ))"
n=0
until grep -q 'clock-step' /tmp/out || [ $n -gt 30 ]; do sleep 1; n=$((n + 1)); done
sleep 3
kill $GUARD; wait $GUARD
echo "=ended $?"
echo "=events $(cat /sys/fs/cgroup/stt/memory.events | tr '\\n' ' ')"
echo =kernel; dmesg | grep -i -e 'out of memory' -e 'oom-kill:'
echo =out; cat /tmp/out
echo =record; grep '"e":' /tmp/s.spica.guard.jsonl
echo =err; head -c 3000 /tmp/err
echo =over
poweroff -f
"""


def study():
    service = {"role": "llm", "command": ["/bin/fake-service", "--kind", "llm", "--port", "{port}"],
               "protocol": "openai-chat", "ready": {"http": "/health"}}
    text = json.dumps({
        "study": "guest", "device": "cpu", "services": {"stt": service, "llm": service}, "baseline": "none",
        "load": {name: {"prompts": "prompts.jsonl", "max_tokens": 8} for name in ("stt", "llm")},
        "goal": {"optimise": {"stt.latency.p50": {"good": "1ms", "bad": "10s"}}},
        "guard": {"every": "1s", "window": "10s", "probe": "0.5/s", "probe_within": "5s",
                  "watch": {"stt": {"pid": "@STT@", "port": STT_PORT},
                            "llm": {"pid": "@LLM@", "port": LLM_PORT}}}})
    return re.sub(r'"(@[A-Z]+@)"', r"\1", text)  # init puts numbers in


# ---- what it is made of ----

def kernel():
    found = [os.path.join(HOME, "vmlinuz"), *sorted(glob.glob("/boot/vmlinuz-*-cloud-amd64"))]
    return next((path for path in found if os.path.exists(path)), None)


def busybox():
    found = [os.path.join(HOME, "busybox"), "/bin/busybox", "/usr/bin/busybox"]
    return next((path for path in found if os.path.exists(path)), None)


def lacks():
    """What a guest lacks here; empty: nothing."""
    return [name for name, there in ((QEMU, shutil.which(QEMU)), ("cpio", shutil.which("cpio")),
                                     ("a kernel (bench/guard_guest.py --setup)", kernel()),
                                     ("busybox", busybox())) if not there]


def setup():
    if kernel() and busybox():
        return
    os.makedirs(HOME, exist_ok=True)
    with tempfile.TemporaryDirectory() as folder:
        shown = subprocess.run(["apt-cache", "depends", "linux-image-cloud-amd64"], check=True,
                               capture_output=True, text=True).stdout
        image = re.search(r"Depends: (linux-image-\S+)", shown).group(1)
        subprocess.run(["apt-get", "download", "-q", image, "busybox-static"], cwd=folder, check=True,
                       stdout=sys.stderr)
        for package in glob.glob(os.path.join(folder, "*.deb")):
            subprocess.run(["dpkg-deb", "-x", package, folder], check=True)
        shutil.copy(glob.glob(os.path.join(folder, "boot/vmlinuz-*"))[0], os.path.join(HOME, "vmlinuz"))
        shutil.copy(os.path.join(folder, "bin/busybox"), os.path.join(HOME, "busybox"))


def libraries(program):
    shown = subprocess.run(["ldd", program], check=True, capture_output=True, text=True).stdout
    return set(re.findall(r"(/\S+) \(0x", shown))


def initrd(folder):
    """Its path. Everything is copied, so that the guest shares nothing with this machine."""
    root = os.path.join(folder, "root")
    for name in ("bin", "dev", "proc", "sys", "tmp", "run"):
        os.makedirs(os.path.join(root, name))
    shutil.copy(busybox(), os.path.join(root, "bin/busybox"))
    programs = {"spica": bench.SPICA, "fake-service": bench.FAKE}
    for name, path in programs.items():
        shutil.copy(path, os.path.join(root, "bin", name))
        subprocess.run(["strip", os.path.join(root, "bin", name)], check=False)
    for library in set().union(*map(libraries, programs.values())):
        os.makedirs(root + os.path.dirname(library), exist_ok=True)
        shutil.copy(library, root + library)
    prompts = json.dumps({"prompt": "Say something.", "max_tokens": 8}) + "\n"
    for name, text in (("study.json", study()), ("prompts.jsonl", prompts), ("init", INIT)):
        with open(os.path.join(root, name), "w", encoding="utf-8") as file:
            file.write(text)
    os.chmod(os.path.join(root, "init"), 0o755)
    names = subprocess.run(["find", "."], cwd=root, check=True, capture_output=True).stdout
    packed = subprocess.run(["cpio", "-o", "-H", "newc", "--quiet"], cwd=root, input=names, check=True,
                            capture_output=True).stdout
    path = os.path.join(folder, "initrd.gz")
    with gzip.open(path, "wb", compresslevel=1) as file:
        file.write(packed)
    return path


# ---- a run ----

def boot(image, memory_mib=768, options="", within_s=WITHIN_S):
    """All that a guest with this initrd says; `options` are its kernel's."""
    argv = [QEMU, "-accel", "tcg", "-cpu", "max", "-m", str(memory_mib), "-smp", "1", "-nographic", "-no-reboot",
            "-nodefaults", "-serial", "stdio", "-kernel", kernel(), "-initrd", image,
            "-append", f"console=ttyS0 quiet panic=-1 {options}".strip()]
    with subprocess.Popen(argv, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                          stderr=subprocess.STDOUT) as popen:
        try:
            out, _ = popen.communicate(timeout=within_s)
        except subprocess.TimeoutExpired:
            popen.kill()
            out, _ = popen.communicate()
    return out.decode(errors="replace").replace("\r", "")


def part(text, name):
    match = re.search(rf"^={name}\b ?(.*?)(?=^=|\Z)", text, re.MULTILINE | re.DOTALL)
    return match.group(1) if match else ""


def first(text, kind):
    """Steady seconds of the first tick with such an event, and the event."""
    for line in part(text, "record").splitlines():
        try:
            tick = json.loads(line)
        except ValueError:
            continue
        for event in tick.get("e", ()):
            if kind in json.dumps(event):
                return tick["m"] / 1e9, event
    return None, None


def look(folder):
    """{"kernel": s, "clock": s, "others": events that nobody injected}, or {"problem": why}, or {"lacks": what}."""
    missing = lacks()
    if missing:
        return {"lacks": ", ".join(missing)}
    text = boot(initrd(folder))
    killed = re.search(r"\[\s*([\d.]+)\].*oom-kill:.*task_memcg=/stt", part(text, "kernel"))
    said, event = first(text, "oom-kernel")
    stepped = re.search(r"[\d.]+", part(text, "uptime"))
    told, _ = first(text, "clock-step")
    if not killed or said is None or not stepped or told is None:
        return {"problem": f"the guest said: {text[-3000:]}"}
    kinds = re.findall(r'"kind":\s*"([a-z-]+)"', part(text, "out"))
    expected = {"oom-kernel", "clock-step", "down"}
    return {"kernel": max(said - float(killed.group(1)), 0), "kills": part(text, "events").strip(),
            "clock": max(told - float(stepped.group()), 0), "event": event,
            "others": [kind for kind in kinds if kind not in expected],
            "steps": kinds.count("clock-step")}


def main():
    if sys.argv[1:] == ["--setup"]:
        setup()
        return
    bench.need(bench.SPICA, bench.FAKE)
    folder = bench.workplace("guard-guest")
    print(json.dumps(look(folder), indent=1))
    shutil.rmtree(folder, ignore_errors=True)


if __name__ == "__main__":
    main()
