"""What is compiled at installation is all that numba compiles."""

import os
import subprocess
import sys

LIST_WHAT_IS_MISSING = """
import sys
from numba.core.dispatcher import Dispatcher
from bcrlib.pipeline import precompile

precompile.compile_all()
modules = [module for name, module in sys.modules.items() if name.startswith("bcrlib.")]
functions = {f for module in modules for f in vars(module).values() if isinstance(f, Dispatcher)}
assert len(functions) > 30, len(functions)
inlined = {"_sigmoid", "_tanh"}
print(*sorted(f.__name__ for f in functions if not f.signatures and f.__name__ not in inlined))
"""


def test_nothing_is_left_to_the_first_run(tmp_path):
    environment = {**os.environ, "NUMBA_CACHE_DIR": str(tmp_path)}
    command = [sys.executable, "-c", LIST_WHAT_IS_MISSING]
    result = subprocess.run(command, env=environment, capture_output=True, text=True, check=True)
    assert result.stdout.split() == []
