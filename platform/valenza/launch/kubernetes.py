"""A Kubeflow TrainJob (v2) with a runtime of its own, because only a runtime says what follows a failure."""

from dataclasses import dataclass
from typing import Any

from valenza.launch.document import companions, documents, elsewhere, read_text
from valenza.launch.job import AGAIN, GRACE, Job, check_words
from valenza.launch.shell import FORWARD, VERDICT, assign, script, settings

_API = "trainer.kubeflow.org/v1alpha1"

_RUN = """\
node=${PET_NODE_RANK:-0}
before=$(newest)
if [[ $node == 0 ]]; then rm -f -- "$run/exit.json"; fi
attend "${train[@]}"
status=$?
# Every pod ends with the code of the run, which the first process leaves on the shared volume.
if ((status != 0)); then
    for _ in {1..10}; do
        [[ -e $run/exit.json ]] && break
        sleep 1
    done
fi
exit "$(verdict "$status" "$before" 0)\""""


@dataclass(frozen=True)
class Cluster:
    """What only Kubernetes asks for."""

    image: str
    claim: str = "valenza"
    claim_size: str | None = None
    mount: str = "/valenza"
    files: str = "/etc/valenza"
    memory: str | None = None

    def __post_init__(self) -> None:
        check_words("--image", [self.image], r"[\w][\w.:/@-]*")
        check_words("--claim", [self.claim], r"[a-z0-9]([-a-z0-9.]*[a-z0-9])?")
        check_words("--claim-size, --memory", [self.claim_size, self.memory], r"[0-9]+(\.[0-9]+)?([EPTGMk]i?)?")
        check_words("--mount, --files", [self.mount, self.files], r"(/[\w.-]+)+")


def kubernetes_manifests(job: Job, cluster: Cluster) -> str:
    """Return YAML for `kubectl create`: the recipe and script, the runtime and the job; and the claim, where sized."""
    files = {path: read_text(here) for path, here in companions(job.recipe, job.engine).items()}
    files["job.sh"] = _script(elsewhere(job, cluster.files), cluster)
    config = {
        "apiVersion": "v1",
        "kind": "ConfigMap",
        "metadata": {"name": job.name},
        "data": {_key(path): text for path, text in files.items()},
    }
    values = [config, _runtime(job, cluster, list(files)), _train_job(job, cluster)]
    if cluster.claim_size is not None:
        values.insert(0, _claim(cluster))
    comment = (
        f"valenza: {job.size}. Needs Kubeflow Trainer 2 and the claim {cluster.claim!r}, which every node can write\n"
        f"(ReadWriteMany). It is mounted at {cluster.mount}, where relative paths of the recipe begin.\n"
        f"A pod that is evicted has {GRACE} s for a checkpoint. Exit codes {AGAIN[0]} and {AGAIN[1]} and lost pods\n"
        f"start all pods again, at most {job.restarts} times; any other failure ends the job at once."
    )
    return documents(comment, values)


def _script(job: Job, cluster: Cluster) -> str:
    head = (
        "#!/usr/bin/env bash\n"
        "# How the nodes meet is in the PET_* variables, which Kubeflow sets and torchrun reads.\n"
        "set -uo pipefail"
    )
    place = f'{assign("folder", cluster.mount)}\ncd -- "$folder" || exit 64'
    return script(head, place, settings(job), VERDICT, FORWARD, _RUN)


def _key(path: str) -> str:
    return path.replace("/", "-")


def _claim(cluster: Cluster) -> dict[str, Any]:
    return {
        "apiVersion": "v1",
        "kind": "PersistentVolumeClaim",
        "metadata": {"name": cluster.claim},
        "spec": {"accessModes": ["ReadWriteMany"], "resources": {"requests": {"storage": cluster.claim_size}}},
    }


def _runtime(job: Job, cluster: Cluster, files: list[str]) -> dict[str, Any]:
    pod = {
        "restartPolicy": "Never",
        "terminationGracePeriodSeconds": GRACE,
        "containers": [
            {
                "name": "node",
                "image": cluster.image,
                "volumeMounts": [
                    {"name": "data", "mountPath": cluster.mount},
                    {"name": "files", "mountPath": cluster.files, "readOnly": True},
                    {"name": "memory", "mountPath": "/dev/shm"},  # noqa: S108 (DataLoader's workers hand windows over here)
                ],
            }
        ],
        "volumes": [
            {"name": "data", "persistentVolumeClaim": {"claimName": cluster.claim}},
            {
                "name": "files",
                "configMap": {"name": job.name, "items": [{"key": _key(path), "path": path} for path in files]},
            },
            {"name": "memory", "emptyDir": {"medium": "Memory"}},
        ],
    }
    # A pod's code that no restart mends fails its Job at once, and that Job the JobSet; 137 and 143 are pods that were
    # killed. Every other failure starts all pods again, because the peers of a lost pod cannot go on without it.
    mend = {
        "action": "FailJob",
        "onExitCodes": {"containerName": "node", "operator": "NotIn", "values": [*AGAIN, 137, 143]},
    }
    node = {
        "name": "node",
        "template": {
            "metadata": {"labels": {"trainer.kubeflow.org/trainjob-ancestor-step": "trainer"}},
            "spec": {"backoffLimit": 0, "podFailurePolicy": {"rules": [mend]}, "template": {"spec": pod}},
        },
    }
    failures = {
        "maxRestarts": job.restarts,
        "rules": [{"name": "mend", "action": "FailJobSet", "onJobFailureReasons": ["PodFailurePolicy"]}],
    }
    return {
        "apiVersion": _API,
        "kind": "TrainingRuntime",
        "metadata": {"name": job.name, "labels": {"trainer.kubeflow.org/framework": "torch"}},
        "spec": {
            "mlPolicy": {"numNodes": job.nodes, "torch": {}},
            "template": {"spec": {"failurePolicy": failures, "replicatedJobs": [node]}},
        },
    }


def _train_job(job: Job, cluster: Cluster) -> dict[str, Any]:
    wanted: dict[str, str] = {}
    if job.cpus:
        wanted["cpu"] = str(job.cpus)
    if cluster.memory is not None:
        wanted["memory"] = cluster.memory
    if job.gpus:
        wanted["nvidia.com/gpu"] = str(job.gpus)
    trainer: dict[str, Any] = {
        "image": cluster.image,
        "command": ["bash", f"{cluster.files}/job.sh"],
        "numNodes": job.nodes,
        "numProcPerNode": job.processes,
    }
    if wanted:
        trainer["resourcesPerNode"] = {"limits": wanted, "requests": wanted}
    return {
        "apiVersion": _API,
        "kind": "TrainJob",
        "metadata": {"name": job.name},
        "spec": {
            "runtimeRef": {"apiGroup": "trainer.kubeflow.org", "kind": "TrainingRuntime", "name": job.name},
            "trainer": trainer,
        },
    }
