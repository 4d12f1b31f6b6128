"""Jobs for the machines of others: `valenza launch slurm|k8s|sky|torchrun`."""

import shlex
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from valenza.cli.options import Overrides, RecipeFile, Workers, read_recipe
from valenza.errors import UsageError
from valenza.terminal import say

if TYPE_CHECKING:
    from valenza.launch import Job

app = typer.Typer(help="Render a job that trains a recipe on a cluster and resumes by itself.", no_args_is_help=True)

Out = Annotated[Path | None, typer.Option(help="The run folder, as the job sees it; runs/<recipe> where absent.")]
Engine = Annotated[Path | None, typer.Option(help="What shares the work, such as launch/accelerate/fsdp2.yaml.")]
Nodes = Annotated[int, typer.Option(min=1, help="Machines.")]
Gpus = Annotated[int, typer.Option(min=0, help="GPUs of each machine; 0 trains on CPU.")]
Processes = Annotated[
    int | None, typer.Option(min=1, help="Training processes of each machine; one for each GPU where absent.")
]
Cpus = Annotated[int, typer.Option(min=0, help="CPU cores of each machine; what the cluster gives where absent.")]
Precision = Annotated[str | None, typer.Option(help="no, bf16 or fp16.")]
Restarts = Annotated[int, typer.Option(min=0, help="How often the job starts again at most.")]
Name = Annotated[str | None, typer.Option(help="The job's name; from the recipe's where absent.")]
Python = Annotated[str, typer.Option(help="The Python that has valenza, where the job runs.")]
OutFile = Annotated[Path | None, typer.Option(help="Where to write the job; standard output where absent.")]
Before = Annotated[
    list[str] | None, typer.Option("--setup", help="A line of shell to run first, such as 'module load cuda'.")
]
Mount = Annotated[str, typer.Option(help="Where the storage appears; relative paths of the recipe begin there.")]
Files = Annotated[str, typer.Option(help="Where recipe, engine file and script appear.")]


@app.command()
def slurm(
    recipe: RecipeFile,
    overrides: Overrides = None,
    out: Out = None,
    engine: Engine = None,
    nodes: Nodes = 1,
    gpus_per_node: Gpus = 1,
    processes_per_node: Processes = None,
    cpus_per_node: Cpus = 0,
    workers: Workers = 0,
    precision: Precision = None,
    time: Annotated[str | None, typer.Option(help="The time limit as Slurm writes it, such as 24:00:00.")] = None,
    partition: Annotated[str | None, typer.Option(help="Of Slurm.")] = None,
    account: Annotated[str | None, typer.Option(help="Of Slurm.")] = None,
    sbatch: Annotated[list[str] | None, typer.Option(help="A further option of sbatch, such as --qos=high.")] = None,
    setup: Before = None,
    restarts: Restarts = 20,
    name: Name = None,
    python: Python = sys.executable,
    out_file: OutFile = None,
) -> None:
    """An sbatch file: torchrun on every node, a checkpoint 300 s before the end, requeued by exit code."""
    from valenza.launch import Slurm, slurm_script

    job = _job(
        recipe,
        overrides,
        out,
        engine,
        name,
        nodes=nodes,
        gpus=gpus_per_node,
        processes=processes_per_node,
        cpus=cpus_per_node,
        workers=workers,
        precision=precision,
        restarts=restarts,
        python=python,
    )
    options = Slurm(time, partition, account, tuple(sbatch or ()), tuple(setup or ()))
    _deliver(slurm_script(job, options, Path.cwd()), out_file, "sbatch {}")


@app.command()
def k8s(
    recipe: RecipeFile,
    image: Annotated[str, typer.Option(help="A container image that has valenza.")],
    overrides: Overrides = None,
    out: Out = None,
    engine: Engine = None,
    nodes: Nodes = 1,
    gpus_per_node: Gpus = 1,
    processes_per_node: Processes = None,
    cpus_per_node: Cpus = 0,
    memory: Annotated[str | None, typer.Option(help="Memory of each pod, such as 200Gi.")] = None,
    workers: Workers = 0,
    precision: Precision = None,
    claim: Annotated[str, typer.Option(help="The volume claim with the shards, which also keeps the run.")] = "valenza",
    claim_size: Annotated[str | None, typer.Option(help="Also make that claim, of this size, such as 2Ti.")] = None,
    mount: Mount = "/valenza",
    files: Files = "/etc/valenza",
    restarts: Restarts = 20,
    name: Name = None,
    python: Python = "python",
    out_file: OutFile = None,
) -> None:
    """A Kubeflow TrainJob (v2) with its runtime, recipe and script; all pods start again when one is lost."""
    from valenza.launch import Cluster, kubernetes_manifests

    job = _job(
        recipe,
        overrides,
        out,
        engine,
        name,
        nodes=nodes,
        gpus=gpus_per_node,
        processes=processes_per_node,
        cpus=cpus_per_node,
        workers=workers,
        precision=precision,
        restarts=restarts,
        python=python,
    )
    cluster = Cluster(image, claim, claim_size, mount, files, memory)
    _deliver(kubernetes_manifests(job, cluster), out_file, "kubectl create -f {}")


@app.command()
def sky(
    recipe: RecipeFile,
    storage: Annotated[
        str, typer.Option(help="A bucket with the shards, which also keeps the run, such as s3://name.")
    ],
    overrides: Overrides = None,
    out: Out = None,
    engine: Engine = None,
    nodes: Nodes = 1,
    gpus_per_node: Gpus = 1,
    accelerator: Annotated[str | None, typer.Option(help="Which GPU, such as H100.")] = None,
    processes_per_node: Processes = None,
    cpus_per_node: Cpus = 0,
    workers: Workers = 0,
    precision: Precision = None,
    image: Annotated[
        str | None, typer.Option(help="A container image that has valenza; installed from this checkout where absent.")
    ] = None,
    spot: Annotated[bool, typer.Option(help="Machines that may be taken away, for less money.")] = True,
    mount: Mount = "/valenza",
    files: Files = "/etc/valenza",
    setup: Before = None,
    name: Name = None,
    python: Python = "python",
    out_file: OutFile = None,
) -> None:
    """A SkyPilot managed job on spot machines, replaced when they are taken away."""
    from valenza.launch import Sky, sky_task

    job = _job(
        recipe,
        overrides,
        out,
        engine,
        name,
        nodes=nodes,
        gpus=gpus_per_node,
        processes=processes_per_node,
        cpus=cpus_per_node,
        workers=workers,
        precision=precision,
        python=python,
    )
    task = sky_task(job, Sky(storage, accelerator, image, spot, mount, files, tuple(setup or ())), Path.cwd())
    _deliver(task, out_file, "sky jobs launch {}")


@app.command()
def torchrun(
    recipe: RecipeFile,
    overrides: Overrides = None,
    out: Out = None,
    engine: Engine = None,
    gpus_per_node: Gpus = 1,
    processes_per_node: Processes = None,
    workers: Workers = 0,
    precision: Precision = None,
    restarts: Restarts = 20,
    name: Name = None,
    python: Python = sys.executable,
    out_file: OutFile = None,
) -> None:
    """A plain script for one machine, which starts torchrun again by exit code."""
    from valenza.launch import torchrun_script

    job = _job(
        recipe,
        overrides,
        out,
        engine,
        name,
        gpus=gpus_per_node,
        processes=processes_per_node,
        workers=workers,
        precision=precision,
        restarts=restarts,
        python=python,
    )
    _deliver(torchrun_script(job, Path.cwd()), out_file, "bash {}")


def _job(
    recipe: Path,
    overrides: list[str] | None,
    out: Path | None,
    engine: Path | None,
    name: str | None,
    *,
    gpus: int,
    processes: int | None,
    **machines: Any,
) -> "Job":
    from valenza.launch.job import Job, name_of

    read_recipe(recipe, overrides)  # a mistake is told here and not after an hour in a queue
    if engine is not None and not engine.is_file():
        raise UsageError(f"--engine: {engine}: there is no such file")
    return Job(
        recipe,
        out or Path("runs") / recipe.stem,
        name or name_of(recipe),
        tuple(overrides or ()),
        engine,
        gpus=gpus,
        processes=processes or gpus or 1,
        **machines,
    )


def _deliver(text: str, file: Path | None, submit: str) -> None:
    if file is None:
        sys.stdout.write(text)
        say(f"submit it, once it is in a file, with: {submit.format('FILE')}")
        return
    file.write_text(text, encoding="utf-8")
    say(f"wrote {file}; submit it with: {submit.format(shlex.quote(str(file)))}")
