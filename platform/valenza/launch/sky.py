"""A SkyPilot managed job: spot machines that are replaced when they are taken away."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from valenza.errors import UsageError
from valenza.launch.document import companions, documents, elsewhere
from valenza.launch.job import AGAIN, Job, check_words
from valenza.launch.shell import FORWARD, VERDICT, assign, script, settings

_PORT = 29_500

_MEETING = f"""\
meeting=(
    --node-rank "$SKYPILOT_NODE_RANK"
    --master-addr "$(head -n 1 <<<"$SKYPILOT_NODE_IPS")"
    --master-port {_PORT}
)"""

_RUN = f"""\
before=$(newest)
if [[ $SKYPILOT_NODE_RANK == 0 ]]; then rm -f -- "$run/exit.json"; fi
attend "${{train[@]}}"
status=$?
# SkyPilot ends all nodes when one fails, and the first node knows the exit code: the others give it time to say so.
if ((status != 0)) && [[ $SKYPILOT_NODE_RANK != 0 ]]; then
    sleep 120
    exit {AGAIN[1]}
fi
exit "$(verdict "$status" "$before" 3)\""""


@dataclass(frozen=True)
class Sky:
    """What only SkyPilot asks for."""

    storage: str
    """A bucket, such as `s3://name`, that holds the shards and keeps the run."""
    accelerator: str | None = None
    image: str | None = None
    spot: bool = True
    mount: str = "/valenza"
    files: str = "/etc/valenza"
    before: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        check_words("--storage", [self.storage], r"(s3|gs|r2|https|cos|oci|nebius|azure)://[\w.:/-]+")
        check_words("--accelerator", [self.accelerator], r"[A-Za-z0-9-]+")
        check_words("--image", [self.image], r"[\w][\w.:/@-]*")
        check_words("--mount, --files", [self.mount, self.files], r"(/[\w.-]+)+")


def sky_task(job: Job, sky: Sky, source: Path) -> str:
    """Return YAML for `sky jobs launch`; without an image, the package is installed from the checkout `source`."""
    if job.gpus and sky.accelerator is None:
        raise UsageError("--gpus-per-node: say which GPU with --accelerator, such as H100")
    if sky.image is None and not (source / "pyproject.toml").is_file():
        raise UsageError(f"{source}: no checkout to install from; give --image, or run this in the repository")
    resources: dict[str, Any] = {"use_spot": sky.spot}
    if job.gpus:
        resources["accelerators"] = f"{sky.accelerator}:{job.gpus}"
    if job.cpus:
        resources["cpus"] = f"{job.cpus}+"
    if sky.image is not None:
        resources["image_id"] = f"docker:{sky.image}"
    # Lost machines are always replaced; of exit codes, only these two are worth another start.
    resources["job_recovery"] = {"max_restarts_on_errors": 0, "recover_on_exit_codes": list(AGAIN)}
    task: dict[str, Any] = {"name": job.name, "num_nodes": job.nodes, "resources": resources}
    if sky.image is None:
        task["workdir"] = str(source)
    task["file_mounts"] = {
        f"{sky.files}/{name}": str(path.resolve()) for name, path in companions(job.recipe, job.engine).items()
    }
    # Written locally first and sent on at once: a bucket itself knows no renames, on which checkpoints rely.
    task["file_mounts"][sky.mount] = {"source": sky.storage, "mode": "MOUNT_CACHED"}
    setup = [*(["pip install ."] if sky.image is None else []), *sky.before]
    if setup:
        task["setup"] = "\n".join(["set -e", *setup]) + "\n"
    task["run"] = _script(elsewhere(job, sky.files), sky)
    comment = (
        f"valenza: {job.size}. {sky.storage} is mounted at {sky.mount}: relative paths of the recipe begin there.\n"
        f"Machines that are taken away are replaced, exit codes {AGAIN[0]} and {AGAIN[1]} start again; any other\n"
        "failure ends the job. The run goes on from its newest checkpoint that reached the bucket whole."
    )
    return documents(comment, [task])


def _script(job: Job, sky: Sky) -> str:
    place = f'set -uo pipefail\n{assign("folder", sky.mount)}\ncd -- "$folder" || exit 64'
    return script(place, _MEETING, settings(job, '"${meeting[@]}"'), VERDICT, FORWARD, _RUN)
