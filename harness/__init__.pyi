# ruff: noqa: I001 -- in the order in which a plugin author meets them

# What a plugin provides: hooks and specs
from .hookspecs import hookimpl as hookimpl
from .specs import BoardFigureSpec as BoardFigureSpec
from .specs import CommandSpec as CommandSpec
from .specs import DatasetSpec as DatasetSpec
from .specs import ExecutorSpec as ExecutorSpec
from .specs import FigureSpec as FigureSpec
from .specs import MetricSpec as MetricSpec
from .specs import ModelSpec as ModelSpec
from .specs import RendererSpec as RendererSpec
from .specs import binarized as binarized
from .specs import dequantized as dequantized

# Settings
from .contracts.content import Content as Content
from .settings import NoSettings as NoSettings
from .settings import setting as setting

# The contract of a data set
from .contracts.datasets import Dataset as Dataset
from .data.dataset import Data as Data
from .data.dataset import DataInfo as DataInfo
from .data.dataset import Examples as Examples
from .data.dataset import Split as Split
from .data.source import DataSource as DataSource
from .data.source import Track as Track

# The contract of a model: how it is trained, and what it offers
from .contracts.models import Calibrates as Calibrates
from .contracts.models import Corrupts as Corrupts
from .contracts.models import FitsItself as FitsItself
from .contracts.models import HasBound as HasBound
from .contracts.models import HasDecoder as HasDecoder
from .contracts.models import HasDensity as HasDensity
from .contracts.models import HasEncoder as HasEncoder
from .contracts.models import HasObservationModel as HasObservationModel
from .contracts.models import HasPosterior as HasPosterior
from .contracts.models import Quantizes as Quantizes
from .contracts.models import Reconstructs as Reconstructs
from .contracts.models import Samples as Samples
from .contracts.models import TrainsByGradient as TrainsByGradient
from .contracts.models import TrainsByObjectives as TrainsByObjectives
from .contracts.models import Transports as Transports
from .contracts.objectives import AdamSettings as AdamSettings
from .contracts.objectives import Objective as Objective
from .contracts.objectives import objectives_of as objectives_of
from .training.trainer import Trainer as Trainer

# The contract of a metric
from .contracts.checkpoints import Checkpoint as Checkpoint
from .contracts.curves import Curves as Curves
from .contracts.metrics import Context as Context
from .contracts.metrics import Estimate as Estimate
from .contracts.metrics import Metric as Metric
from .contracts.metrics import density_measure as density_measure
from .contracts.metrics import likelihood_measure as likelihood_measure

# The contracts of figures, renderers, executors and notice hooks
from .contracts.boards import Board as Board
from .contracts.boards import Renderer as Renderer
from .contracts.boards import Row as Row
from .contracts.events import Cell as Cell
from .contracts.events import Fit as Fit
from .contracts.events import Record as Record
from .contracts.executors import Executor as Executor
from .contracts.executors import Job as Job
from .contracts.figures import Figure as Figure
from .contracts.figures import FigureContext as FigureContext

# Randomness
from .noise import Noise as Noise
from .noise import derive_seed as derive_seed
from .noise import draw as draw

# The Python API for notebooks and scripts
from .api.evaluate import evaluate as evaluate
from .api.options import RunOptions as RunOptions
from .api.results import BoardTable as BoardTable
from .api.results import Results as Results
from .api.run import plan as plan
from .api.run import run as run
from .api.stored import StoredFit as StoredFit
from .api.stored import StoredRuns as StoredRuns
from .api.stored import open as open  # noqa: A004
from .results.reproduction import Reproduction as Reproduction
from .cli.preview import PlannedCell as PlannedCell
from .cli.preview import Preview as Preview

# What to raise
from .errors import DataError as DataError
from .errors import Diverged as Diverged
from .errors import NotApplicable as NotApplicable
from .errors import StoreError as StoreError
from .errors import UsageError as UsageError

# What plugins build with
from . import toolkit as toolkit
