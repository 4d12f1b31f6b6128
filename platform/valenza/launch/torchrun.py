"""A plain script for one machine: torchrun, started again by exit code."""

from pathlib import Path

from valenza.launch.job import Job
from valenza.launch.shell import FORWARD, VERDICT, assign, script, settings

_LOOP = """\
# Ctrl-C reaches torchrun too, which would end the processes at once; it is to hear the SIGTERM alone.
export PET_SIGNALS_TO_HANDLE=SIGTERM,SIGHUP
stopped=
trap 'stopped=1; kill -TERM "$child" 2>/dev/null' TERM INT
for ((count = 0; ; count++)); do
    before=$(newest)
    rm -f -- "$run/exit.json"
    attend "${train[@]}"
    code=$(verdict $? "$before" "$count")
    case $code in
    75 | 76)
        if [[ -n $stopped ]]; then
            echo "stopped at a checkpoint; run this script again to go on" >&2
            exit "$code"
        fi
        if ((count >= restarts)); then
            echo "gave up after $restarts restarts (exit code $code)" >&2
            exit "$code"
        fi
        echo "exit code $code: starting again ($((count + 1)) of at most $restarts)" >&2
        sleep 1
        if [[ -n $stopped ]]; then exit 75; fi
        ;;
    *) exit "$code" ;;
    esac
done"""


def torchrun_script(job: Job, folder: Path) -> str:
    """Return a bash script that trains in `folder` and starts again while the run says that it can go on."""
    head = (
        "#!/usr/bin/env bash\n"
        f"# valenza: {job.size}, started again by itself. Ctrl-C or SIGTERM stops it at a checkpoint.\n"
        "set -uo pipefail"
    )
    return script(
        head,
        f'{assign("folder", folder)}\ncd -- "$folder" || exit 64',
        settings(job, "--standalone"),
        f"restarts={job.restarts}",
        VERDICT,
        FORWARD,
        _LOOP,
    )
