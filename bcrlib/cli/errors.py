"""What a user did wrong comes back as one line on stderr; only faults of the program show a traceback."""

import typer
from typer.core import TyperGroup

USER_ERROR, INTERRUPTED = 2, 130
LONGEST_LINE = 1000  # characters: a fault may quote a word, and a word may be a megabyte


class OneLineErrors(TyperGroup):
    """The commands of `bcr`: malformed files and the like end them with one line and exit code 2."""

    def invoke(self, ctx: typer.Context) -> object:
        """Run the chosen command."""
        try:
            return super().invoke(ctx)
        except KeyboardInterrupt:
            typer.echo("interrupted", err=True)
            raise typer.Exit(INTERRUPTED) from None
        except BrokenPipeError:
            raise  # whoever read the output has gone; typer ends quietly
        except (OSError, ValueError, RuntimeError) as error:
            if ctx.params.get("debug") or not is_users(error):
                raise
            typer.echo(f"error: {one_line(error)}", err=True)
            raise typer.Exit(USER_ERROR) from None


def is_users(error: Exception) -> bool:
    """Whether the input is to blame: any error of files and values, and data that cannot be had."""
    if isinstance(error, RuntimeError):
        from bcrlib.data.download import DataError

        return isinstance(error, DataError)
    return True


def one_line(error: Exception) -> str:
    """The error's text without line breaks, a long one without its middle; of files the name and the reason."""
    if isinstance(error, OSError) and error.filename is not None:
        return f"{error.filename}: {error.strerror}"
    text = " ".join(str(error).split()) or type(error).__name__
    half = LONGEST_LINE // 2
    return text if len(text) <= LONGEST_LINE else f"{text[:half]} ... {text[-half:]}"
