"""An sbatch file: torchrun on every node, a checkpoint before the time is up, and a requeue that goes on from it."""

from dataclasses import dataclass
from pathlib import Path

from valenza.errors import UsageError
from valenza.launch.job import GRACE, Job, check_words
from valenza.launch.shell import VERDICT, assign, script, settings

_DIRECTIVE = r"--[a-z][a-z-]*(=[A-Za-z0-9_.,:@%+/\[\]-]+)?"
_OURS = ("--signal", "--requeue", "--no-requeue", "--open-mode", "--ntasks", "--array")


@dataclass(frozen=True)
class Slurm:
    """What only Slurm asks for; absent options are left to the cluster."""

    time: str | None = None
    partition: str | None = None
    account: str | None = None
    more: tuple[str, ...] = ()
    """Further options of sbatch, such as `--qos=high`."""
    before: tuple[str, ...] = ()
    """Lines of shell that make the software available, such as `module load cuda`."""

    def __post_init__(self) -> None:
        # Each lands in a line that sbatch reads, where a line break would begin a command.
        check_words("--time", [self.time], r"[0-9]+(-[0-9]+)?(:[0-9]{1,2}){0,2}")
        check_words("--partition", [self.partition], r"[A-Za-z0-9_.,-]+")
        check_words("--account", [self.account], r"[A-Za-z0-9_.-]+")
        check_words("--sbatch", self.more, _DIRECTIVE)
        for option in self.more:
            if option.startswith(_OURS):
                raise UsageError(f"--sbatch {option}: the script sets this itself, because resuming depends on it")


_MEETING = """\
# The first node is where the nodes meet, at the address by which Slurm itself reaches it.
head=$(scontrol show hostnames "$SLURM_JOB_NODELIST" | head -n 1)
address=$(scontrol show node "$head" | sed -n 's/.*NodeAddr=\\([^ ]*\\).*/\\1/p' | head -n 1)
meeting=(
    --rdzv-backend c10d
    --rdzv-id "$SLURM_JOB_ID-${SLURM_RESTART_COUNT:-0}"
    --rdzv-endpoint "${address:-$head}:$((15000 + SLURM_JOB_ID % 15000))"
)"""

_RUN = """\
# Slurm's SIGTERM reaches every process of the step by itself, so torchrun must not send it on: the second one means
# "out at once". The batch shell, which gets it on some clusters, waits for the step.
trap : TERM
count=${SLURM_RESTART_COUNT:-0}
before=$(newest)
rm -f -- "$run/exit.json"
# No --kill-on-bad-exit: the first process to leave must not end the one that is still writing the checkpoint.
# shellcheck disable=SC2016 # the variables are each node's own
srun --kill-on-bad-exit=0 --wait=600 bash -c '
    trap "" TERM
    export PET_SIGNALS_TO_HANDLE=SIGINT,SIGHUP,SIGQUIT PET_RDZV_CONF="is_host=$((SLURM_NODEID == 0))"
    exec "$@"' node "${train[@]}"
code=$(verdict $? "$before" "$count")

case $code in
75 | 76)
    # A job that was cancelled, or that Slurm is already requeueing, is no longer running.
    state=$(scontrol show job "$SLURM_JOB_ID" | sed -n 's/.*JobState=\\([A-Z_]*\\).*/\\1/p' | head -n 1)
    if [[ $state != RUNNING ]]; then
        echo "exit code $code: Slurm has ended this job ($state)"
    elif ((count >= restarts)); then
        echo "exit code $code: gave up after $restarts restarts"
    else
        echo "exit code $code: requeued, restart $((count + 1)) of at most $restarts"
        scontrol requeue "$SLURM_JOB_ID"
    fi
    ;;
esac
exit "${code:-76}\""""


def slurm_script(job: Job, slurm: Slurm, folder: Path) -> str:
    """Return an sbatch file that trains in `folder`, which all nodes must see, and resumes by itself."""
    options = [
        f"--job-name={job.name}",
        f"--nodes={job.nodes}",
        "--ntasks-per-node=1",
        f"--gpus-per-node={job.gpus}" if job.gpus else None,
        f"--cpus-per-task={job.cpus}" if job.cpus else None,
        f"--time={slurm.time}" if slurm.time else None,
        f"--partition={slurm.partition}" if slurm.partition else None,
        f"--account={slurm.account}" if slurm.account else None,
        *slurm.more,
        f"--output={job.name}-%j.log",
        "--open-mode=append",
        "--requeue",
        f"--signal=TERM@{GRACE}",
    ]
    head = [
        "#!/usr/bin/env bash",
        *(f"#SBATCH {option}" for option in options if option is not None),
        "#",
        f"# valenza: {job.size}. {GRACE} s before the time is up, or when it is pre-empted, the run writes a",
        "# checkpoint and is requeued; after a node is lost, Slurm requeues it. It goes on from its newest checkpoint.",
        "set -uo pipefail",
    ]
    return script(
        "\n".join(head),
        f'{assign("folder", folder)}\ncd -- "$folder" || exit 64',
        *(["\n".join(slurm.before)] if slurm.before else []),
        f"restarts={job.restarts}",
        _MEETING,
        settings(job, '"${meeting[@]}"'),
        VERDICT,
        _RUN,
    )
