# What a plugin provides
# What a model may offer and a metric may need
from .capabilities import Bounds as Bounds
from .capabilities import Corrupts as Corrupts
from .capabilities import Decodes as Decodes
from .capabilities import Encodes as Encodes
from .capabilities import FitsInClosedForm as FitsInClosedForm
from .capabilities import HasCode as HasCode
from .capabilities import HasDecoder as HasDecoder
from .capabilities import HasDensity as HasDensity
from .capabilities import Quantizes as Quantizes
from .capabilities import Reconstructs as Reconstructs
from .capabilities import Samples as Samples
from .capabilities import TrainsByGradient as TrainsByGradient
from .capabilities import TrainsByObjectives as TrainsByObjectives
from .capabilities import Transports as Transports

# Data, device and randomness; layers that several plugins build with
from .convolutions import ConvolutionalDecoder as ConvolutionalDecoder
from .convolutions import ConvolutionalEncoder as ConvolutionalEncoder
from .convolutions import halved_sides as halved_sides
from .data import Data as Data
from .data import DataInfo as DataInfo
from .data import DataSource as DataSource
from .data import Examples as Examples
from .data import Split as Split
from .data import Track as Track
from .decoded import digest_of as digest_of
from .device import synchronize as synchronize
from .device import using_threads as using_threads
from .distributions import Bernoulli as Bernoulli

# What to raise
from .errors import DataError as DataError
from .errors import Diverged as Diverged
from .errors import NotApplicable as NotApplicable
from .errors import StoreError as StoreError

# Measuring
from .estimate import Context as Context
from .estimate import Estimate as Estimate
from .estimate import density_measure as density_measure
from .estimate import likelihood_measure as likelihood_measure
from .figures import Story as Story
from .hookspecs import hookimpl as hookimpl
from .likelihood import LatentVariableModel as LatentVariableModel
from .likelihood import elbo_terms as elbo_terms
from .likelihood import log_importance_weights as log_importance_weights
from .likelihood import sum_of_softplus as sum_of_softplus
from .load import CompetingLoad as CompetingLoad
from .memory import PeakMemory as PeakMemory
from .memory import rows_within as rows_within
from .noise import Noise as Noise
from .noise import derive_seed as derive_seed
from .noise import draw as draw
from .observation import ObservationSettings as ObservationSettings
from .observation import Observed as Observed
from .observation import observed as observed
from .peak import matrix_product_peak as matrix_product_peak
from .points import ChamferKind as ChamferKind
from .points import chamfer as chamfer
from .products import usual_products as usual_products
from .recording import Record as Record
from .recording import Work as Work
from .recording import beside_the_main_stream as beside_the_main_stream
from .recording import cuda_graph as cuda_graph
from .settings import NoSettings as NoSettings
from .settings import setting as setting
from .specs import CommandSpec as CommandSpec
from .specs import DatasetSpec as DatasetSpec
from .specs import FigureSpec as FigureSpec
from .specs import MetricSpec as MetricSpec
from .specs import ModelSpec as ModelSpec
from .specs import RendererSpec as RendererSpec
from .specs import binarized as binarized
from .specs import dequantized as dequantized

# Training
from .training import AdamSettings as AdamSettings
from .training import Objective as Objective
from .training import Trainer as Trainer
from .training import objectives_of as objectives_of
