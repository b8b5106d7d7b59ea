"""What eval writes: one line per record, the scores of all classes, and one line for people."""

import contextlib
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from omnicli.streams.shards.writer import ShardWriter
    from omnicli.streams.write.stdout import LineWriter

SHOWN = {"top1_acc": "top-1", "top5_acc": "top-5", "mean_class_acc": "mean-class", "mean_ap": "mAP"}


class EvalOutput:
    """The lines and shards of one run of eval.

    Args:
        output: ``-o FILE``, or None for stdout.
        stack: closes what is opened.
    """

    def __init__(self, output: str | None, stack: contextlib.ExitStack) -> None:
        from omnicli.streams.write.atomic import open_atomic
        from omnicli.streams.write.stdout import StreamWriter, open_stdout

        self._stack = stack
        self._shards: ShardWriter | None = None
        self._lines: LineWriter = open_stdout(live=False)
        if output is not None:
            self._lines = StreamWriter(stack.enter_context(open_atomic(Path(output))), name=output, live=False)

    def open_shards(
        self, directory: Path | None, options: Mapping[str, Any], classes: tuple[str, ...], function: str
    ) -> None:
        """Open ``--shards``, if given; ``function`` makes scores of logits. Raises OutputError."""
        if directory is None:
            return
        from omnicli.stages.eval.fusion import CLASS_NAMES, SCORE_FUNCTION
        from omnicli.streams.shards.ownership import hold_shards, refuse_shards_of_other_stages
        from omnicli.streams.shards.writer import ShardWriter

        self._stack.enter_context(hold_shards(directory, ""))
        refuse_shards_of_other_stages(directory, "", "eval")
        provenance = {**options, CLASS_NAMES: list(classes), SCORE_FUNCTION: function}
        self._shards = ShardWriter(directory, stage="eval", kind="scores", provenance=provenance)
        self._stack.callback(self._shards.abort)  # closed shards stay; an open one leaves nothing

    def write(self, record: Any) -> Any:
        """Write one line and its scores, and return the record."""
        from omnicli.streams.record import Record, format_record

        if self._shards is not None and isinstance(record, Record):
            record = self._shards.add(record)
        self._lines.write(format_record(record))
        return record

    def close(self) -> None:
        """Finish the shards and flush the lines."""
        if self._shards is not None:
            self._shards.close()
            self._shards.remove_later()
        self._lines.flush()


def result_line(result: Mapping[str, Any], baseline: Path | None) -> str:
    """The summary of eval in one line, in percent, and the views that gave it.

    >>> result_line({"mean_ap": 0.5, "view": "3 segments, bfloat16"}, None)
    'mAP 50.00 % (3 segments, bfloat16)'
    """
    line = ", ".join(f"{word} {100 * result[name]:.2f} %" for name, word in SHOWN.items() if name in result)
    line += f" ({result['view']})" if result.get("view") else ""
    if baseline is None:
        return line
    compared = result["baseline"]
    line += f"; against {baseline}: " + ", ".join(
        f"{word} {100 * compared['change'][name]:+.2f}" for name, word in SHOWN.items() if name in result
    )
    if "p_value" in compared:
        line += (
            f"; {compared['became_right']:,} became right, {compared['became_wrong']:,} wrong "
            f"(p = {compared['p_value']:.2g})"
        )
    if compared["num_left_out"]:
        line += f"; {compared['num_left_out']:,} of its records were not evaluated here"
    return line
