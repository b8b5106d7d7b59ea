"""Options of joint training: the target, the auxiliary sources, and how they share a step."""

from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import Annotated, Literal

import typer

from omnicli.commands.options.groups import DATA, OPTIMIZATION, RARE
from omnicli.commands.options.training import TrainingOptions
from omnicli.errors import UsageError
from omnicli.training.recipe_fields import AuxiliaryLabel, MixupName, StudentRecipe

JointName = Literal["together", "alternate"]
DEFAULT_ALPHA = 0.2  # Ours: the paper gives none


@dataclass(frozen=True, kw_only=True)
class JointOptions:
    """How the target and the auxiliary sources share a step."""

    target: Annotated[
        list[str] | None,
        typer.Option("--target", metavar="INPUT", help="Labelled records; repeatable. One epoch is one pass over them.",
                     rich_help_panel=DATA),
    ] = None  # fmt: skip
    auxiliary: Annotated[
        list[str] | None,
        typer.Option("--auxiliary", metavar="INPUT", help="Web records; each --auxiliary is one source.",
                     rich_help_panel=DATA),
    ] = None  # fmt: skip
    ratio: Annotated[
        str | None,
        typer.Option("--ratio", metavar="R:R:...", help="Samples per step of the target and of each source.",
                     show_default="1:1 for one source, 2:1:1 for two, ...", rich_help_panel=DATA),
    ] = None  # fmt: skip
    joint: Annotated[
        JointName, typer.Option("--joint", help="together: one update for all sources "
                          "(OmniSource Eq. 1). alternate: one update per source batch, as in the released code.",
                          rich_help_panel=OPTIMIZATION), RARE,
    ] = "together"  # fmt: skip
    auxiliary_label: Annotated[
        AuxiliaryLabel, typer.Option("--auxiliary-label", metavar="FIELD", help="Class of a web record: pseudo_label, "
                                     "query or label.",
                                     rich_help_panel=DATA),
    ] = "pseudo_label"  # fmt: skip
    soft_labels: Annotated[
        bool, typer.Option("--soft-labels", help="Train on the teacher's five best scores (top_scores) instead of one "
                           "class.", rich_help_panel=DATA), RARE,
    ] = False  # fmt: skip
    snippets: Annotated[
        str | None, typer.Option("--snippets", metavar="P:N", help="2D: positive and negative snippets of a segmented "
                                 "video; the sum is the number of segments.", show_default="1:2",
                                 rich_help_panel=DATA), RARE,
    ] = None  # fmt: skip
    auxiliary_batch_size: Annotated[
        list[int] | None,
        typer.Option("--auxiliary-batch-size", min=1, metavar="N", help="With --joint alternate: batch size of each "
                     "source, in order.", show_default="--batch-size", rich_help_panel=OPTIMIZATION), RARE,
    ] = None  # fmt: skip
    accumulate: Annotated[
        int, typer.Option("--accumulate", min=1, metavar="N", help="Forward passes per batch: less memory for the same "
                          "step, except for batch statistics.", rich_help_panel=OPTIMIZATION), RARE,
    ] = 1  # fmt: skip
    mixup: Annotated[
        MixupName | None, typer.Option("--mixup", help="intra: mix samples within each source. cross: mix target and "
                                       f"web samples (cross-dataset mixup). α is {DEFAULT_ALPHA} unless --mixup-alpha "
                                       "or the recipe gives it.", show_default="as recipe: none",
                                       rich_help_panel=OPTIMIZATION),
    ] = None  # fmt: skip
    multi_label: Annotated[
        bool, typer.Option("--multi-label", help="One sigmoid per class: records may have several labels or class "
                           "names.", rich_help_panel=DATA), RARE,
    ] = False  # fmt: skip
    ema: Annotated[
        float, typer.Option("--ema", min=0.0, max=1.0, metavar="DECAY", help="Keep the exponential moving average of "
                            "the weights: its decay, below 1, such as 0.999.", show_default="none",
                            rich_help_panel=OPTIMIZATION), RARE,
    ] = 0.0  # fmt: skip

    def resolve(self, training: TrainingOptions) -> tuple[str, StudentRecipe]:
        """The recipe's name, and the recipe with what the user gave.

        Raises:
            UsageError: no architecture, or options without effect.
        """
        self._check(training)
        name, recipe = training.resolve()
        if self.mixup is not None:
            alpha = 0.0 if self.mixup == "none" else recipe.mixup_alpha or DEFAULT_ALPHA
            recipe = replace(recipe, mixup_alpha=alpha)
        if self.mixup == "cross":  # CutMix of the recipe pastes within a source
            recipe = replace(recipe, cutmix_alpha=0.0)
        if training.query_map and "query" not in (self.auxiliary_label, recipe.target_label):
            raise UsageError("--query-map needs --auxiliary-label query or --target-label query")
        if self.multi_label and recipe.target_label == "query":
            raise UsageError("--target-label query draws one class per visit; remove it or --multi-label")
        if self.multi_label and recipe.label_smoothing:
            raise UsageError("--label-smoothing needs one softmax over classes; remove it or --multi-label")
        student = StudentRecipe(
            **{field.name: getattr(recipe, field.name) for field in fields(recipe)},
            ratio=parse_ratio(self.ratio), alternate=self.joint == "alternate",
            auxiliary_batch_sizes=tuple(self.auxiliary_batch_size or ()), auxiliary_label=self.auxiliary_label,
            soft_labels=self.soft_labels, mixup=self.mixup or ("intra" if recipe.mixup_alpha else "none"),
            multi_label=self.multi_label, ema=self.ema, num_passes=self.accumulate,
            snippets=parse_ratio(self.snippets, name="--snippets", example="1:2"),
        )  # fmt: skip
        return name, student

    def sources(self) -> dict[str, str]:
        """A name for each auxiliary source, and its INPUT."""
        return name_sources(self.auxiliary or [])

    def _check(self, training: TrainingOptions) -> None:
        """Refuse options without effect. Raises UsageError."""
        if training.mixup_alpha is not None and self.mixup in (None, "none"):
            raise UsageError("--mixup-alpha needs --mixup intra or --mixup cross")
        if training.mixup_alpha == 0:
            raise UsageError("--mixup-alpha 0 mixes nothing: give a number above 0, or --mixup none")
        self._check_sources()
        if self.mixup == "cross" and (not self.auxiliary or self.joint == "alternate"):
            raise UsageError("--mixup cross mixes samples of one step: it needs --auxiliary and --joint together")
        if training.cutmix_alpha and self.mixup == "cross":
            raise UsageError("--cutmix-alpha pastes within a source; remove it, or give --mixup intra")
        if self.ema == 1:
            raise UsageError("--ema 1 would keep the weights of the first step; give less, such as 0.999")
        if self.soft_labels and (self.auxiliary_label != "pseudo_label" or self.multi_label):
            raise UsageError("--soft-labels needs --auxiliary-label pseudo_label and excludes --multi-label")

    def _check_sources(self) -> None:
        """Refuse options for auxiliary sources that are not there. Raises UsageError."""
        if self.auxiliary_batch_size and self.joint != "alternate":
            raise UsageError("--auxiliary-batch-size needs --joint alternate; use --ratio otherwise")
        web_only = {"--joint alternate": self.joint == "alternate", "--soft-labels": self.soft_labels,
                    "--snippets": self.snippets}  # fmt: skip
        for option, is_given in web_only.items():
            if is_given and not self.auxiliary:
                raise UsageError(f"{option} is for auxiliary sources: give --auxiliary")
        num_sizes, num_sources = len(self.auxiliary_batch_size or ()), len(self.auxiliary or ())
        if num_sizes not in (0, num_sources):
            raise UsageError(f"--auxiliary-batch-size: given {num_sizes} times for {num_sources} sources")


def parse_ratio(text: str | None, *, name: str = "--ratio", example: str = "2:1:1") -> tuple[int, ...]:
    """``2:1:1`` → (2, 1, 1). Raises UsageError.

    >>> parse_ratio("2:1:1"), parse_ratio(None)
    ((2, 1, 1), ())
    """
    if text is None:
        return ()
    parts = text.split(":")
    if not all(part.isdecimal() and int(part) > 0 for part in parts):
        raise UsageError(f"{name}: expected whole numbers above 0 such as {example}, got {text!r}")
    return tuple(map(int, parts))


def name_sources(inputs: list[str]) -> dict[str, str]:
    """A name for each source: its file name, or its folder's if the file name is only a number.

    >>> name_sources(["a/gg.jsonl.gz", "b/gg.jsonl", "ig/00000.h5", "-"])
    {'gg': 'a/gg.jsonl.gz', 'gg-2': 'b/gg.jsonl', 'ig': 'ig/00000.h5', 'stdin': '-'}
    """
    named: dict[str, str] = {}
    for text in inputs:
        path = Path(text)
        stem = "stdin" if text == "-" else path.name.partition(".")[0] or "web"
        if stem.isdecimal():
            stem = path.parent.name or stem
        taken = [stem, *(f"{stem}-{number}" for number in range(2, len(inputs) + 2))]
        named[next(name for name in taken if name not in named and name != "target")] = text
    return named
