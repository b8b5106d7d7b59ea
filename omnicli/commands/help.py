"""Help pages: ``-h`` shows the most used options, ``--help`` all of them."""

from typing import Any

from typer.core import TyperCommand


class OmniCommand(TyperCommand):
    """``-h`` shows the most used options, ``--help`` all of them and the whole description."""

    is_short = False

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        """Note which help is asked for."""
        self.is_short = "-h" in args and "--help" not in args
        return super().parse_args(ctx, args)

    def format_help(self, ctx: Any, formatter: Any) -> None:
        """Print the help."""
        if self.is_short:
            rare: set[str] = getattr(self.callback, "rare_options", set())
            for parameter in self.params:
                parameter.hidden = parameter.hidden or parameter.name in rare  # type: ignore[attr-defined]
                parameter.help = str(parameter.help).partition("\n")[0]  # type: ignore[attr-defined]
            purpose, example, *_ = str(self.help).split("\n\n")
            self.help = f"{purpose}\n\n{example}"
            self.epilog = f"omni {self.name} --help shows all options."
        super().format_help(ctx, formatter)


def help_text(docstring: str) -> str:
    """A module's docstring as help: prose flows, indented examples keep their lines and get a prompt."""
    paragraphs = (
        "\n".join(f"$ {line.strip()}" for line in paragraph.splitlines())
        if paragraph.startswith("    ")
        else " ".join(paragraph.split())
        for paragraph in docstring.strip().split("\n\n")
    )
    return "\n\n".join(paragraphs)
