"""Services that are containers: over a fake runtime always, over podman where it is installed and works.

What is asked of both: the study runs to its end, the stored command shows all that spica added, memory
and placement are those of the container's processes, and nothing of it is left, whoever was killed when.
"""

import json
import os
import re
import shutil
import signal
import subprocess
import tempfile
import time

from harness import FAKE, HERE, Skip, check, main, processes, scenario, skip_unless

FAKE_PODMAN = os.path.join(os.path.dirname(HERE), "fakes", "fake-podman")


# ---- runtimes ----

class Fake:
    """tests/fakes/fake-podman as `podman`, or with its daemon as `docker`."""

    def __init__(self, box, kind):
        self.box, self.folder = box, box.path("runtime")
        self.line = [box.path("bin", kind), "run"]
        self.image, self.program = "image:1", FAKE
        os.mkdir(self.folder)
        os.symlink(FAKE_PODMAN, self.line[0])
        box.env.update({"FAKE_PODMAN": kind, "FAKE_PODMAN_DIR": self.folder,
                        "SPICA_TEST_" + "MARK": box.env["SPICA_TEST_MARK"]})
        if kind == "docker":
            box.helper(self.line[0], "daemon")
            while not os.path.exists(os.path.join(self.folder, "daemon")):
                time.sleep(0.02)

    def call(self, *words):
        return subprocess.run([self.line[0], *words], env=self.box.env, text=True, capture_output=True,
                              timeout=60)

    def names(self):
        found = []
        for name in os.listdir(self.folder):
            if name.endswith(".json"):
                with open(os.path.join(self.folder, name), encoding="utf-8") as file:
                    found.append(json.load(file)["name"])
        return found


class Podman:
    """The real one, with a storage of its own and an image made of the fake service and its libraries."""

    def __init__(self, box):
        skip_unless(shutil.which("podman"), "podman is not installed")
        skip_unless(os.geteuid() == 0, "podman is tried as root only")
        self.box = box
        runtime = shutil.which("runc") or shutil.which("crun")
        short = tempfile.mkdtemp(prefix="spica-p-")   # podman takes no long path
        self.options = ["--root", box.path("storage"), "--runroot", short + "/run",
                        "--storage-driver", "vfs", "--cgroup-manager", "cgroupfs",
                        "--events-backend", "file", "--tmpdir", short + "/libpod",
                        "--runtime", runtime]
        self.image, self.program = "localhost/spica-fake:1", "/bin/fake-service"
        # Where our own limits are below podman's defaults it may not raise them.
        self.line = ["podman", *self.options, "run", "--ulimit", "nofile=1024:1024",
                     "--ulimit", "nproc=4096:4096"]
        box.cleanups.append(lambda: shutil.rmtree(short, ignore_errors=True))
        box.cleanups.append(lambda: self.call("rm", "-fa"))   # the last is done first
        self.make_image()
        tried = self.call(*self.line[len(self.options) + 1:], "--rm", "--network=host", self.image,
                          self.program, "--help")
        skip_unless(tried.returncode == 0, "podman can't run a container here: " + tried.stderr.strip())

    def make_image(self):
        root = self.box.path("image")
        listed = subprocess.run(["ldd", FAKE], text=True, capture_output=True, check=True).stdout
        files = {FAKE: self.program, **{lib: lib for lib in re.findall(r"(/\S+) \(0x", listed)}}
        for source, target in files.items():
            os.makedirs(os.path.dirname(root + target), exist_ok=True)
            shutil.copy(source, root + target)
        os.makedirs(root + "/tmp")
        os.makedirs(os.path.join(root, self.box.folder.lstrip("/")))
        tar = self.box.path("image.tar")
        subprocess.run(["tar", "-C", root, "-cf", tar, "."], check=True)
        made = self.call("import", tar, self.image)
        skip_unless(made.returncode == 0, "podman can't import an image here: " + made.stderr.strip())

    def call(self, *words):
        # Its monitor leaves a file where it was called, when the kernel killed in a container.
        return subprocess.run(["podman", *self.options, *words], env=self.box.env, text=True,
                              capture_output=True, timeout=120, cwd=self.box.folder)

    def names(self):
        return self.call("ps", "-a", "--format", "{{.Names}}").stdout.split()


def service(box, runtime, *options, **keys):
    """The box's fake llm as a container's server."""
    plain = box.fake("llm", *options)
    command = plain.pop("command")
    mount = [] if isinstance(runtime, Fake) else ["-v", f"{box.folder}:{box.folder}"]
    plain["container"] = [*runtime.line, *mount, runtime.image, runtime.program, *command[1:]]
    plain.update(keys)
    return plain


def expect_gone(box, runtime):
    box.expect_clean()
    check(runtime.names() == [], f"containers left: {runtime.names()}\n{box.story()}")


# ---- what is asked of each ----

def to_its_end(box, runtime):
    box.study(llm=service(box, runtime, "--rss", "64M", "--latency", "{wait}",
                          environment={"GREETING": "hello there"},
                          knobs={"wait": ["5ms", "25ms"]}))
    shown = box.run("check", "--candidate", "llm.wait=5ms", box.file, code=0, lines=-1).out
    box.run("run", box.file, code=0, lines=-1)
    expect_gone(box, runtime)
    parts = ["--cidfile ", "--name spica-sc-llm-", "--network=host", "--pull=never",
             "--label spica.study=sc", "--label spica.service=llm", "-e CUDA_VISIBLE_DEVICES=",
             "-e 'GREETING=hello there'"]
    for trial in box.trials():
        check(trial["verdict"] == "ok", f"{trial}\n{box.story()}")
        stored = box.services(trial["number"])["llm"]
        for part in parts:
            check(part in stored["command"], f"no {part} in {stored['command']}")
            check(part in shown, f"no {part} in {shown}")
        check(stored["placement"] == "cpu", f"{stored}")
        check(stored["peak_memory_bytes"] > 64 << 20, f"the server's memory is not counted: {stored}")
        check("listening on" in stored["log"], f"its output is not in the log: {stored['log']}")


def killed(box, runtime, number, whom):
    """spica killed in the middle, alone or with its guards and keepers: resumed, and nothing is left."""
    box.study(llm=service(box, runtime, "--latency", "20ms"), measure={"window": "30s"})
    running = box.start("run", box.file)
    deadline = time.monotonic() + 60
    while not runtime.names() and time.monotonic() < deadline:
        check(running.poll() is None, f"it ended\n{running.output()}")
        time.sleep(0.05)
    time.sleep(number)
    doomed = [running.pid]
    if whom != "alone":
        doomed += [pid for pid, (_, _, command) in processes().items() if command in whom]
    for pid in doomed:
        os.kill(pid, signal.SIGKILL)
    running.wait()
    if "spica-guard" not in whom:
        box.expect_clean(30)
        deadline = time.monotonic() + 30
        while runtime.names() and time.monotonic() < deadline:
            time.sleep(0.1)
        check(runtime.names() == [], f"left: {runtime.names()}")
    box.study(llm=service(box, runtime, "--latency", "20ms"))
    shutil.rmtree(box.results)
    box.run("run", box.file, code=0, lines=-1)
    expect_gone(box, runtime)


@scenario(quick=True)
def fake_podman_to_its_end(box):
    to_its_end(box, Fake(box, "podman"))


@scenario()
def fake_docker_to_its_end(box):
    runtime = Fake(box, "docker")
    skip_unless(os.geteuid() == 0 and os.access("/sys/fs/cgroup", os.W_OK),
                "a daemon's processes are found by control groups, which can't be made here")
    to_its_end(box, runtime)


@scenario(quick=True)
def a_container_that_ends_by_itself(box):
    runtime = Fake(box, "podman")
    box.study(llm=service(box, runtime, "--at", "2:die:3"))
    box.run("run", box.file, code=3)
    box.expect(1, "crashed_load", service="llm", says="exit status 3")
    expect_gone(box, runtime)


@scenario(quick=True)
def a_container_killed_for_memory(box):
    # Before: a crash by SIGKILL, for the runtime removed what knew better.
    runtime = Fake(box, "podman")
    runtime.line.append("--rm")
    with open(os.path.join(runtime.folder, "oom"), "w", encoding="ascii"):
        pass
    box.study(llm=service(box, runtime, "--at", "2:signal:KILL"))
    box.run("run", box.file, code=3)
    box.expect(1, "oom_host", service="llm", says="killed by the kernel for memory",
               evidence="State.OOMKilled")
    expect_gone(box, runtime)


@scenario()
def an_image_that_is_not_there(box):
    runtime = Fake(box, "podman")
    runtime.image = "missing"
    box.study(llm=service(box, runtime))
    # The surroundings' fault, which stops the study resumably; before: a crash of each candidate.
    box.run("run", box.file, code=5)
    box.expect(1, "env_fault", service="llm", says="exit status 125", evidence="image not known")
    expect_gone(box, runtime)


@scenario()
def a_name_that_is_anothers(box):
    runtime = Fake(box, "podman")
    runtime.call("run", "--name", "mine", "image", "true")
    runtime.line += ["--name", "mine"]
    box.study(llm=service(box, runtime))
    result = box.run("run", box.file, code=4)
    check("named mine which is not this study's" in result.err, str(result))
    check(runtime.names() == ["mine"], "it was removed")


@scenario()
def killed_over_fake_podman(box):
    killed(box, Fake(box, "podman"), 0.5, "alone")


@scenario()
def killed_over_fake_docker(box):
    killed(box, Fake(box, "docker"), 0.5, "alone")


@scenario()
def killed_with_keepers_over_fake_docker(box):
    killed(box, Fake(box, "docker"), 0.5, ("spica-keeper",))


@scenario()
def podman_to_its_end(box):
    to_its_end(box, Podman(box))


@scenario()
def killed_over_podman(box):
    killed(box, Podman(box), 1, "alone")


@scenario()
def killed_with_keepers_over_podman(box):
    killed(box, Podman(box), 1, ("spica-keeper",))


if __name__ == "__main__":
    main(__name__)
