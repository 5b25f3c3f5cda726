"""Reading checkpoints of every format, and giving their tensors to models."""

import argparse
import hashlib
import os
import struct

import numpy as np
import pytest
import torch
from safetensors.torch import save_file
from torch import nn

import timm
from timm.models import clean_state_dict, load_checkpoint, load_state_dict, remap_state_dict, resume_checkpoint
from timm.models._assign import assign_state_dict
from timm.models._deferred_init import deferred_init
from timm.models._weight_files import read_weight_file


class Net(nn.Module):
    def __init__(self, num_classes=5, in_chans=3):
        super().__init__()
        self.stem = nn.Conv2d(in_chans, 8, 3)
        self.norm = nn.BatchNorm2d(8)
        self.blocks = nn.Sequential(nn.Linear(8, 8), nn.Linear(8, 8))
        self.head = nn.Linear(8, num_classes)
        self.pretrained_cfg = {'architecture': 'net', 'classifier': 'head', 'first_conv': 'stem'}

    def forward(self, x):
        return self.head(self.blocks(self.norm(self.stem(x)).mean((2, 3))))


def filled(value):
    return {name: torch.full_like(tensor, value) for name, tensor in Net().state_dict().items()}


@pytest.fixture
def net():
    torch.manual_seed(0)
    return Net().eval()


@pytest.fixture(autouse=True)
def folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    return tmp_path


def write(name, content):
    if name.endswith('.safetensors'):
        save_file(content, name)
    elif name.endswith('.npz'):
        np.savez(name, **{key: tensor.numpy() for key, tensor in content.items()})
    else:
        torch.save(content, name, _use_new_zipfile_serialization='old' not in name)
    return name


FORMATS = ['net.safetensors', 'net.pth', 'net_old.pth', 'net.npz']


# Formats


@pytest.mark.parametrize('name', FORMATS)
def test_every_format_gives_the_same_tensors(net, name):
    expected = net.state_dict()
    read = load_state_dict(write(name, expected))
    assert read.keys() == expected.keys()
    assert all(torch.equal(read[key], expected[key]) for key in expected)


def test_the_content_decides_on_the_format_not_the_name(net):
    expected = net.state_dict()
    os.rename(write('a.safetensors', expected), 'a.bin')
    os.rename(write('b.pth', expected), 'b.safetensors')
    for name in ('a.bin', 'b.safetensors'):
        assert torch.equal(load_state_dict(name)['head.bias'], expected['head.bias'])


@pytest.mark.parametrize(
    ('content', 'reason'),
    [
        (b'', 'empty'),
        (b'<!DOCTYPE html><html>', 'web page'),
        (b'version https://git-lfs.github.com/spec/v1\n', 'git lfs pull'),
        (b'something else altogether', 'no weight file'),
        (struct.pack('<Q', 8) + b'{"a":{}}', 'damaged'),
        (b'PK\x03\x04 but no archive', 'damaged'),
    ],
)
def test_what_is_no_weight_file_is_named(folder, content, reason):
    (folder / 'weights.pth').write_bytes(content)
    with pytest.raises(RuntimeError, match=reason) as error:
        load_state_dict('weights.pth')
    assert 'weights.pth' in str(error.value)


def test_a_missing_file_is_answered_with_similar_names(net):
    write('resnet18.pth', net.state_dict())
    with pytest.raises(FileNotFoundError, match=r'resnet18\.pth'):
        load_state_dict('resnet81.pth')
    with pytest.raises(FileNotFoundError, match='local-dir'):
        load_state_dict('.')
    with pytest.raises(FileNotFoundError, match='no folder'):
        load_state_dict('nowhere/net.pth')


def test_a_file_without_names_is_refused():
    torch.save([torch.ones(2)], 'list.pth')
    with pytest.raises(RuntimeError, match='holds a list'):
        load_state_dict('list.pth')


# Pickles


class Attack:
    def __reduce__(self):
        return os.mkdir, ('attacked',)


@pytest.mark.parametrize('old', [False, True])
@pytest.mark.parametrize('read', [load_state_dict, lambda name: resume_checkpoint(Net(), name)])
def test_pickles_that_call_functions_are_blocked(net, old, read):
    torch.save({'state_dict': net.state_dict(), 'x': Attack()}, 'x.pth', _use_new_zipfile_serialization=not old)
    with pytest.raises(RuntimeError, match='No automatic unsafe pickle fallback is performed') as error:
        read('x.pth')
    assert 'mkdir' in str(error.value)
    assert not os.path.exists('attacked')


def test_whole_pickled_models_are_blocked(net):
    torch.save(net, 'model.pth')
    with pytest.raises(RuntimeError, match=r'Net.*state_dict\(\)'):
        load_state_dict('model.pth')


def test_saved_options_are_no_obstacle(net):
    torch.save({'state_dict': net.state_dict(), 'args': argparse.Namespace(lr=0.1)}, 'x.pth')
    assert torch.equal(load_state_dict('x.pth')['head.bias'], net.head.bias)


def test_object_arrays_are_refused():
    np.savez('x.npz', a=np.array([{}], dtype=object))
    with pytest.raises(RuntimeError, match='allow_pickle'):
        load_state_dict('x.npz')


@pytest.mark.parametrize('position', [0.2, 0.4, 0.6, 0.8])
def test_a_flipped_bit_in_a_pickle_file_is_noticed(net, folder, position):
    path = folder / write('net.pth', {name: torch.ones(4096) for name in 'abcd'})
    content = bytearray(path.read_bytes())
    content[int(position * len(content))] ^= 4
    path.write_bytes(content)
    with pytest.raises(RuntimeError, match='checksum'):
        load_state_dict(path)


# Which entry, which prefix


CHECKPOINT = {'state_dict_ema': 2.0, 'model_ema': 4.0, 'state_dict': 1.0, 'model': 3.0}


@pytest.mark.parametrize(
    ('entries', 'use_ema', 'expected'),
    [
        (['state_dict', 'state_dict_ema', 'model', 'model_ema'], True, 2.0),
        (['state_dict', 'state_dict_ema', 'model', 'model_ema'], False, 1.0),
        (['model', 'model_ema'], True, 4.0),
        (['model', 'model_ema'], False, 3.0),
        (['state_dict'], True, 1.0),
    ],
)
def test_averaged_weights_are_preferred_unless_refused(entries, use_ema, expected):
    torch.save({'epoch': 3, 'optimizer': {}, **{name: filled(CHECKPOINT[name]) for name in entries}}, 'x.pth')
    assert load_state_dict('x.pth', use_ema=use_ema)['head.bias'][0] == expected


def test_an_empty_average_is_passed_over():
    torch.save({'state_dict_ema': None, 'state_dict': filled(1.0)}, 'x.pth')
    assert load_state_dict('x.pth')['head.bias'][0] == 1.0


def test_wrapper_prefixes_are_stripped():
    given = {'module.a': 1, '_orig_mod.b': 2, 'module._orig_mod.c': 3, '_orig_mod.module.d': 4, 'x.module.e': 5}
    assert clean_state_dict(given) == {'a': 1, 'b': 2, 'c': 3, 'd': 4, 'x.module.e': 5}


class Wrapper(nn.Module):
    def __init__(self, model):
        super().__init__()
        self.model = model


@pytest.mark.parametrize('prefix', ['', 'module.', 'model.', 'model._orig_mod.', 'module.model.'])
@pytest.mark.parametrize('wrap', [lambda model: model, Wrapper, nn.DataParallel])
def test_prefixes_of_file_and_model_need_not_agree(net, prefix, wrap):
    write('x.pth', {prefix + name: tensor for name, tensor in net.state_dict().items()})
    target = Net()
    load_checkpoint(wrap(target), 'x.pth')
    assert torch.equal(target.head.weight, net.head.weight)


# Sharing memory with the file


def test_a_mapped_model_gives_bit_equal_outputs_wherever_its_tensors_lie(net):
    x = torch.randn(1, 3, 8, 8)
    for padding in range(1, 66, 4):
        save_file(net.state_dict(), 'x.safetensors', metadata={'padding': 'x' * padding})
        with deferred_init() as finish:
            model = Net()
            load_checkpoint(model, 'x.safetensors')
            finish(model)
        assert torch.equal(model.eval()(x), net(x))


def test_large_blocks_are_mapped_without_a_copy():
    model = nn.Sequential(nn.Linear(1024, 512))
    save_file(model.state_dict(), 'x.safetensors')
    state_dict = load_state_dict('x.safetensors')
    addresses = {name: tensor.data_ptr() for name, tensor in state_dict.items()}
    assign_state_dict(model, state_dict, share=True)
    assert model[0].weight.data_ptr() == addresses['0.weight']


def test_training_a_mapped_model_leaves_the_file_alone(net, folder):
    path = folder / write('x.safetensors', net.state_dict())
    before = hashlib.sha256(path.read_bytes()).digest()
    model = Net()
    assign_state_dict(model, load_state_dict(path), share=True)
    optimizer = torch.optim.SGD(model.parameters(), lr=1.0)
    model(torch.randn(2, 3, 8, 8)).sum().backward()
    optimizer.step()
    assert not torch.equal(model.head.weight, net.head.weight)
    assert hashlib.sha256(path.read_bytes()).digest() == before


@pytest.mark.parametrize('name', FORMATS[:2])
def test_a_loaded_file_can_be_written_over(net, name):
    model = Net()
    assign_state_dict(model, load_state_dict(write(name, net.state_dict())), share=True)
    write(name, model.state_dict())
    assert torch.equal(model.head.weight, net.head.weight)
    assert torch.equal(load_state_dict(name)['head.weight'], net.head.weight)


def test_loading_into_an_existing_model_keeps_its_parameters(net):
    model = Net()
    parameters = list(model.parameters())
    memory = [p.data_ptr() for p in parameters]
    load_checkpoint(model, write('x.safetensors', net.state_dict()))
    assert all(new is old for new, old in zip(model.parameters(), parameters, strict=True))
    assert [p.data_ptr() for p in model.parameters()] == memory
    assert torch.equal(model.head.weight, net.head.weight)


@pytest.mark.parametrize('share', [False, True])
def test_a_model_keeps_its_own_kind_of_tensors(net, share):
    model = Net().to(torch.bfloat16, memory_format=torch.channels_last)
    model.stem.weight.requires_grad_(False)
    assign_state_dict(model, load_state_dict(write('x.safetensors', net.state_dict())), share=share)
    assert {p.dtype for p in model.parameters()} == {torch.bfloat16}
    assert model.norm.num_batches_tracked.dtype == torch.long
    assert all(isinstance(p, nn.Parameter) for p in model.parameters())
    assert not model.stem.weight.requires_grad
    assert model.head.weight.requires_grad
    assert model.stem.weight.is_contiguous(memory_format=torch.channels_last)
    assert torch.equal(model.head.weight, net.head.weight.bfloat16())


def test_tied_parameters_stay_tied(net):
    model = Net()
    model.blocks[1].weight = model.blocks[0].weight
    state_dict = net.state_dict()
    del state_dict['blocks.0.weight']
    assign_state_dict(model, state_dict, share=True)
    assert model.blocks[0].weight is model.blocks[1].weight
    assert torch.equal(model.blocks[0].weight, net.blocks[1].weight)


def test_parameters_do_not_share_memory_that_the_file_shared(net):
    state_dict = net.state_dict()
    state_dict['blocks.1.weight'] = state_dict['blocks.0.weight']
    both = torch.randn(16, 8)
    state_dict['blocks.0.bias'], state_dict['blocks.1.bias'] = both[0], both[1]
    model = Net()
    assign_state_dict(model, state_dict, share=True)
    assert len({p.untyped_storage().data_ptr() for p in model.parameters()}) == len(list(model.parameters()))


def test_a_state_dict_that_the_caller_gave_stays_the_callers():
    first = timm.create_model('resnet10t')
    second = timm.create_model('resnet10t', pretrained=True, pretrained_cfg_overlay={'state_dict': first.state_dict()})
    assert torch.equal(first.fc.weight, second.fc.weight)
    pairs = zip(first.parameters(), second.parameters(), strict=True)
    assert not any(a.data_ptr() == b.data_ptr() for a, b in pairs)


def test_a_model_from_the_meta_device_is_filled(net):
    with torch.device('meta'):
        model = Net()
    load_checkpoint(model.eval(), write('x.safetensors', net.state_dict()))
    x = torch.randn(1, 3, 8, 8)
    assert torch.equal(model(x), net(x))


def test_a_table_that_nothing_can_fill_is_an_error(net):
    with torch.device('meta'):
        model = Net()
        model.register_buffer('table', torch.arange(3), persistent=False)
    with pytest.raises(RuntimeError, match='table'):
        load_checkpoint(model, write('x.safetensors', net.state_dict()))


def test_construction_only_fills_what_the_file_leaves_open(net):
    state_dict = net.state_dict()
    del state_dict['head.weight'], state_dict['head.bias']
    with deferred_init() as finish:
        model = Net()
        result = assign_state_dict(model, state_dict, strict=False)
        finish(model)
    assert result.missing_keys == ['head.weight', 'head.bias']
    assert torch.equal(model.blocks[0].weight, net.blocks[0].weight)
    assert 0 < model.head.weight.std() < 1


# What does not fit


def message_of(call):
    with pytest.raises(RuntimeError) as error:
        call()
    message = str(error.value)
    assert len(message.splitlines()) <= 15
    return message


@pytest.mark.parametrize('strict', [False, True])
def test_another_classifier_is_answered_with_both_remedies(net, strict):
    write('x.pth', net.state_dict())
    message = message_of(lambda: load_checkpoint(Net(1000), 'x.pth', strict=strict))
    assert 'holds a classifier of 5 classes for a model with 1000' in message
    assert 'num_classes=5;' in message
    assert "pretrained=True, pretrained_cfg_overlay=dict(file='x.pth', num_classes=5)" in message


def test_another_stem_is_answered_with_both_remedies(net):
    write('x.pth', net.state_dict())
    message = message_of(lambda: load_checkpoint(Net(in_chans=1), 'x.pth'))
    assert 'images of 3 channels, the model for 1' in message
    assert "pretrained_cfg_overlay=dict(file='x.pth', input_size=(3, 224, 224))" in message


def test_names_that_do_not_match_are_listed_or_returned(net):
    state_dict = net.state_dict()
    state_dict['added'] = state_dict.pop('blocks.1.bias')
    write('x.pth', state_dict)
    message = message_of(lambda: load_checkpoint(Net(), 'x.pth'))
    assert 'missing in the file (1): blocks.1.bias' in message
    assert 'not in the model (1): added' in message
    result = load_checkpoint(Net(), 'x.pth', strict=False)
    assert result.missing_keys == ['blocks.1.bias']
    assert result.unexpected_keys == ['added']


def test_unknown_parts_of_a_checkpoint_are_named(net):
    torch.save({'teacher': net.state_dict(), 'student': net.state_dict()}, 'x.pth')
    assert 'parts (teacher, student)' in message_of(lambda: load_checkpoint(Net(), 'x.pth'))


def test_a_file_of_another_architecture_is_recognised():
    torch.save(timm.create_model('resnet18').state_dict(), 'x.pth')
    message = message_of(lambda: timm.create_model('vit_tiny_patch16_224', checkpoint_path='x.pth'))
    assert 'fits resnet18' in message


def test_what_a_file_says_of_itself_goes_first():
    torch.save({'arch': 'resnet34', 'state_dict': {'a': torch.ones(1)}}, 'x.pth')
    assert 'says it is resnet34' in message_of(lambda: load_checkpoint(Net(), 'x.pth'))


# Checkpoints of runs


def test_numpy_weights_go_to_the_model_itself():
    class Reader(Net):
        def load_pretrained(self, path):
            self.path = path

    np.savez('x.npz', a=np.ones(2))
    model = Reader()
    assert load_checkpoint(model, 'x.npz') is None
    assert model.path == 'x.npz'
    with pytest.raises(NotImplementedError, match='load_pretrained'):
        load_checkpoint(Net(), 'x.npz')


def test_a_filter_converts_names(net):
    write('x.pth', {f'old.{name}': tensor for name, tensor in net.state_dict().items()})
    model = Net()
    load_checkpoint(model, 'x.pth', filter_fn=lambda sd, model: {k.removeprefix('old.'): v for k, v in sd.items()})
    assert torch.equal(model.head.weight, net.head.weight)


def test_tensors_can_be_matched_by_order():
    model = nn.Linear(2, 3)
    values = {'w': torch.arange(6.0), 'b': torch.ones(3)}
    assert remap_state_dict(values, model)['weight'].shape == (3, 2)
    with pytest.raises(ValueError, match="'w'"):
        remap_state_dict(values, model, allow_reshape=False)
    torch.save(values, 'x.pth')
    load_checkpoint(model, 'x.pth', remap=True)
    assert model.weight.flatten().tolist() == values['w'].tolist()


class Scaler:
    state_dict_key = 'amp_scaler'

    def load_state_dict(self, state):
        self.state = state


@pytest.mark.parametrize(
    ('fields', 'epoch'),
    [({'epoch': 7, 'version': 2}, 8), ({'epoch': 7}, 7), ({'epoch': 7, 'version': 1}, 7), ({}, None)],
)
def test_a_run_goes_on_where_it_stopped(net, fields, epoch):
    made = torch.optim.SGD(net.parameters(), lr=0.5, momentum=0.9)
    entries = {'state_dict': net.state_dict(), 'optimizer': made.state_dict(), 'amp_scaler': {'scale': 2.0}}
    torch.save({**entries, 'state_dict_ema': filled(9.0), **fields}, 'x.pth')
    model, scaler = Net(), Scaler()
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1, momentum=0.9)
    assert resume_checkpoint(model, 'x.pth', optimizer, scaler) == epoch
    assert torch.equal(model.head.weight, net.head.weight)
    assert optimizer.param_groups[0]['lr'] == 0.5
    assert optimizer.param_groups[0]['params'][0] is model.stem.weight
    assert scaler.state == {'scale': 2.0}


def test_bare_weights_can_be_resumed_from(net):
    write('x.pth', net.state_dict())
    model = Net()
    assert resume_checkpoint(model, 'x.pth', log_info=False) is None
    assert torch.equal(model.head.weight, net.head.weight)


def test_lazy_reading_maps_and_eager_reading_does_not(net, folder):
    path = folder / write('x.pth', {'a': torch.ones(1000)})
    lazy, eager = read_weight_file(path, lazy=True)['a'], read_weight_file(path)['a']
    lazy.zero_()
    assert eager.sum() == 1000
    assert read_weight_file(path)['a'].sum() == 1000
