"""Trained parsers from their folders."""

from pathlib import Path

from safetensors import SafetensorError

from bcrlib.data.download import DataError
from bcrlib.models.checkpoint import load_parser
from bcrlib.models.graph_parser import DeepBiafParser
from bcrlib.models.pointer_parser import StackPtrParser
from bcrlib.models.runtime import Runtime, best_device


def load_model(folder: Path) -> DeepBiafParser | StackPtrParser:
    """The parser in a folder, of either kind, on the GPU where there is one. OSError, ValueError: there is none."""
    try:
        return load_parser(folder, Runtime(best_device()))
    except DataError:
        raise
    except (SafetensorError, KeyError, TypeError, AttributeError, RuntimeError, ValueError) as error:
        first_line = str(error).partition("\n")[0]
        raise ValueError(f"{folder}: not a trained parser: {type(error).__name__}: {first_line}") from None
