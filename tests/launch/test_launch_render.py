"""What `valenza launch` renders: scripts that bash and shellcheck accept, manifests that Kubeflow's own models know."""

import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml

SLURM = ("slurm", "--nodes", 2, "--gpus-per-node", 8)
K8S = ("k8s", "--image", "registry.example/team/valenza:1.0", "--claim-size", "2Ti", "--nodes", 2)
SKY = (
    "sky",
    "--storage",
    "s3://emotions",
    "--image",
    "registry.example/valenza:1",
    "--accelerator",
    "H100",
    "--nodes",
    2,
)
TORCHRUN = ("torchrun", "--gpus-per-node", 2)


def rendered(corner: Any, words: tuple[object, ...], *more: object) -> str:
    """The job on standard output, beside which nothing is written there."""
    ended = corner.run("launch", *words, corner.recipe, *more)
    assert ended.code == 0, ended.err
    assert "submit it" in ended.err
    return str(ended.out)


def scripts(text: str, kind: str) -> list[str]:
    """Every piece of bash in a rendered job."""
    if kind == "k8s":
        return [d["data"]["job.sh"] for d in yaml.safe_load_all(text) if d["kind"] == "ConfigMap"]
    if kind == "sky":
        return ["#!/usr/bin/env bash\n" + yaml.safe_load(text)["run"]]
    return [text]


@pytest.mark.parametrize("words", [SLURM, K8S, SKY, TORCHRUN], ids=lambda w: w[0])
def test_bash_and_shellcheck_accept_every_script(corner: Any, words: tuple[object, ...], tmp_path: Path) -> None:
    (script,) = scripts(rendered(corner, words, "training.steps=3"), str(words[0]))
    file = tmp_path / "job.sh"
    file.write_text(script)
    subprocess.run(["bash", "-n", file], check=True, timeout=30)
    if shutil.which("shellcheck") is None:
        pytest.skip("shellcheck is not installed; `bash -n` accepts the script")
    done = subprocess.run(["shellcheck", file], capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stdout


def test_the_sbatch_file_says_what_was_asked(corner: Any) -> None:
    more = ("--time", "2-12:00:00", "--partition", "gpu", "--account", "speech", "--sbatch=--qos=high")
    text = rendered(corner, SLURM, "training.steps=3", *more, "--cpus-per-node", 64, "--setup", "module load cuda")
    head, _, body = text.partition("set -uo pipefail")
    directives = [line.removeprefix("#SBATCH ") for line in head.splitlines() if line.startswith("#SBATCH ")]
    assert directives == [
        "--job-name=recipe",
        "--nodes=2",
        "--ntasks-per-node=1",
        "--gpus-per-node=8",
        "--cpus-per-task=64",
        "--time=2-12:00:00",
        "--partition=gpu",
        "--account=speech",
        "--qos=high",
        "--output=recipe-%j.log",
        "--open-mode=append",
        "--requeue",
        "--signal=TERM@300",
    ]
    assert all(line.startswith("#") for line in head.splitlines())
    assert "module load cuda\n" in body
    assert "--nnodes 2 --nproc-per-node 8 --max-restarts 0" in body


def test_the_job_can_be_written_to_a_file_and_is_told_how_to_submit(corner: Any, tmp_path: Path) -> None:
    file = tmp_path / "my job.sh"
    ended = corner.run("launch", *SLURM, corner.recipe, "--out-file", file)
    assert (ended.code, ended.out) == (0, "")
    assert f"sbatch '{file}'" in ended.err
    assert file.read_text().startswith("#!/usr/bin/env bash\n#SBATCH ")


@pytest.mark.parametrize(
    ("words", "named"),
    [
        ((*SLURM, "--name", "x\nrm -rf /"), "--name"),
        ((*SLURM, "--name", "$(touch pwned)"), "--name"),
        ((*SLURM, "--name", "a" * 51), "--name"),
        ((*SLURM, "--partition", "gpu\ntouch pwned"), "--partition"),
        ((*SLURM, "--account", "a b"), "--account"),
        ((*SLURM, "--time", "1:00:00\ntouch pwned"), "--time"),
        ((*SLURM, "--sbatch=--wrap=$(touch pwned)"), "--sbatch"),
        ((*SLURM, "--sbatch=--qos=x\ntouch pwned"), "--sbatch"),
        ((*SLURM, "--sbatch=--signal=B:USR1@30"), "resuming depends on it"),
        ((*SLURM, "--engine", "nowhere.yaml"), "nowhere.yaml"),
        ((*SLURM, "--precision", "fp8"), "fp8"),
        ((*SLURM, "--processes-per-node", 12), "not a multiple"),
        ((*K8S, "--claim", "a: b"), "--claim"),
        ((*K8S, "--mount", "data"), "--mount"),
        (("k8s", "--image", "a b"), "--image"),
        ((*SKY, "--storage", "file:///etc"), "--storage"),
        (("sky", "--storage", "s3://x", "--image", "i"), "--accelerator"),
        (("sky", "--storage", "s3://x", "--gpus-per-node", 0), "no checkout"),
    ],
    ids=str,
)
def test_what_no_scheduler_would_take_is_refused(corner: Any, words: tuple[object, ...], named: str) -> None:
    ended = corner.run("launch", *words, corner.recipe)
    assert (ended.code, ended.out) == (64, "")
    assert named in ended.err


@pytest.mark.parametrize("words", [SLURM, K8S, SKY, TORCHRUN], ids=lambda w: w[0])
def test_a_wrong_recipe_is_told_before_anything_waits_in_a_queue(corner: Any, words: tuple[object, ...]) -> None:
    ended = corner.run("launch", *words, corner.recipe, "training.stepz=3")
    assert (ended.code, ended.out) == (64, "")
    assert "training.stepz" in ended.err
    assert "'steps'" in ended.err


ENGINE = """distributed_type: DEEPSPEED
deepspeed_config: {deepspeed_config_file: launch/deepspeed/zero9.json}
"""


@pytest.fixture
def engine(tmp_path: Path) -> Path:
    """An engine file and, where its reader looks for it, the DeepSpeed file that it names."""
    for folder in ("accelerate", "deepspeed"):
        (tmp_path / folder).mkdir()
    (tmp_path / "deepspeed" / "zero9.json").write_text('{"zero_optimization": {"stage": 2}}')
    file = tmp_path / "accelerate" / "zero9.yaml"
    file.write_text(ENGINE)
    return file


def round_trip(document: dict[str, Any]) -> dict[str, Any]:
    """A manifest as Kubeflow's and Kubernetes' generated models read and write it."""
    models = pytest.importorskip("kubeflow_trainer_api.models", reason="kubeflow-trainer-api is not installed")
    kinds = {
        "TrainJob": models.TrainerV1alpha1TrainJob,
        "TrainingRuntime": models.TrainerV1alpha1TrainingRuntime,
        "ConfigMap": models.IoK8sApiCoreV1ConfigMap,
        "PersistentVolumeClaim": models.IoK8sApiCoreV1PersistentVolumeClaim,
    }
    value = kinds[document["kind"]].from_dict(document)
    assert value is not None
    return dict(value.to_dict())


def test_kubeflow_knows_every_field(corner: Any, engine: Path) -> None:
    more = ("--gpus-per-node", 8, "--memory", "200Gi", "--cpus-per-node", 32, "--engine", engine)
    documents = list(yaml.safe_load_all(rendered(corner, K8S, *more)))
    assert [d["kind"] for d in documents] == ["PersistentVolumeClaim", "ConfigMap", "TrainingRuntime", "TrainJob"]
    for document in documents:
        assert round_trip(document) == document
    _, config, runtime, job = documents
    assert (runtime["apiVersion"], job["apiVersion"]) == ("trainer.kubeflow.org/v1alpha1",) * 2
    assert job["spec"]["runtimeRef"]["name"] == runtime["metadata"]["name"]
    assert job["spec"]["trainer"]["resourcesPerNode"]["limits"] == {
        "cpu": "32",
        "memory": "200Gi",
        "nvidia.com/gpu": "8",
    }
    (node,) = runtime["spec"]["template"]["spec"]["replicatedJobs"]
    pod = node["template"]["spec"]["template"]["spec"]
    assert pod["terminationGracePeriodSeconds"] == 300
    # What is mounted is what the ConfigMap holds, and the engine's own file lies where its reader looks for it.
    (items,) = [v["configMap"]["items"] for v in pod["volumes"] if "configMap" in v]
    assert {i["key"] for i in items} == set(config["data"])
    assert {i["path"] for i in items} == {"recipe.yaml", "accelerate/engine.yaml", "deepspeed/zero9.json", "job.sh"}
    assert config["data"]["recipe.yaml"] == corner.recipe.read_text()
    assert "--engine /etc/valenza/accelerate/engine.yaml" in config["data"]["job.sh"]


@pytest.mark.parametrize(
    ("kind", "field"), [("TrainJob", "podTemplateOverrides"), ("TrainJob", "nodes"), ("TrainingRuntime", "maxRestarts")]
)
def test_a_field_that_kubeflow_does_not_know_is_noticed(corner: Any, kind: str, field: str) -> None:
    (document,) = [d for d in yaml.safe_load_all(rendered(corner, K8S)) if d["kind"] == kind]
    document["spec"][field] = [{"x": 1}]
    assert round_trip(document) != document


def test_the_sky_task_recovers_what_can_go_on(corner: Any, engine: Path) -> None:
    more = ("--gpus-per-node", 8, "--engine", engine)
    task = yaml.safe_load(rendered(corner, SKY, *more))
    assert task["num_nodes"] == 2
    assert task["resources"] == {
        "use_spot": True,
        "accelerators": "H100:8",
        "image_id": "docker:registry.example/valenza:1",
        "job_recovery": {"max_restarts_on_errors": 0, "recover_on_exit_codes": [75, 76]},
    }
    assert task["file_mounts"] == {
        "/etc/valenza/recipe.yaml": str(corner.recipe),
        "/etc/valenza/accelerate/engine.yaml": str(engine),
        "/etc/valenza/deepspeed/zero9.json": str(engine.parents[1] / "deepspeed" / "zero9.json"),
        "/valenza": {"source": "s3://emotions", "mode": "MOUNT_CACHED"},
    }


def test_skypilot_itself_takes_the_task(corner: Any, tmp_path: Path) -> None:
    sky = pytest.importorskip("sky", reason="skypilot is not installed; it is too heavy for the development set")
    file = tmp_path / "task.yaml"
    file.write_text(rendered(corner, SKY))
    assert sky.Task.from_yaml(str(file)).num_nodes == 2


def test_jobs_are_rendered_without_torch(corner: Any) -> None:
    words = [
        sys.executable,
        "-c",
        "import sys, valenza.launch; print([m for m in ('torch', 'numpy') if m in sys.modules])",
    ]
    done = subprocess.run(words, env=corner.environment, capture_output=True, text=True, timeout=60, check=True)
    assert done.stdout.strip() == "[]"
