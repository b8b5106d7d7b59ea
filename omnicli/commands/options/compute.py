"""Options for devices, precision, threads and seeds."""

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Annotated, Any, Literal, Self

import typer

from omnicli.commands.options.groups import COMPUTE, RARE

if TYPE_CHECKING:
    import torch

    from omnicli.models.loading import LoadedModel

Seed = Annotated[
    int,
    typer.Option("--seed", metavar="N", envvar="OMNI_SEED", show_envvar=False, help="Seed of every random choice.",
                 rich_help_panel=COMPUTE), RARE,
]  # fmt: skip
Workers = Annotated[
    int | None,
    typer.Option("--workers", metavar="N", min=1, envvar="OMNI_WORKERS", show_envvar=False,
                 help="Threads that read and decode.", show_default="available cores", rich_help_panel=COMPUTE),
]  # fmt: skip


CompileMode = Literal["off", "auto", "on"]


def _precision(effect: str) -> Any:
    """The option --precision; ``effect`` says what bfloat16 does to the results of a command."""
    text = f"auto is bfloat16 where the hardware has it, about twice as fast as float32, else float32. {effect}"
    return typer.Option("--precision", metavar="auto|float32|bfloat16", envvar="OMNI_PRECISION", show_envvar=False,
                        help=text, rich_help_panel=COMPUTE)  # fmt: skip


def _same_verdicts(exceptions: str) -> Any:
    """The option --precision of a command that computes undecided scores again, but not with ``exceptions``."""
    return _precision(
        "Verdicts are those of float32: scores near the decision are computed again in float32. Not so with "
        f"{exceptions}: there auto is float32."
    )


FilterPrecision = Annotated[str, _same_verdicts("--keep-fraction, --top and --rule query"), RARE]
SegmentPrecision = Annotated[str, _same_verdicts("--label-by teacher"), RARE]
DedupPrecision = Annotated[str, _same_verdicts("--score-only and --within"), RARE]
RoundedPrecision = Annotated[str, _precision("Scores and features differ from those of float32 by rounding."), RARE]


@dataclass(frozen=True, kw_only=True)
class ComputeOptions:
    """Where and how precisely a model runs."""

    device: Annotated[
        str,
        typer.Option("--device", metavar="auto|cpu|cuda[:N]", envvar="OMNI_DEVICE", show_envvar=False,
                     help="auto is the GPU, if there is one.", rich_help_panel=COMPUTE),
    ] = "auto"  # fmt: skip
    precision: Annotated[str, _precision("Weights and their updates are in float32."), RARE] = "auto"
    batch_size: Annotated[
        int,
        typer.Option("--batch-size", metavar="N", min=1, envvar="OMNI_BATCH_SIZE", show_envvar=False,
                     help="Views (crops of images, snippets or clips) per forward pass.", rich_help_panel=COMPUTE),
    ] = 32  # fmt: skip
    compile_mode: Annotated[
        CompileMode,
        typer.Option("--compile", help="Compile the model with torch.compile, which takes a while and changes "
                     "confidences by rounding. auto: only models known to gain, in bfloat16, and not before record "
                     "4,096 (3D: 256; segment: 64). on: for all records.",
                     rich_help_panel=COMPUTE), RARE,
    ] = "auto"  # fmt: skip
    workers: Workers = None

    def resolve(self) -> "tuple[torch.device, torch.dtype]":
        """The device and dtype of the forward pass; prepares the CPU. Raises UsageError."""
        from omnicli.inference.device import pick_device, pick_precision, prepare_cpu

        device = pick_device(self.device)
        prepare_cpu()
        return device, pick_precision(self.precision, device)

    def exact_if_auto(self) -> Self:
        """float32 instead of an automatic precision: for decisions that need all scores to be exact."""
        return replace(self, precision="float32") if self.precision == "auto" else self

    def deciding(self) -> dict[str, Any]:
        """What decides the scores of a model, as JSON values; outputs of earlier versions can be resumed."""
        compiled = {} if self.compile_mode == "auto" else {"compile": self.compile_mode}
        return {"batch_size": self.batch_size, "device": self.device, "precision": self.precision, **compiled}

    def prepare(self, model: "LoadedModel", *, is_long: bool = False) -> "LoadedModel":
        """The model as it runs on images and clips, or on long videos: compiled, if that is asked for.

        Raises UsageError: it cannot be compiled.
        """
        if self.compile_mode == "off":
            return model
        from omnicli.inference.compiled import with_compiler

        return with_compiler(model, self.compile_mode, is_long=is_long)

    def num_workers(self) -> int:
        """Threads that read and decode."""
        from omnicli.cpus import available_cores

        return self.workers or available_cores()
