#!/usr/bin/env python3
"""What `make bundle` gives is whole: unpacked anywhere, in an empty environment, it loads no library but
its own and glibc's, runs a study, and gives the services that it starts nothing of itself.

On a bare system it is tried by `make bundle-test`. usage: test_bundle.py BUILD_FOLDER [BUNDLE]
"""
import json
import os
import re
import shutil
import subprocess
import sys
import tempfile

HERE = os.path.dirname(os.path.abspath(__file__))
ROOT = os.path.dirname(os.path.dirname(HERE))
FAKE = os.path.abspath(os.environ["FAKE_SERVICE"])
GLIBC = re.compile(r"(ld-linux-x86-64\.so\.2|linux-vdso\.so\.1|"
                   r"lib(c|m|dl|pthread|rt|resolv|util|anl)\.so\.\d+)$")
ENOUGH = (2, 36)


def check(condition, text):
    if not condition:
        raise AssertionError(text)


def run(argv, code=0, **more):
    done = subprocess.run(argv, capture_output=True, text=True, errors="replace", timeout=300, **more)
    check(done.returncode == code, f"{argv}: exit {done.returncode}\n{done.stdout}{done.stderr}")
    return done.stdout


def make(folder, build):
    out = run([os.path.join(ROOT, "tools/bundle"), "--build", build, "--output", folder])
    return out.strip().splitlines()[-1]


def unpack(bundle, folder):
    run(["tar", "-xJf", bundle, "-C", folder])
    name = os.path.basename(bundle)[:-len(".tar.xz")]
    check(os.listdir(folder) == [name], f"beside {name}: {os.listdir(folder)}")
    return os.path.join(folder, name)


def check_files(top):
    for name in ("README", "LICENSE", "NOTICE", "licences/LIBRARIES", "share/man/man1/spica.1",
                 "share/man/man5/spica-study.5", "share/bash-completion/completions/spica",
                 "examples/voice-cpu.yaml", "examples/h100/guard.yaml", "share/doc/spica/PROXY.md",
                 "share/systemd/system/spica-haproxy.service",
                 "share/systemd/user/spica-guard.service", "licences/common-licenses/LGPL-2.1"):
        check(os.path.getsize(os.path.join(top, name)) > 0, f"{name} is empty")
    with open(os.path.join(top, "licences/LIBRARIES"), encoding="utf-8") as file:
        listed = {line.split()[0] for line in file if line.startswith("lib")}
    there = set(os.listdir(os.path.join(top, "lib")))
    check(listed == there, f"in lib/ and not in LIBRARIES, or the reverse: {listed ^ there}")


def check_libraries(top):
    """Nothing from outside but glibc, and no symbol of a glibc later than promised."""
    inside = os.path.join(os.path.realpath(top), "lib")
    for line in run(["env", "-i", "/usr/bin/ldd", os.path.join(top, "bin/spica")]).splitlines():
        name = line.split()[0]
        path = line.split("=>")[1].split()[0] if "=>" in line else name
        if not GLIBC.search(name):
            check(os.path.realpath(path).startswith(inside), f"from outside: {line.strip()}")
    files = [os.path.join(top, "bin/spica")]
    files += [os.path.join(inside, name) for name in os.listdir(inside)]
    for version in set(re.findall(r"GLIBC_(\d+)\.(\d+)", run(["objdump", "-T", *files]))):
        check(tuple(map(int, version)) <= ENOUGH, f"needs glibc {version}")


def check_study(top, folder):
    """One study by the unpacked program, and what the service found in its environment."""
    spica, clean = os.path.join(top, "bin/spica"), ["env", "-i", "PATH=/usr/bin:/bin", "TERM=dumb"]
    clean += [f"HOME={folder}", f"SPICA_LOCK_DIR={folder}"]
    shutil.copy(os.path.join(HERE, "bundle.yaml"), os.path.join(folder, "study.yaml"))
    os.symlink(FAKE, os.path.join(folder, "fake-service"))
    os.mkdir(os.path.join(folder, "fakelib"))
    with open(os.path.join(folder, "prompts.jsonl"), "w", encoding="utf-8") as file:
        file.writelines(json.dumps({"prompt": text}) + "\n" for text in ("one two", "three four"))
    check(run(["env", "-i", spica, "--version"]).startswith("spica "), "no version")
    run([*clean, spica, "check", "study.yaml"], cwd=folder)
    run([*clean, spica, "run", "study.yaml"], cwd=folder)
    run([*clean, spica, "report", "study.yaml"], cwd=folder)
    with open(os.path.join(folder, "service-environment"), encoding="utf-8") as file:
        given = file.read()
    check("SPICA_SERVICE=" in given, f"not the service's environment:\n{given}")
    check(os.path.realpath(top) not in given and top not in given, f"ours leaks:\n{given}")
    libraries = [line for line in given.splitlines() if line.startswith("LD_")]
    check(libraries == ["LD_LIBRARY_PATH=fakelib"], f"not as the study says: {libraries}")


def main():
    with tempfile.TemporaryDirectory(prefix="spica-bundle-") as folder:
        for sub in ("made", "top", "study"):
            os.mkdir(os.path.join(folder, sub))
        bundle = sys.argv[2] if len(sys.argv) > 2 else make(os.path.join(folder, "made"), sys.argv[1])
        top = unpack(bundle, os.path.join(folder, "top"))
        check_files(top)
        check_libraries(top)
        check_study(top, os.path.join(folder, "study"))
    print("bundle: whole")


if __name__ == "__main__":
    main()
