#!/bin/bash
# promote.sh without a GPU: the fake driver shows one H100, and fake services stand for Whisper and
# llama-server, which without a visible card compute on the CPU and say that they are well.
#
# usage: tests/hardware/promote_dry_run.sh BUILD_FOLDER SPICA [FOLDER]   (SPICA: the program, or a bundle)
#
# Two minutes. The lines of summary.txt are printed as they come.

set -euo pipefail
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
build=$(cd "${1:?BUILD_FOLDER}" && pwd)
program=$(readlink -f "${2:?SPICA}")
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
out=${3:-$work/out}
# shellcheck source-path=SCRIPTDIR source=fake_h100.sh
. "$here/fake_h100.sh"
server=$lab/llama/llama.cpp/build/bin/llama-server

make_world 20ms 250ms
make_lab
mkdir -p "$H100_ROOT/spica/bin"
if [[ $program == *.tar.xz ]]; then
    tar -xJf "$program" -C "$H100_ROOT/spica" --strip-components=1
else
    ln -s "$program" "$H100_ROOT/spica/bin/spica"
fi

# Four at once where it has four slots: else each waits for three others.
cat >"$server" <<'LLAMA'
#!/bin/bash
[[ ${1:-} != --version ]] || { echo "version: 5172 (eb1776b1)"; exit; }
latency=200ms; [[ "$*" != *"--parallel 4"* ]] || latency=20ms
printf '%s\n' "--gpu $FAKE_NVML_WORLD" "--gpu-memory 1200M" "--gpu-sm 30" "--life 10m" \
    "--latency $latency" >"$H100_ROOT/llama-$$.script"
FAKE_SERVICE_SCRIPT=$H100_ROOT/llama-$$.script exec "$FAKE" --as llama-server "$@"
LLAMA
chmod +x "$server"

# Other work is on these machines, and a fake's own words are not what the card's are.
mkdir -p "$work/kit/tests/hardware" "$work/kit/examples"
cp "$here/promote.sh" "$work/kit/tests/hardware/"
cp -r "$root/examples/h100" "$root/examples/openai_whisper_server.py" "$work/kit/examples/"
sed -i -E 's/^measure: \{.*/measure: {warmup: 0s, window: 2s, alone: 0s, repeats: 3, contention: 100%, lateness: 100ms}/' \
    "$work/kit/examples/h100/promote.yaml"
"$work/kit/tests/hardware/promote.sh" "$out"
