# pyright: strict
"""What train.py can be told about what is minimised: the loss, its class weights, and a teacher."""

from dataclasses import dataclass
from typing import Literal

from .flags import flag

__all__ = ['ClassWeightOptions', 'DistillOptions', 'LossOptions']


@dataclass(frozen=True)
class LossOptions:
    """What is minimised."""

    loss: Literal['ce', 'bce', 'asl', 'poly', 'jsd', 'twoway', 'zlpr', 'db'] | None = flag(
        None,
        'ce (cross entropy), bce (binary, per class), asl (asymmetric), poly, jsd (needs --aug-splits); of several '
        'labels bce, asl, poly, twoway, zlpr or db (distribution balanced)',
    )
    bce_loss: bool = flag(False, '--loss bce')
    jsd_loss: bool = flag(False, '--loss jsd')
    bce_sum: bool = flag(False, 'bce: sum over the classes instead of taking the mean')
    bce_target_thresh: float | None = flag(None, 'bce: targets above this count as 1, others as 0', low=0, high=1)
    bce_pos_weight: float | None = flag(None, 'bce: weight of positive targets')
    asl_gamma_pos: float = flag(1.0, 'asl: focus of positive targets', low=0)
    asl_gamma_neg: float = flag(4.0, 'asl: focus of negative targets', low=0)
    asl_clip: float = flag(0.05, 'asl: probability below which negatives count as 0', low=0, high=1)
    poly_epsilon: float = flag(2.0, 'poly: weight of the first term')
    poly_gamma: float = flag(0.0, 'poly, several labels: focus', low=0)
    poly_alpha: float | None = flag(None, 'poly, several labels: balance of positive targets', low=0, high=1)
    twoway_tp: float = flag(4.0, 'twoway: temperature of positives')
    twoway_tn: float = flag(1.0, 'twoway: temperature of negatives')
    db_neg_scale: float = flag(2.0, 'db: scale of negative logits')
    db_init_bias: float = flag(0.05, 'db: share of the initial bias')
    db_focal_gamma: float = flag(2.0, 'db: focus', low=0)


@dataclass(frozen=True)
class ClassWeightOptions:
    """How much each class counts in the loss; numbers, a file with them, or a rule over --class-stats."""

    loss_class_weight: str | None = flag(None, 'weight of each class: numbers, a file, inv_freq or effective_num')
    loss_pos_weight: str | None = flag(None, 'weight of its positive targets: numbers, a file, or neg_pos')
    loss_weight_power: float = flag(1.0, 'neg_pos, inv_freq: exponent of the rule')
    loss_weight_beta: float = flag(0.999, 'effective_num: how slowly further samples count less', low=0, high=1)
    loss_weight_max: float | None = flag(None, 'largest weight that a rule gives', low=0)
    class_stats: str = flag('', 'JSON file of pos_counts and num_samples, for rules and --loss db')


@dataclass(frozen=True)
class DistillOptions:
    """Which teacher the model learns from, and how."""

    kd_model_name: str | None = flag(None, 'name of the teacher, with its published weights; none: no distillation')
    kd_distill_type: Literal['logit', 'feature', 'token'] = flag(
        'logit', "what is compared: logit, feature, or token (the output of a model's second classifier)"
    )
    kd_loss_type: str = flag('kl', 'how logits are compared: kl')
    distill_loss_weight: float | None = flag(
        None, 'weight of the teacher; by default 1, or what --task-loss-weight leaves of 1'
    )
    task_loss_weight: float | None = flag(None, 'weight of the labels; by default 1')
    kd_temperature: float = flag(4.0, 'outputs are divided by it before they are compared', low=1e-6)
    kd_student_feature_dim: int | None = flag(None, 'features of the model, where it does not say', low=1)
    kd_teacher_feature_dim: int | None = flag(None, 'features of the teacher, where it does not say', low=1)
    kd_token_distill_type: Literal['soft', 'hard'] = flag(
        'soft', "a second classifier learns the teacher's output (soft) or best guess (hard)"
    )
    kd_pretrained_path: str | None = flag(None, "file that stands for the teacher's published weights")
