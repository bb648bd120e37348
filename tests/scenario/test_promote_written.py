"""What a promotion writes for others, taken by those others: the override by Compose, the patch by kubectl;
and a promotion of a real container by Compose, with its way back.

Compose is podman-compose always, and Docker's own where it is there (`docker-compose` or the plug-in): Debian
12 has none that is new enough. podman-compose and kubectl are what `tools/setup checkers` puts into
build/demo/bin, or in PATH. No cluster is asked.
"""

import json
import os
import shutil
import subprocess
import tempfile

from harness import ROOT, Skip, check, main, scenario
from production import NEW, OLD, free_ports, measure, write_study
from systemd_box import skip_unless, wait_until
from test_container import Podman

ODD = "a \"b\" 'c' $HOME ${HOME} $(WAIT) \\n back\\slash # [x] =y grüße"
IN_STUDY = ODD.replace("{", "{{")
PLUGINS = ("/usr/libexec/docker/cli-plugins", "/usr/lib/docker/cli-plugins",
           "/usr/local/lib/docker/cli-plugins")
ACCEPT = ("--accept", "version.llm")  # what is inside an image can't be told from outside


def program(name, *folders):
    path = ":".join([os.path.join(ROOT, "build/demo/bin"), os.environ["PATH"], *folders])
    return shutil.which(name, path=path)


def docker_compose():
    """Docker's Compose of today (version 1 knows no !reset)."""
    found = program("docker-compose", *PLUGINS)
    shown = subprocess.run([found, "version", "--short"], capture_output=True, text=True,
                           check=False).stdout if found else ""
    if shown.strip().lstrip("v").split(".")[0] in ("", "1"):
        raise Skip("no Compose of Docker's own: Debian 12 has none that is new enough")
    return found


def podman_compose():
    found = program("podman-compose")
    skip_unless(found, "no podman-compose: tools/setup checkers")
    return found


def call(box, *argv, **more):
    done = subprocess.run(argv, capture_output=True, text=True, check=False, timeout=120,
                          cwd=box.folder, env=dict(box.env, **more))
    check(done.returncode == 0, f"{argv}: {done.returncode}\n{done.stdout}{done.stderr}")
    return done.stdout


def as_json(text):
    """YAML, by podman-compose's own Python, which can read it."""
    with open(podman_compose(), encoding="utf-8") as file:
        python = file.readline()[2:].split()[0]
    done = subprocess.run([python, "-c", "import json, sys, yaml; json.dump(yaml.safe_load(sys.stdin), sys.stdout)"],
                          input=text, capture_output=True, text=True, check=False)
    check(done.returncode == 0, done.stderr + text)
    return json.loads(done.stdout)


def written(box, environment, **production):
    """A measured study, promoted where nothing runs what is written; the file's text."""
    study = measure(box)
    llm = dict({"environment": dict({"WAIT": "{wait}"}, **environment),
                "exec": ["serve", "--odd", IN_STUDY, "--latency", "{wait}"]}, **production)
    write_study(box, study, {"llm": llm})
    empty = box.path("empty")
    os.mkdir(empty)
    plan = json.loads(box.run("promote", box.file, *ACCEPT, "--plan-only", "--json", code=0, lines=-1,
                              env={"PATH": empty}).out)["plan"]
    box.run("promote", box.file, *ACCEPT, "--approve", plan["id"], code=0, lines=-1, env={"PATH": empty})
    with open(production.get("override") or production["kubernetes"], encoding="utf-8") as file:
        return file.read()


# ---- Compose: what it says that it would run ----

COMPOSE = """services:
  other:
    image: localhost/other:1
  llm:
    image: localhost/llm:1
    command: [old, words]
    environment:
      WAIT: 60ms
      KEPT: as it was
      GONE: was there
"""


def compose_config(box, argv, environment):
    compose, override = box.write("compose.yaml", COMPOSE), box.path("ours.yaml")
    written(box, environment, compose=compose, service="llm", override=override)
    service = as_json(call(box, *argv, "-f", compose, "-f", override, "config"))["services"]["llm"]
    if isinstance(service["environment"], list):
        service["environment"] = dict(pair.split("=", 1) for pair in service["environment"])
    return service


@scenario(quick=True)
def docker_compose_takes_the_override(box):
    argv = [docker_compose()]
    service = compose_config(box, argv, {"ODD": IN_STUDY, "GONE": None})
    # What it prints may be read by it again: a $ is doubled there.
    words = [word.replace("$$", "$") for word in service["command"]]
    variables = {name: value.replace("$$", "$") for name, value in service["environment"].items()}
    check(words == ["serve", "--odd", ODD, "--latency", NEW["llm"]], words)
    check(variables == {"WAIT": NEW["llm"], "KEPT": "as it was", "ODD": ODD}, variables)


@scenario(quick=True)
def podman_compose_takes_the_override(box):
    """It knows no !reset, so nothing is taken away here; Debian 12's has no `config` either."""
    argv = [podman_compose()]
    shown = subprocess.run([*argv, "--help"], capture_output=True, text=True, check=False).stdout
    if "config" not in shown:
        raise Skip("this podman-compose has no `config`: tools/setup checkers has a newer one")
    service = compose_config(box, argv, {"ODD": IN_STUDY})
    check(service["command"] == ["serve", "--odd", ODD, "--latency", NEW["llm"]], service)
    check(service["environment"] == {"WAIT": NEW["llm"], "KEPT": "as it was", "GONE": "was there", "ODD": ODD},
          service)


# ---- Kubernetes ----

DEPLOYMENT = {
    "apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": "voice", "namespace": "prod"},
    "spec": {"selector": {"matchLabels": {"app": "voice"}},
             "template": {"metadata": {"labels": {"app": "voice"}},
                          "spec": {"containers": [
                              {"name": "proxy", "image": "proxy:1", "args": ["stay"]},
                              {"name": "llm", "image": "llm:1", "args": ["old", "words"],
                               "env": [{"name": "WAIT", "value": OLD["llm"]},
                                       {"name": "KEPT", "value": "as it was"},
                                       {"name": "GONE", "value": "was there"}]}]}}}}


def patched(text, name):
    containers = {c["name"]: c for c in as_json(text)["spec"]["template"]["spec"]["containers"]}
    check(set(containers) == {"proxy", "llm"}, f"{name}: {containers}")
    check(containers["proxy"] == DEPLOYMENT["spec"]["template"]["spec"]["containers"][0] or
          containers["proxy"]["args"] == ["stay"], f"{name}: {containers}")
    llm = containers["llm"]
    variables = {one["name"]: one.get("value") for one in llm["env"]}
    odd = ODD.replace("$(", "$$(")  # for Kubernetes, which puts variables in
    check(variables == {"WAIT": NEW["llm"], "KEPT": "as it was", "ODD": odd}, f"{name}: {variables}")
    check(llm["command"] == ["serve", "--odd", odd, "--latency", NEW["llm"]] and not llm.get("args") and
          llm["image"] == "llm:1", f"{name}: {llm}")


@scenario(quick=True)
def kubectl_takes_the_patch(box):
    kubectl = program("kubectl")
    skip_unless(kubectl, "no kubectl: tools/setup checkers")
    patch = box.path("voice-patch.yaml")
    text = written(box, {"ODD": IN_STUDY, "GONE": None}, kubernetes=patch,
                   deployment="voice", namespace="prod", container="llm")
    check(f"kubectl patch deployment voice -n prod --patch-file {os.path.basename(patch)}" in text, text)
    deployment = box.write("deployment.yaml", json.dumps(DEPLOYMENT))
    patched(call(box, kubectl, "patch", "--local", "-f", deployment, "--patch-file", patch, "-o", "yaml"),
            "kubectl patch")
    box.write("kustomization.yaml", json.dumps({"resources": ["deployment.yaml"],
                                                "patchesStrategicMerge": [os.path.basename(patch)]}))
    patched(call(box, kubectl, "kustomize", box.folder), "kubectl kustomize")


# ---- a real container ----

class Engine(Podman):
    """Podman with all of its settings in files, so that `podman` alone is this one."""

    def __init__(self, box):
        skip_unless(shutil.which("podman"), "podman is not installed")
        skip_unless(os.geteuid() == 0, "podman is tried as root only")
        self.box, self.options = box, []
        self.image, self.program = "localhost/spica-fake:1", "/bin/fake-service"
        self.short = tempfile.mkdtemp(prefix="spica-p-")  # podman takes no long path
        runtime = shutil.which("runc") or shutil.which("crun")
        box.env["CONTAINERS_STORAGE_CONF"] = box.write(
            "storage.conf", f'[storage]\ndriver = "vfs"\ngraphroot = "{box.path("storage")}"\n'
                            f'runroot = "{self.short}/run"\n')
        # Where our own limits are below podman's defaults it may not raise them.
        box.env["CONTAINERS_CONF"] = box.write(
            "containers.conf",
            '[containers]\ndefault_ulimits = ["nofile=1024:1024", "nproc=4096:4096"]\n'
            f'[engine]\ncgroup_manager = "cgroupfs"\nevents_logger = "file"\n'
            f'runtime = "{os.path.basename(runtime)}"\ntmp_dir = "{self.short}/libpod"\n')
        box.cleanups.append(lambda: shutil.rmtree(self.short, ignore_errors=True))
        box.cleanups.append(lambda: self.call("rm", "-fa", "-t", "2"))
        self.make_image()
        tried = self.call("run", "--rm", "--network=host", self.image, self.program, "--help")
        skip_unless(tried.returncode == 0, "podman can't run a container here: " + tried.stderr.strip())


def with_podman_compose(box, engine):
    """`docker` of a machine with podman alone."""
    path = box.write("bin/docker", "#!/bin/sh\n[ \"$1\" != compose ] || { shift; exec "
                                   f"{podman_compose()} \"$@\"; }}\nexec podman \"$@\"\n")
    os.chmod(path, 0o755)


def with_docker_compose(box, engine):
    """Docker's own client and Compose, which talk with podman over Docker's protocol."""
    compose, docker = docker_compose(), shutil.which("docker")
    if not docker:
        raise Skip("no docker")
    os.makedirs(box.path("docker/cli-plugins"))
    os.symlink(compose, box.path("docker/cli-plugins/docker-compose"))
    box.env.update(DOCKER_CONFIG=box.path("docker"), DOCKER_HOST=f"unix://{engine.short}/podman.sock")
    box.helper("podman", "system", "service", "--time", "0", f"unix://{engine.short}/podman.sock")
    wait_until(lambda: os.path.exists(f"{engine.short}/podman.sock"), "podman does not listen")


def promoted_by(box, how, tells):
    """`tells`: it says which container is one service's (podman-compose's `ps` takes no service)."""
    engine = Engine(box)
    try:
        how(box, engine)
        promoted(box, engine, tells)
    finally:
        engine.call("rm", "-fa", "-t", "2")


def promoted(box, engine, tells):
    study = measure(box)
    port, = free_ports(1)
    serve = [engine.program, "--kind", "llm", "--port", str(port), "--life", "900s", "--latency"]
    compose = box.write("compose.yaml", json.dumps({"services": {"llm": {
        "image": engine.image, "network_mode": "host", "command": serve + [OLD["llm"]],
        "environment": {"WAIT": OLD["llm"]}}}}))

    def production(*more, **keys):
        llm = dict({"compose": compose, "service": "llm", "override": box.path("ours.yaml"), "port": port,
                    "within": "60s", "environment": {"WAIT": "{wait}", "ODD": IN_STUDY},
                    "exec": serve + ["{wait}", *more]}, **keys)
        write_study(box, study, {"llm": llm, "verify": {"window": "1s", "rate": "10/s"}})

    def words():
        """What the one container's process was started with."""
        ids = engine.call("ps", "-q").stdout.split()
        check(len(ids) == 1, ids)
        pid = engine.call("inspect", "--format", "{{.State.Pid}}", ids[0]).stdout.strip()
        with open(f"/proc/{pid}/cmdline", "rb") as file:
            line = file.read().decode().split("\0")[:-1]
        with open(f"/proc/{pid}/environ", "rb") as file:
            variables = dict(e.split("=", 1) for e in file.read().decode().split("\0") if "=" in e)
        return line[line.index("--latency") + 1], variables["WAIT"], variables.get("ODD")

    def promote(code):
        shown = box.run("promote", box.file, *ACCEPT, "--plan-only", "--json", code=0, lines=-1)
        done = box.run("promote", box.file, *ACCEPT, "--approve", json.loads(shown.out)["plan"]["id"], "--json",
                       code=code, lines=-1)
        return json.loads(done.out)

    production()
    call(box, "docker", "compose", "-f", compose, "up", "-d")
    old = (OLD["llm"], OLD["llm"], None)
    check(words() == old, words())
    result = promote(0)
    for one in result["checks"]:
        print("seen:", one["check"], one["answer"], one["text"])
    check({"active", "ready", "probe", "placement", "load"} <=
          {c["check"] for c in result["checks"] if c["answer"] == "passed"}, result["checks"])
    check(words() == (NEW["llm"], NEW["llm"], ODD), words())
    box.run("rollback", box.file, code=0, lines=-1)
    check(words() == old and not os.path.exists(box.path("ours.yaml")), words())
    # A model that is not there, and a start that fails: undone, the old one serves.
    production("--transcripts", "/srv/models/whisper-tiny.bin", within="8s")
    result = promote(7)
    print("rolled back:", result["why"])
    check("no container of it runs; it is exited, status" in result["why"] or
          (not tells and "nobody listens" in result["why"]), result["why"])
    check(words() == old, words())


@scenario()
def a_container_by_podman_compose(box):
    promoted_by(box, with_podman_compose, False)


@scenario()
def a_container_by_docker_compose(box):
    promoted_by(box, with_docker_compose, True)


if __name__ == "__main__":
    main(__name__)
