"""The names of `import bcrlib`: there without what they cost, and enough for the method."""

import subprocess
import sys

import numpy as np
import pytest

import bcrlib
from bcrlib import DropoutP, bcr_scores, choose, flips
from bcrlib.data.generated.frames import generate_frames
from bcrlib.data.generated.trees import generate_treebank
from bcrlib.data.presets import PRESETS
from bcrlib.parsers.checkpoint import save_parser
from bcrlib.parsers.configuration import SMALL
from bcrlib.parsers.encoder import BiLSTMEncoder
from bcrlib.tasks import task_named

