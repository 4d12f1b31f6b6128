"""Two processes of which one is slow compare their pace; started by torchrun."""

import sys

from accelerate import Accelerator

from valenza.training.pace import EVERY, Pace

accelerator = Accelerator(cpu=True)
pace = Pace(accelerator)
for step in range(1, EVERY + 1):
    slow = accelerator.process_index == 1
    pace.add(busy=0.4 if slow else 0.1, waited=0.3 if slow else 0.01)
    for line in pace.told(step):
        sys.stdout.write(
            f"{accelerator.process_index} {step} {line}\n"
        )  # `print` writes twice where nothing is buffered
