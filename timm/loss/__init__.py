"""Loss functions for one class, several classes and soft targets, and the function that makes one by name."""

from ._loss_factory import LOSS_TYPES as LOSS_TYPES
from ._loss_factory import MULTI_LABEL_LOSS_TYPES as MULTI_LABEL_LOSS_TYPES
from ._loss_factory import create_classification_loss as create_classification_loss
from .asymmetric_loss import AsymmetricLossMultiLabel as AsymmetricLossMultiLabel
from .asymmetric_loss import AsymmetricLossSingleLabel as AsymmetricLossSingleLabel
from .binary_cross_entropy import BinaryCrossEntropy as BinaryCrossEntropy
from .class_weights import CLASS_WEIGHT_METHOD_KINDS as CLASS_WEIGHT_METHOD_KINDS
from .class_weights import CLASS_WEIGHT_METHODS as CLASS_WEIGHT_METHODS
from .class_weights import compute_class_weights as compute_class_weights
from .class_weights import load_class_stats as load_class_stats
from .class_weights import load_class_weights as load_class_weights
from .class_weights import resolve_class_weights as resolve_class_weights
from .cross_entropy import LabelSmoothingCrossEntropy as LabelSmoothingCrossEntropy
from .cross_entropy import SoftTargetCrossEntropy as SoftTargetCrossEntropy
from .distribution_balanced_loss import DistributionBalancedLoss as DistributionBalancedLoss
from .jsd import JsdCrossEntropy as JsdCrossEntropy
from .poly_loss import PolyBinaryCrossEntropy as PolyBinaryCrossEntropy
from .poly_loss import PolyCrossEntropy as PolyCrossEntropy
from .two_way_loss import TwoWayLoss as TwoWayLoss
from .zlpr_loss import ZlprLoss as ZlprLoss
