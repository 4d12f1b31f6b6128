"""The pieces of bash that rendered jobs share. Values enter as quoted assignments only; the code itself is constant."""

import shlex

from valenza.launch.job import AGAIN, SHUTDOWN, Job


def assign(name: str, value: object) -> str:
    """Return `name=value`, quoted so that nothing in it is run or expanded."""
    return f"{name}={shlex.quote(str(value))}"


def settings(job: Job, meeting: str = "") -> str:
    """Return the assignments that every job needs: `run`, `python` and `train`, the whole command.

    `meeting` is bash: the words that tell torchrun how the nodes find each other.
    """
    rows = [
        '"$python" -m torch.distributed.run',
        f"--nnodes {job.nodes} --nproc-per-node {job.processes} --max-restarts 0",
        meeting,
        "-m valenza train",
        *(shlex.join(row) for row in job.rows()),
    ]
    return "\n".join(
        [
            assign("run", job.out),
            assign("python", job.python),
            "train=(",
            *(f"    {row}" for row in rows if row),
            ")",
            "# How long torchrun leaves its processes after a SIGTERM; older versions of torch know only 30 s.",
            f"export TORCH_ELASTIC_SHUTDOWN_TIMEOUT={SHUTDOWN}",
        ]
    )


VERDICT = f"""\
newest() {{ find "$run/checkpoints" -mindepth 1 -maxdepth 1 -name 'step-*' 2>/dev/null | sort | tail -n 1; }}

# torchrun ends with 1 whatever happened, so the run itself leaves its exit code in exit.json:
# 0 done, {AGAIN[0]} pre-empted and {AGAIN[1]} peer lost (both go on when started again);
# anything else is a failure to mend.
# A run that was killed leaves none; it may go on if it got further, or at its first three restarts.
verdict() {{ # STATUS OF TORCHRUN, NEWEST CHECKPOINT BEFORE, RESTARTS SO FAR
    local code
    code=$("$python" -c 'import json, sys; print(json.load(open(sys.argv[1]))["code"])' "$run/exit.json" 2>/dev/null)
    if [[ $code =~ ^[0-9]+$ ]]; then
        echo "$code"
    elif [[ $1 == 0 ]]; then
        echo 0
    elif [[ $1 != 126 && $1 != 127 ]] && [[ $(newest) != "$2" || $3 -lt 3 ]]; then
        echo {AGAIN[1]}
    else
        echo "$1"
    fi
}}"""

FORWARD = """\
child=
trap 'kill -TERM "$child" 2>/dev/null' TERM

# Runs a command to its end and hands a SIGTERM on to it. torchrun passes it to its processes, which write a checkpoint.
attend() {
    "$@" &
    child=$!
    local status
    while :; do
        wait "$child"
        status=$?
        # A signal ends `wait` early; only a child that is gone has ended.
        kill -0 "$child" 2>/dev/null || break
    done
    child=
    return "$status"
}"""


def script(*parts: str) -> str:
    """Return the parts with an empty line between each two, and a line end."""
    return "\n\n".join(part.strip("\n") for part in parts) + "\n"
