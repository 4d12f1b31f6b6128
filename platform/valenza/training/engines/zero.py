"""Moments, gradients and weights shared out by DeepSpeed's ZeRO (Rajbhandari et al. 2020), on its own engine."""

import logging
import os
import warnings
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from copy import deepcopy
from typing import Any

import torch
from accelerate import Accelerator
from torch import Tensor, nn

from valenza.errors import PeerError, UsageError
from valenza.features.batch import Batch
from valenza.objectives.task import Losses
from valenza.recipe import Training
from valenza.training.average import averaged
from valenza.training.engines.choice import Choice
from valenza.training.engines.engine import MOMENTS, STEP
from valenza.training.engines.sharded import Returned, blocks
from valenza.training.optimizer import build_optimizer


class Zero:
    """A task under DeepSpeed; with stage 3 a copy of it is, and the plain task is what validation sees."""

    def __init__(self, choice: Choice, accelerator: Accelerator, task: nn.Module, settings: Training) -> None:
        if accelerator.scaler is not None:
            raise UsageError("--precision fp16: loss scaling is for DDP alone; bf16 needs none")
        if choice.stage == 3 and settings.average != "none":
            raise UsageError(
                "training.average: no mean is kept of weights that ZeRO-3 holds in parts; use zero2 or fsdp2"
            )
        self.accelerator, self.plain, self.settings, self.parted = accelerator, task, settings, choice.stage == 3
        self.deepspeed = _deepspeed(accelerator)
        self.task = deepcopy(task) if self.parted else task
        network: nn.Module = self.task.network  # type: ignore[assignment]
        called = Returned(self.task)
        if self.parted:
            # What lies outside of the blocks is read in places that are no module's forward, as the positions are.
            inside = {id(p) for block in blocks(network) for p in block.parameters()}
            self._outside = [p for p in called.parameters() if id(p) not in inside]
        plain = build_optimizer(self.task, network, settings)
        config = {k: v for k, v in choice.settings.items() if v != "auto"} | {
            "train_micro_batch_size_per_gpu": settings.windows_per_pass,
            "gradient_accumulation_steps": 1,  # the loop counts passes; a step may have any number of them
            "gradient_clipping": settings.clip_norm,
            "zero_allow_untested_optimizer": True,
            "zero_force_ds_cpu_optimizer": False,
            "steps_per_print": 1 << 40,
        }
        self._engine, self.optimizer, _, _ = self.deepspeed.initialize(
            model=called, optimizer=plain, config=config, dist_init_required=False
        )
        if self.parted:
            for parameter in self._outside:
                self.deepspeed.zero.register_external_parameter(called, parameter)
        if self._engine.zero_optimization_stage() != choice.stage:
            raise PeerError(f"ZeRO-{choice.stage} was asked for, but DeepSpeed runs another stage")
        self.average = averaged(network, settings)

    @contextmanager
    def passing(self, *, last: bool) -> Iterator[None]:
        """Let DeepSpeed reduce for good only in the last pass."""
        self._engine.set_gradient_accumulation_boundary(last)
        yield

    def forward(self, batch: Batch) -> Losses:
        """Return the losses of a pass."""
        self._engine.train()
        with self.accelerator.autocast():
            return Losses(*self._engine(batch))

    def backward(self, loss: Tensor) -> None:
        """Add the gradient of a loss."""
        self._engine.backward(loss)

    def step(self) -> float:
        """Clip and take the step; DeepSpeed itself leaves out one whose gradient is not finite."""
        self._engine.step()
        norm = self._engine.get_global_grad_norm()
        return float(norm) if norm is not None else 0.0

    @contextmanager
    def shown(self) -> Iterator[None]:
        """Let the task have the running mean for a while, or fill the plain one."""
        if self.parted:
            self.plain.load_state_dict(self.whole()[0])
        with nullcontext() if self.average is None else self.average.used():
            yield

    def whole(self) -> tuple[dict[str, Tensor], dict[str, Tensor]]:
        """Gather the task's weights; their mean is whole everywhere."""
        if not self.parted:
            return self.task.state_dict(), {} if self.average is None else self.average.weights()
        found = {name: value.detach().cpu() for name, value in self.task.named_buffers()}
        for name, parameter in self.task.named_parameters():
            with self.deepspeed.zero.GatheredParameters([parameter]):
                found[name] = parameter.detach().cpu().clone()
        kept = self.plain.state_dict()
        return {name: found[name] for name in kept}, {}

    def moments(self) -> dict[str, Tensor]:
        """Gather the optimizer's state by parameter."""
        from deepspeed.utils import safe_get_full_optimizer_state

        states = self._states()
        found: dict[str, Tensor] = {}
        for name, parameter in self.task.named_parameters():
            if parameter.requires_grad:
                found |= {f"{name}.{k}": safe_get_full_optimizer_state(parameter, k).detach().cpu() for k in MOMENTS}
                found[f"{name}.{STEP}"] = states[0][STEP].detach().cpu().clone()
        return found

    def restore(self, moments: dict[str, Tensor], mean: dict[str, Tensor]) -> None:
        """Go on from what `moments` and `whole` returned."""
        if self.average is not None:
            self.average.load(mean)
        from deepspeed.utils import safe_set_full_optimizer_state, safe_set_local_optimizer_state

        steps = {name: value for name, value in moments.items() if name.endswith(f".{STEP}")}
        for state in self._states():
            state[STEP] = max(steps.values()).clone()
        for name, parameter in self.task.named_parameters():
            if f"{name}.{STEP}" in moments:
                for key in MOMENTS:
                    whole = moments[f"{name}.{key}"].to(self.accelerator.device)
                    if self.parted:
                        safe_set_local_optimizer_state(parameter, self._part(whole, parameter), key)
                    else:
                        safe_set_full_optimizer_state(parameter, whole, key)

    def _part(self, whole: Tensor, parameter: Any) -> Tensor:
        """Return this process's part of a tensor; DeepSpeed's own division forgets the padding of the last ones."""
        size = parameter.ds_tensor.ds_numel
        padded = torch.zeros(size * self.accelerator.num_processes, dtype=whole.dtype, device=whole.device)
        padded[: whole.numel()] = whole.flatten()
        return padded.narrow(0, size * self.accelerator.process_index, size)

    def _states(self) -> list[dict[str, Tensor]]:
        """Return the state of each flat part, zeros before the first step, with DeepSpeed told where it lies.

        DeepSpeed looks for it after stepping the first group only, when the others have none.
        """
        from deepspeed.utils import lazy_init_hp_params_optimizer_state

        zero: Any = self.optimizer
        flat = zero.fp32_partitioned_groups_flat if self.parted else zero.single_partition_of_fp32_groups
        for part in flat:
            if not zero.optimizer.state[part]:
                none = {key: torch.zeros_like(part, requires_grad=False) for key in MOMENTS}
                zero.optimizer.state[part] = none | {STEP: torch.zeros((), dtype=torch.float32)}
        if not self.parted:
            for group, part in zip(zero.bit16_groups, flat, strict=True):
                lazy_init_hp_params_optimizer_state(group, part, zero.optimizer.state)
        return [zero.optimizer.state[part] for part in flat]


def _deepspeed(accelerator: Accelerator) -> Any:
    """Import DeepSpeed for this machine; raises `UsageError` where it is not installed."""
    if accelerator.device.type == "cpu":
        os.environ.setdefault("DS_ACCELERATOR", "cpu")
    try:
        import deepspeed
    except ImportError:
        raise UsageError("DeepSpeed is not installed; `pip install 'valenza[deepspeed]'`") from None
    deepspeed.utils.logger.setLevel(logging.WARNING)  # it writes to standard output
    # Told once a step, of names that DeepSpeed calls by and users do not.
    warnings.filterwarnings("ignore", message="`torch.distributed", category=FutureWarning)
    return deepspeed
