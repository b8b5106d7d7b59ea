"""Groups of options: a dataclass of annotated options becomes options of a command.

A command declares a group as one parameter, and gets it as an object::

    @takes_groups
    def command(streams: StreamOptions, compute: Annotated[ComputeOptions, Adapt("precision")]) -> None: ...
"""

import dataclasses
import inspect
from collections.abc import Callable, Sequence
from typing import Annotated, Any, get_args, get_origin, get_type_hints

import typer
from typer.models import ParameterInfo

from omnicli.errors import UsageError

PANELS = ("Input/output", "Selection", "Model", "Data", "Optimization", "Compute", "Logging")
INPUT_OUTPUT, SELECTION, MODEL, DATA, OPTIMIZATION, COMPUTE, LOGGING = PANELS


class Rare:
    """Marks an option that ``-h`` leaves out and ``--help`` shows."""


RARE = Rare()


class Adapt:
    """A group as one command takes it.

    Args:
        without: fields that are no options of this command; they keep their defaults.
        replaced: other annotations for fields, such as another help text.
    """

    def __init__(self, *without: str, **replaced: Any) -> None:
        self.without = without
        self.replaced = replaced


def takes_groups(command: Callable[..., None]) -> Callable[..., None]:
    """Expand each parameter that is a dataclass into the options of its fields; help panels have one order."""
    hints = get_type_hints(command, include_extras=True)
    groups: dict[str, tuple[type, list[str]]] = {}
    expanded: list[inspect.Parameter] = []
    for name, parameter in inspect.signature(command).parameters.items():
        group, adapt = _group_in(hints[name])
        options = _options_of(group, adapt) if group else [parameter.replace(annotation=hints[name])]
        if group:
            groups[name] = (group, [option.name for option in options])
        expanded += [option.replace(kind=inspect.Parameter.KEYWORD_ONLY) for option in options]

    def run(**values: Any) -> None:
        for name, (group, fields) in groups.items():
            values[name] = group(**{field: values.pop(field) for field in fields})
        command(**values)

    expanded.sort(key=_panel_index)
    run.__signature__ = inspect.Signature(expanded)  # type: ignore[attr-defined]
    run.__annotations__ = {option.name: option.annotation for option in expanded}
    run.__module__ = command.__module__
    run.rare_options = {option.name for option in expanded if _has(option, Rare)}  # type: ignore[attr-defined]
    return run


def given_options(context: typer.Context) -> dict[str, str]:
    """Field name → spelling of each option and argument on the command line; environment variables do not count."""
    given = {}
    for parameter in context.command.params:
        name = parameter.name or ""
        source = context.get_parameter_source(name)
        if source is not None and source.name == "COMMANDLINE" and context.params.get(name) is not None:
            given[name] = parameter.opts[0] if parameter.param_type_name == "option" else "INPUT"
    return given


def refuse_given(context: typer.Context, names: Sequence[str], why: str) -> None:
    """Stop at an option on the command line that would do nothing beside the others. Raises UsageError."""
    for name, spelling in given_options(context).items():
        if name in names:
            raise UsageError(f"{spelling} {why}")


def _group_in(hint: Any) -> tuple[type | None, Adapt]:
    adapt = Adapt()
    if get_origin(hint) is Annotated:
        hint, *extras = get_args(hint)
        adapt = next((extra for extra in extras if isinstance(extra, Adapt)), adapt)
    return (hint if dataclasses.is_dataclass(hint) else None), adapt  # type: ignore[return-value]


def _options_of(group: type, adapt: Adapt) -> list[inspect.Parameter]:
    """The fields of a group that carry an option, or are given one."""
    hints = get_type_hints(group, include_extras=True) | adapt.replaced
    parameters = [
        inspect.Parameter(
            field.name, inspect.Parameter.KEYWORD_ONLY, default=field.default, annotation=hints[field.name]
        )
        for field in dataclasses.fields(group)
        if field.name not in adapt.without
    ]
    return [parameter for parameter in parameters if _has(parameter, ParameterInfo)]


def _has(parameter: inspect.Parameter, kind: type) -> bool:
    return any(isinstance(extra, kind) for extra in get_args(parameter.annotation)[1:])


def _panel_index(parameter: inspect.Parameter) -> int:
    """Arguments come first, then the panels in their order."""
    panels = [getattr(extra, "rich_help_panel", None) for extra in get_args(parameter.annotation)[1:]]
    return next((PANELS.index(panel) for panel in panels if panel in PANELS), -1)
