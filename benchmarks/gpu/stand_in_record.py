"""A script in the form of a published record, for trying what runs those.

Written as such scripts are: for CUDA, in half precision, compiled, timed with events. It trains
nothing, and calls every image of the test split the first class.
"""

import sys

with open(sys.argv[0]) as f:  # noqa: PTH123
    code = f.read()
import torch
import torchvision.transforms as T
from torch import nn


@torch.compile(fullgraph=True)
def halved(x: torch.half):
    return x * 0.5


class CifarNet(nn.Module):
    def __init__(self):
        super().__init__()
        self.layer = nn.Conv2d(3, 3, 3)
        self.half()

    def forward(self, x):
        return halved(self.layer(x).amax((2, 3)))


def print_training_details(variables, is_final_entry):  # noqa: ARG001
    raise AssertionError("replaced")


def main(run, model):
    data = torch.load("cifar10/test.pt", map_location=torch.device("cuda"))
    images = (data["images"].half() / 255).permute(0, 3, 1, 2)
    images = T.Normalize(torch.tensor((0.5, 0.5, 0.5), dtype=torch.half), torch.ones(3))(images)
    indices = torch.empty(len(images), dtype=torch.long, device="cuda")
    torch.randperm(len(images), out=indices)
    starter = torch.cuda.Event(enable_timing=True)
    ender = torch.cuda.Event(enable_timing=True)
    starter.record()
    model(images[indices]).argmax(1)
    ender.record()
    torch.cuda.synchronize()
    time_seconds = 1e-3 * starter.elapsed_time(ender)
    tta_val_acc = (data["labels"][indices].cuda() == 0).float().mean().item()
    print_training_details({"tta_val_acc": 0.0, "time_seconds": -1.0}, False)
    print_training_details(locals(), is_final_entry=True)  # it reads time_seconds, tta_val_acc
    return tta_val_acc


if __name__ == "__main__":
    raise SystemExit("only its definitions are run")
