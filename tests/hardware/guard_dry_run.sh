#!/bin/bash
# guard.py without a GPU: the fake driver shows one H100, and fake services stand for vLLM, Whisper and the
# neighbour. What can go wrong in the script, the study and the units goes wrong here, where minutes cost nothing.
# A fake has no engine process and prints no line of PyTorch's, so out_of_memory and leak are not played.
#
# usage: tests/hardware/guard_dry_run.sh BUILD_FOLDER [PART...]      (root; about five minutes)

set -euo pipefail
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
build=$(cd "${1:?BUILD_FOLDER}" && pwd)
shift
(($#)) || set -- quiet swing back_on_cpu tier_on_cpu frozen_engine dead_engine pressure killed
work=${GUARD_DRY:-$(mktemp -d)} # kept where it is named, and the study is not run again
[[ -n ${GUARD_DRY:-} ]] || trap 'rm -rf "$work"' EXIT
# shellcheck source-path=SCRIPTDIR source=fake_h100.sh
. "$here/fake_h100.sh"
export SPICA=$build/src/cli/spica PATH=$PATH:/usr/sbin
studies=$H100_ROOT/studies/h100

rm -rf "${work:?}"/{world,bin,h100/lab,h100/vllm-*}
make_world 50ms 100ms 1
make_lab
mkdir -p "$studies"
cp "$root"/examples/h100/{guard.yaml,hold.py} "$studies/"
cp "$root/examples/openai_whisper_server.py" "$H100_ROOT/studies/"
ln -sfn "$lab" "$studies/lab"
# Other work is on these machines, and a fake's own words are not what the card's are.
sed -i -E -e 's/^measure: \{.*/measure: {warmup: 0s, window: 2s, alone: 0s, repeats: 3, contention: 100%, lateness: 1s}/' \
    -e 's/window: 15s, warmup: 1s/window: 3s, warmup: 1s/' "$studies/guard.yaml"
[[ -f $studies/guard.spica/winner.json ]] || (cd "$studies" && "$SPICA" run guard.yaml --quiet)
"$here/guard.py" play "$work/out" "$@"
