"""Run the story notebooks with their defaults (the demo profile) and keep their outputs: `make notebooks`."""

import tempfile
from pathlib import Path

import nbformat

from bcrlib.pipeline.execute import execute_notebook

FOLDER = Path(__file__).resolve().parent


def refresh(path: Path) -> None:
    """Execute one notebook in place; its metadata are those that JupyterLab would save."""
    notebook = nbformat.read(path, as_version=4)
    with tempfile.TemporaryDirectory() as scratch:
        executed = execute_notebook(notebook, path.name, Path(scratch, path.name), {}, FOLDER)
    # What the kernel says of itself is what JupyterLab keeps; papermill's marks change from run to run.
    told = executed.metadata.language_info
    executed.metadata = {"kernelspec": notebook.metadata.kernelspec, "language_info": told}
    for cell in executed.cells:
        cell.metadata = {"tags": cell.metadata.tags} if cell.metadata.get("tags") else {}
    nbformat.write(executed, path)


if __name__ == "__main__":
    for path in sorted(FOLDER.glob("[0-9]*.ipynb")):
        print(path.name, flush=True)
        refresh(path)
