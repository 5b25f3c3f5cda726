"""Distillation: what the student learns from the teacher, and what of it goes into a checkpoint."""

import logging

import pytest
import torch
from torch import nn

import timm
from timm.optim import create_optimizer_v2
from timm.task import (
    DistillationTeacher,
    FeatureDistillationTask,
    LogitDistillationTask,
    TokenDistillationTask,
)
from timm.utils import unwrap_model

QUIET = dict(device='cpu', verbose=False)


class Net(nn.Module):
    """A network of one hidden layer, with what distillation asks of one."""

    def __init__(self, width: int, mean: float = 0.5, num_classes: int = 3) -> None:
        super().__init__()
        self.num_classes, self.in_chans, self.num_features = num_classes, 3, width
        self.pretrained_cfg = {'mean': (mean,) * 3, 'std': (0.25,) * 3}
        self.hidden, self.drop, self.fc = nn.Linear(48, width), nn.Dropout(0.5), nn.Linear(width, num_classes)

    def forward_features(self, x: torch.Tensor) -> torch.Tensor:
        return self.hidden(x.flatten(1)).relu()

    def forward_head(self, x: torch.Tensor, pre_logits: bool = False) -> torch.Tensor:
        return x if pre_logits else self.fc(x)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.forward_head(self.drop(self.forward_features(x)))


@pytest.fixture
def batch():
    torch.manual_seed(1)
    return torch.randn(6, 3, 4, 4), torch.arange(6) % 3


@pytest.fixture
def student():
    torch.manual_seed(2)
    net = Net(5)
    net.drop = nn.Identity()
    return net


@pytest.fixture
def teacher():
    torch.manual_seed(3)
    return Net(8)


def test_logits_are_compared_after_softening(student, teacher, batch):
    T = 3.0
    task = LogitDistillationTask(
        student, teacher, temperature=T, distill_loss_weight=0.7, task_loss_weight=0.2, **QUIET
    ).train()
    x, labels = batch
    found = task(x, labels)
    teacher.eval()
    p = (teacher(x) / T).double().softmax(-1)
    q = (student(x) / T).double().softmax(-1)
    expected = T**2 * (p * (p / q).log()).sum(-1).mean()
    torch.testing.assert_close(found['kd_loss'].double(), expected)
    by_labels = nn.functional.cross_entropy(student(x), labels)
    torch.testing.assert_close(found['task_loss'], by_labels)
    torch.testing.assert_close(found['loss'].double(), 0.2 * by_labels + 0.7 * expected)
    torch.testing.assert_close(found['output'], student(x))


def test_the_teacher_neither_trains_nor_moves(student, teacher, batch):
    task = LogitDistillationTask(student, teacher, **QUIET).train()
    assert not teacher.drop.training
    task(*batch)['loss'].backward()
    assert all(param.grad is None and not param.requires_grad for param in teacher.parameters())
    assert all(param.grad is not None for param in student.parameters())
    assert task.get_checkpoint_state()['state_dict'].keys() == student.state_dict().keys()


@pytest.mark.parametrize(
    ('distill', 'labels', 'expected'),
    [(None, None, (1, 1)), (None, 0.25, (0.75, 0.25)), (2.0, None, (2, 1)), (2.0, 0.5, (2, 0.5)), (None, 0.0, (1, 0))],
)
def test_a_weight_that_is_not_given_follows(student, teacher, distill, labels, expected):
    task = LogitDistillationTask(student, teacher, distill_loss_weight=distill, task_loss_weight=labels, **QUIET)
    assert (task.distill_loss_weight, task.task_loss_weight) == expected


def test_the_teacher_sees_images_as_it_knows_them(student):
    seen = []

    class Spy(Net):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            seen.append(x)
            return super().forward(x)

    pixels = torch.rand(2, 3, 4, 4)
    task = LogitDistillationTask(student, Spy(8, mean=0.1), **QUIET)
    task((pixels - 0.5) / 0.25, torch.tensor([0, 1]))
    torch.testing.assert_close(seen[0], (pixels - 0.1) / 0.25)


def test_a_teacher_without_statistics_gets_what_it_is_given():
    teacher = DistillationTeacher(nn.Flatten())
    x = torch.randn(2, 3, 4, 4)
    assert teacher.normalize_input(x) is x
    assert teacher.normalize_input(x, teacher.mean_kd, teacher.std_kd) is x
    torch.testing.assert_close(teacher.mean_kd.flatten(), torch.tensor([0.485, 0.456, 0.406]))
    with pytest.raises(ValueError, match='forward_features'):
        teacher(x, return_features=True)


def test_a_teacher_by_name_takes_a_file_for_its_weights(tmp_path):
    file = tmp_path / 'w.pth'
    source = timm.create_model('test_vit', num_classes=3)
    torch.save(source.state_dict(), file)
    student = timm.create_model('test_resnet', num_classes=3)
    task = LogitDistillationTask(student, 'test_vit', teacher_pretrained_path=str(file), **QUIET)
    assert torch.equal(task.teacher.model.head.weight, source.head.weight)


def test_features_are_projected_and_compared(student, teacher, batch):
    torch.manual_seed(5)
    task = FeatureDistillationTask(student, teacher, **QUIET)
    x, labels = batch
    found = task(x, labels)
    projection = task.get_trainable_module().projection
    assert projection.weight.shape == (8, 5)
    difference = projection(student.forward_features(x)) - teacher.forward_features(x)
    torch.testing.assert_close(found['kd_loss'], difference.square().mean())
    torch.testing.assert_close(found['loss'], found['kd_loss'] + nn.functional.cross_entropy(student(x), labels))
    found['loss'].backward()
    assert projection.weight.grad is not None
    assert FeatureDistillationTask(student, Net(5), **QUIET).get_trainable_module().projection is None


def test_the_projection_is_task_state_and_the_student_the_model(student, teacher, batch):
    task = FeatureDistillationTask(student, teacher, **QUIET)
    task.setup_ema(decay=0.5)
    state, average = task.get_checkpoint_state(), task.get_checkpoint_state(ema=True)
    assert state['state_dict'].keys() == average['state_dict_ema'].keys() == student.state_dict().keys()
    assert state['task_state'].keys() == average['task_state_ema'].keys() == {'projection'}
    assert task.get_eval_model() is student
    assert task.get_eval_model(ema=True)(batch[0]).shape == (6, 3)
    other = FeatureDistillationTask(Net(5), teacher, **QUIET)
    other.load_checkpoint_state(state['state_dict'], state['task_state'])
    for a, b in zip(task.get_trainable_module().parameters(), other.get_trainable_module().parameters(), strict=True):
        assert torch.equal(a, b)
    narrow = FeatureDistillationTask(student, Net(5), **QUIET)
    with pytest.raises(RuntimeError, match='projection'):
        narrow.load_task_state(state['task_state'])
    narrow.load_task_state(state['task_state'], strict=False)
    with pytest.raises(RuntimeError, match='setup_ema'):
        narrow.load_task_state(state['task_state'], ema=True)


def test_clipping_leaves_out_the_classifier_alone(student, teacher):
    task = FeatureDistillationTask(student, teacher, **QUIET)
    assert len(list(task.get_clip_parameters())) == 6
    kept = {id(param) for param in task.get_clip_parameters(exclude_head=True)}
    assert not kept & {id(param) for param in student.fc.parameters()}
    assert len(kept) == 4


def test_layer_decay_and_exemptions_reach_the_student_inside():
    student = timm.create_model('test_vit', num_classes=3)
    task = FeatureDistillationTask(student, Net(8), **QUIET)
    module = task.get_trainable_module()
    assert module.no_weight_decay() == {f'student.{name}' for name in student.no_weight_decay()}
    optimizer = create_optimizer_v2(module, 'sgd', lr=1.0, momentum=0.9, weight_decay=0.1, layer_decay=0.5)
    scale = {id(p): group['lr_scale'] for group in optimizer.param_groups for p in group['params']}
    assert scale.keys() == {id(p) for p in module.parameters()}
    assert scale[id(student.patch_embed.proj.weight)] < scale[id(student.head.weight)] == 1.0
    assert scale[id(module.projection.weight)] == 1.0


def test_widths_are_asked_for_or_given(teacher):
    nameless = nn.Sequential(nn.Flatten())
    with pytest.raises(ValueError, match='student_feature_dim'):
        FeatureDistillationTask(nameless, teacher, **QUIET)
    task = FeatureDistillationTask(nameless, teacher, student_feature_dim=48, **QUIET)
    assert task.get_trainable_module().projection.in_features == 48


@pytest.fixture
def distilled():
    torch.manual_seed(4)
    tiny = dict(img_size=16, patch_size=8, depth=1, embed_dim=12, num_heads=2)
    return timm.create_model('deit_tiny_distilled_patch16_224', num_classes=3, **tiny)


@pytest.mark.parametrize('kind', ['soft', 'hard'])
def test_a_second_classifier_learns_from_the_teacher(distilled, kind):
    x, labels = torch.randn(4, 3, 16, 16), torch.tensor([0, 1, 2, 0])
    teacher = timm.create_model('test_resnet', num_classes=3)
    task = TokenDistillationTask(distilled, teacher, distill_type=kind, temperature=2.0, **QUIET).train()
    found = task(x, labels)
    for_labels, for_teacher = distilled(x)
    torch.testing.assert_close(found['output'], for_labels)
    torch.testing.assert_close(found['task_loss'], nn.functional.cross_entropy(for_labels, labels))
    # the two networks are normalised differently
    statistics = [
        torch.tensor(net.pretrained_cfg[name]).view(1, 3, 1, 1)
        for net in (distilled, teacher)
        for name in ('mean', 'std')
    ]
    mean, std, own_mean, own_std = statistics
    said = teacher((x * std + mean - own_mean) / own_std)
    if kind == 'hard':
        expected = nn.functional.cross_entropy(for_teacher, said.argmax(-1))
    else:
        p, q = (said / 2).softmax(-1), (for_teacher / 2).softmax(-1)
        expected = 4 * (p * (p / q).log()).sum(-1).mean()
    torch.testing.assert_close(found['distill_loss'], expected)
    found['loss'].backward()
    assert distilled.head_dist.weight.grad is not None


def test_compiling_changes_no_numbers(student, teacher, batch):
    for make in (LogitDistillationTask, FeatureDistillationTask):
        torch.manual_seed(0)
        task = make(student, teacher, **QUIET)
        names = task.get_checkpoint_state()['state_dict'].keys()
        expected = task(*batch)['loss']
        model = task.compile(backend='eager')
        torch.testing.assert_close(task(*batch)['loss'], expected)
        assert task.get_eval_model() is model
        assert unwrap_model(model) is student
        assert task.get_checkpoint_state()['state_dict'].keys() == names


@pytest.mark.parametrize(
    ('make', 'error', 'message'),
    [
        (lambda s, t: LogitDistillationTask(s, t, loss_type='mse', **QUIET), ValueError, 'mse'),
        (lambda s, t: TokenDistillationTask(s, t, **QUIET), ValueError, 'set_distilled_training'),
        (lambda s, t: TokenDistillationTask(s, t, distill_type='warm', **QUIET), ValueError, 'warm'),
        (lambda s, t: LogitDistillationTask(s, 5, **QUIET), TypeError, 'got 5'),
    ],
)
def test_what_cannot_be_distilled_is_refused(student, teacher, make, error, message):
    with pytest.raises(error, match=message):
        make(student, teacher)


def test_what_weighs_how_much_is_told(student, teacher, caplog):
    caplog.set_level(logging.INFO)
    LogitDistillationTask(student, teacher, task_loss_weight=0.25, device='cpu')
    assert 'labels by 0.25 and the teacher by 0.75' in caplog.text
