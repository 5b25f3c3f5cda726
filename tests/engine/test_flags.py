"""Options: one declaration, three ways to give them."""

import pytest

from timm.engine.command_line import parse
from timm.engine.exits import UsageError, exit_code
from timm.engine.flags import build_options, flags_of, flatten, to_yaml
from timm.engine.options import BenchmarkOptions, InferenceOptions, ValidateOptions
from timm.engine.train_options import TrainOptions

SCRIPTS = (TrainOptions, ValidateOptions, InferenceOptions, BenchmarkOptions)


@pytest.mark.parametrize('script', SCRIPTS)
def test_an_empty_command_line_gives_the_defaults(script):
    assert parse(script, []) == script()


def test_short_and_long_flags_and_a_positional_folder():
    options = parse(
        TrainOptions, ['data', '-b', '8', '-vb', '9', '-j', '0', '--dr', '0.5', '--torchcompile', '--lr', '1e-3']
    )
    assert (options.data.root, options.batch.batch_size, options.batch.validation_batch_size) == ('data', 8, 9)
    assert (options.batch.workers, options.schedule.decay_rate, options.schedule.lr) == (0, 0.5, 1e-3)
    assert options.device.torchcompile == 'inductor'


def test_key_value_flags_read_literals():
    options = parse(TrainOptions, ['--model-kwargs', 'depth=3', 'norm=(1, 2)', 'name=a=b'])
    assert options.model.model_kwargs == {'depth': 3, 'norm': (1, 2), 'name': 'a=b'}


@pytest.mark.parametrize('script', SCRIPTS)
def test_help_explains_every_option(script, capsys):
    with pytest.raises(SystemExit) as stop:
        parse(script, ['--help'], 'x.py')
    assert stop.value.code == 0
    shown = capsys.readouterr().out
    assert all(option.doc and option.spellings[-1] in shown for option in flags_of(script).values())


def test_written_options_read_back(tmp_path):
    options = parse(
        TrainOptions, ['--lr', '0.1', '--scale', '0.5', '1', '--input-size', '3', '64', '64', '--model-ema']
    )
    file = tmp_path / 'args.yaml'
    file.write_text(to_yaml(options))
    assert parse(TrainOptions, ['--config', str(file)]) == options
    lines = file.read_text().splitlines()
    keys = [line.split(':')[0] for line in lines if not line.startswith('-')]
    assert keys == sorted(keys)
    assert 'lr: 0.1' in lines


def test_flags_go_before_the_file(tmp_path):
    file = tmp_path / 'a.yaml'
    file.write_text('batch_size: 4\nlr: 1e-5\nsched: step\nmodel-ema: true\n')
    options = parse(TrainOptions, ['-c', str(file), '--sched', 'poly'])
    assert (options.batch.batch_size, options.schedule.lr, options.schedule.sched) == (4, 1e-5, 'poly')
    assert options.ema.model_ema


def test_keys_of_other_versions_are_left_out_with_a_warning(tmp_path, caplog):
    file = tmp_path / 'a.yaml'
    file.write_text('batch_size: 4\nnative_amp: true\n')
    assert parse(TrainOptions, ['-c', str(file)]).batch.batch_size == 4
    assert [record.getMessage() for record in caplog.records] == [
        f"{file} sets 'native_amp', which is no option: left out"
    ]


def test_numbers_may_be_written_as_text(tmp_path):
    file = tmp_path / 'a.yaml'
    file.write_text('lr: "3e-4"\nepochs: "10"\nmean: ["0.5", 0.4, "0.3"]\n')
    options = parse(TrainOptions, ['-c', str(file)])
    assert (options.schedule.lr, options.schedule.epochs) == (3e-4, 10)
    assert options.preprocess.mean == (0.5, 0.4, 0.3)


@pytest.mark.parametrize(
    ('text', 'message'),
    [
        ('bach_size: 4', "sets 'bach_size', which is no option; did you mean batch_size"),
        ('batch_size: four', "sets batch_size to 'four', which is not an integer"),
        ('batch_size: 0', 'which is not 1 or more'),
        ('lr: nan', 'which is not 0 or more'),
        ('amp: 1', 'which is not true or false'),
        ('clip_mode: nrom', 'which is not one of norm, value, agc'),
        ('mean: 0.5', 'which is not a list'),
        ('input_size: [3, 4]', 'which is not a list of 3 values'),
        ('- a', 'holds no "option: value" lines'),
        ('a: [', 'is no YAML'),
    ],
)
def test_a_file_with_a_mistake_is_refused_in_one_line(tmp_path, text, message):
    file = tmp_path / 'a.yaml'
    file.write_text(text)
    with pytest.raises(UsageError, match=r'a\.yaml') as error:
        parse(TrainOptions, ['-c', str(file)])
    assert message in str(error.value)
    assert '\n' not in str(error.value)


def test_options_from_code_are_checked():
    assert build_options(TrainOptions, {'epochs': 3}).schedule.epochs == 3
    with pytest.raises(UsageError, match='epoch'):
        build_options(TrainOptions, {'epoch': 3})


def test_flat_options_are_plain_and_complete():
    flat = flatten(TrainOptions())
    assert flat.keys() == flags_of(TrainOptions).keys()
    assert flat['scale'] == [0.08, 1.0]


def test_causes_have_their_exit_codes(capsys):
    def fail() -> int:
        raise UsageError('no such thing')

    assert exit_code(fail, 'train.py') == 2
    assert capsys.readouterr().err == 'train.py: error: no such thing\n'
    assert exit_code(lambda: 1 // 0, 'train.py') == 1
    assert 'ZeroDivisionError' in capsys.readouterr().err
