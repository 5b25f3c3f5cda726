"""What is trained: a model with its loss, its teacher where it has one, its average and its metrics."""

from timm.loss import LOSS_TYPES as LOSS_TYPES
from timm.loss import MULTI_LABEL_LOSS_TYPES as MULTI_LABEL_LOSS_TYPES
from timm.loss import create_classification_loss as create_classification_loss

from ._helpers import load_task_ema_checkpoint as load_task_ema_checkpoint
from ._helpers import resume_task_checkpoint as resume_task_checkpoint
from .classification import ClassificationTask as ClassificationTask
from .classification import MultiLabelClassificationTask as MultiLabelClassificationTask
from .classification import resolve_classification_loss as resolve_classification_loss
from .distillation import DistillationTeacher as DistillationTeacher
from .distillation import FeatureDistillationTask as FeatureDistillationTask
from .distillation import LogitDistillationTask as LogitDistillationTask
from .evaluator import ClassificationEvaluator as ClassificationEvaluator
from .evaluator import MultiLabelClassificationEvaluator as MultiLabelClassificationEvaluator
from .evaluator import evaluation_sample_limit as evaluation_sample_limit
from .task import TrainingTask as TrainingTask
from .token_distillation import TokenDistillationTask as TokenDistillationTask
