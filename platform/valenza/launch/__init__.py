"""Jobs ready to submit: Slurm, Kubernetes, SkyPilot and plain torchrun. Nothing here imports torch."""

from valenza.launch.job import Job
from valenza.launch.kubernetes import Cluster, kubernetes_manifests
from valenza.launch.sky import Sky, sky_task
from valenza.launch.slurm import Slurm, slurm_script
from valenza.launch.torchrun import torchrun_script

__all__ = ["Cluster", "Job", "Sky", "Slurm", "kubernetes_manifests", "sky_task", "slurm_script", "torchrun_script"]
