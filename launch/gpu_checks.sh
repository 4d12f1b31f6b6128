#!/usr/bin/env bash
# What needs GPUs: every engine against one GPU, the growing batch, resumption, SIGTERM, a rank that hangs under NCCL.
# From the folder of the repository, with valenza[deepspeed,demo] installed:  launch/gpu_checks.sh [GPUS] [FOLDER]
# Prints one line a check and ends with 1 if any of them failed; everything that was said lies in FOLDER.
set -uo pipefail
gpus=${1:-$(nvidia-smi --list-gpus | wc -l)}
out=${2:-gpu_checks}
failed=0
mkdir -p "$out"

train() { # NAME PROCESSES WORDS…: trains 40 steps into $out/NAME
    local name=$1 processes=$2
    shift 2
    torchrun --standalone --nproc_per_node "$processes" -m valenza train recipes/demo.yaml \
        data.shards="$out/shards" training.steps=40 training.checkpoint_every=20 training.validate_every=20 \
        training.keep_checkpoints=9 'training.windows_per_step=[8, 32]' training.windows_per_pass=2 \
        --out "$out/$name" "$@" >>"$out/$name.log" 2>&1
}

check() { # TEXT COMMAND…: prints whether it holds
    local text=$1
    shift
    if "$@"; then echo "ok      $text"; else
        echo "FAILED  $text"
        failed=1
    fi
}

agree() { # RUN RUN TOLERANCE: the losses of both, and which of them is the farthest from the other
    python - "$out/$1/metrics.jsonl" "$out/$2/metrics.jsonl" "$3" <<'PYTHON'
import json
import sys

runs = [[row["loss"] for row in map(json.loads, open(file)) if "loss" in row] for file in sys.argv[1:3]]
if len(runs[0]) != len(runs[1]) or not runs[0]:
    sys.exit(f"        {len(runs[0])} and {len(runs[1])} steps")
farthest = max(abs(a - b) / abs(b) for a, b in zip(*runs))
print(f"        largest relative difference {farthest:.2g} over {len(runs[0])} steps, {float(sys.argv[3]):g} allowed")
sys.exit(farthest > float(sys.argv[3]))
PYTHON
}

exits() { # RUN CODE: what exit.json says
    python - "$out/$1/exit.json" "$2" <<'PYTHON'
import json
import sys

told = json.load(open(sys.argv[1]))
print(f"        {told}")
sys.exit(told["code"] != int(sys.argv[2]))
PYTHON
}

first_step() { # RUN: waits until it has made one
    for _ in $(seq 600); do
        [ -s "$out/$1/metrics.jsonl" ] && return 0
        sleep 0.2
    done
    return 1
}

valenza corpus synth "$out/corpora" && valenza shards build --all --data-root "$out/corpora" \
    --manifests "$out/corpora/manifests" --shards "$out/shards" || exit 1

check "one GPU, float32" train one 1 --precision no
for engine in ddp fsdp2 zero1 zero2 zero3 zero2_offload zero3_offload; do
    check "$engine on $gpus GPUs" train "$engine" "$gpus" --precision no --engine "launch/accelerate/$engine.yaml"
    check "$engine agrees with one GPU" agree "$engine" one 1e-3
    rm -rf "$out/$engine/checkpoints/step-00000040"
    check "$engine goes on from step 20" train "$engine" "$gpus" --precision no --engine "launch/accelerate/$engine.yaml"
    check "$engine agrees after it went on" agree "$engine" one 1e-3
    check "$engine in bfloat16" train "$engine-bf16" "$gpus" --precision bf16 --engine "launch/accelerate/$engine.yaml"
    check "$engine in bfloat16 agrees roughly" agree "$engine-bf16" one 5e-2
done

(train asked "$gpus" --precision no training.steps=100000) &
first_step asked && pkill -TERM -f "torchrun.*$out/asked"
wait
check "SIGTERM to torchrun ends with a checkpoint" exits asked 75
check "and leaves one" test -n "$(ls "$out/asked/checkpoints" 2>/dev/null)"

export VALENZA_TIMEOUT_SECONDS=20
(train hangs "$gpus" --precision no training.steps=100000) &
first_step hangs && pkill -STOP -f "valenza train.*$out/hangs" -n
wait
unset VALENZA_TIMEOUT_SECONDS
check "a rank that is stopped ends the run within its time" exits hangs 76
check "and stacks of $gpus ranks are on the disk" test "$(find "$out/hangs/stacks" -name 'rank-*.txt' | wc -l)" -eq "$gpus"

pkill -KILL -f "valenza train.*$out/hangs"
exit $failed
