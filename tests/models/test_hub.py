"""Where weights and configurations are looked for, and the form in which models are saved for others."""

import hashlib
import io
import json
import os

import pytest
import torch
from huggingface_hub import errors
from safetensors.torch import load_file, save_file

import timm
from timm.models import _hub as hub
from timm.models import push_to_hf_hub, save_for_hf

WEIGHTS = {'a': torch.ones(2)}
REPOSITORY = 'org/net'


@pytest.fixture(autouse=True)
def places(tmp_path, monkeypatch):
    """Empty caches, no network."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(torch.hub, 'get_dir', lambda: str(tmp_path / 'torch'))
    monkeypatch.setattr(hub, '_hub_cache_dir', lambda: tmp_path / 'hub')
    monkeypatch.setattr(hub, '_is_offline', lambda: False)
    monkeypatch.setattr(hub, 'hf_hub_download', unexpected_download, raising=False)
    monkeypatch.setattr(hub.urllib.request, 'urlopen', unexpected_download)
    monkeypatch.delenv('TIMM_WEIGHTS', raising=False)
    return tmp_path


def unexpected_download(*args, **kwargs):
    raise AssertionError('the network was asked for what lies on this machine')


def put_in_cache(root, filename, content, revision='main', name=None):
    """A file as huggingface_hub caches it: a blob named by its hash, linked from a snapshot."""
    folder = root / 'hub' / 'models--org--net'
    commit = 'c0ffee'
    blob = folder / 'blobs' / (name or hashlib.sha256(content).hexdigest())
    link = folder / 'snapshots' / commit / filename
    for part in (blob, link, folder / 'refs' / revision):
        part.parent.mkdir(parents=True, exist_ok=True)
    blob.write_bytes(content)
    (folder / 'refs' / revision).write_text(commit)
    link.symlink_to(blob)
    return blob


def as_bytes(state_dict, name='x.safetensors'):
    if name.endswith('.safetensors'):
        save_file(state_dict, name)
    else:
        torch.save(state_dict, name)
    with open(name, 'rb') as file:
        return file.read()


def test_the_hub_function_is_there_when_asked_for(monkeypatch):
    monkeypatch.delitem(vars(hub), 'hf_hub_download')
    assert hub.hf_hub_download.keywords['library_name'] == 'timm'
    with pytest.raises(AttributeError, match='nothing'):
        _ = hub.nothing


@pytest.mark.parametrize(
    ('hf_id', 'expected'),
    [('a/b', ('a/b', None)), ('a/b@v1', ('a/b', 'v1')), ('name', ('name', None)), ('a/b#c', ('a/b#c', None))],
)
def test_revisions_are_split_off(hf_id, expected):
    assert hub.hf_split(hf_id) == expected


def test_two_revisions_are_refused():
    with pytest.raises(ValueError, match="more than one '@'"):
        hub.hf_split('a@b@c')


# URLs


class Answer(io.BytesIO):
    def __init__(self, content, size=None):
        super().__init__(content)
        self.headers = {'Content-Length': str(len(content) if size is None else size)}


def name_with_hash(content):
    return f'net-{hashlib.sha256(content).hexdigest()[:8]}.pth'


def test_a_download_is_kept_and_used_again(places, monkeypatch):
    name = name_with_hash(b'weights')
    monkeypatch.setattr(hub.urllib.request, 'urlopen', lambda request, timeout: Answer(b'weights'))
    url = f'https://example.org/files/{name}?download=1'
    assert not hub.check_cached_file(url)
    path = hub.download_cached_file(url)
    assert path == str(places / 'torch' / 'checkpoints' / name)
    assert os.listdir(os.path.dirname(path)) == [name]
    monkeypatch.setattr(hub.urllib.request, 'urlopen', unexpected_download)
    assert hub.check_cached_file(url)
    assert hub.download_cached_file(url) == path


def test_a_download_can_go_elsewhere_under_another_name(places, monkeypatch):
    monkeypatch.setattr(hub.urllib.request, 'urlopen', lambda request, timeout: Answer(b'weights'))
    path = hub.download_cached_file(('https://example.org/x', 'net.pth'), cache_dir=places / 'mine', progress=True)
    assert path == str(places / 'mine' / 'net.pth')


@pytest.mark.parametrize(
    ('answer', 'error', 'reason'),
    [
        (Answer(b'changed'), RuntimeError, 'its name promises'),
        (Answer(b'weigh', size=7), FileNotFoundError, '5 of 7 bytes'),
    ],
)
def test_a_bad_download_leaves_nothing_behind(places, monkeypatch, answer, error, reason):
    monkeypatch.setattr(hub.urllib.request, 'urlopen', lambda request, timeout: answer)
    with pytest.raises(error, match=reason):
        hub.download_cached_file(f'https://example.org/{name_with_hash(b"weights")}')
    assert os.listdir(places / 'torch' / 'checkpoints') == []


def test_a_damaged_cache_entry_is_fetched_again(monkeypatch):
    name = name_with_hash(b'weights')
    with open(os.path.join(hub.get_cache_dir(), name), 'wb') as file:
        file.write(b'damaged')
    assert hub.check_cached_file(name, check_hash=False)
    assert not hub.check_cached_file(name)
    monkeypatch.setattr(hub.urllib.request, 'urlopen', lambda request, timeout: Answer(b'weights'))
    with open(hub.download_cached_file(f'https://example.org/{name}'), 'rb') as file:
        assert file.read() == b'weights'


def test_a_short_hex_word_in_a_name_is_no_hash():
    with open(os.path.join(hub.get_cache_dir(), 'net-b0.pth'), 'wb') as file:
        file.write(b'weights')
    assert hub.check_cached_file('https://example.org/net-b0.pth')


@pytest.mark.parametrize('url', ['file:///etc/hostname', 'ftp://example.org/net.pth'])
def test_only_the_web_is_downloaded_from(url):
    with pytest.raises(FileNotFoundError, match='only http and https'):
        hub.download_cached_file(url)


def test_offline_a_url_is_answered_with_where_it_was_looked_for(places, monkeypatch):
    monkeypatch.setattr(hub, '_is_offline', lambda: True)
    monkeypatch.setenv('TIMM_WEIGHTS', str(places / 'mine'))
    with pytest.raises(FileNotFoundError, match='HF_HUB_OFFLINE') as error:
        hub.download_cached_file('https://example.org/net.pth')
    for place in ('mine', 'checkpoints', 'https://example.org/net.pth', 'pretrained_cfg_overlay'):
        assert place in str(error.value)


# The hub


@pytest.mark.parametrize('relative', ['org/net/model.safetensors', 'net/model.safetensors', 'net.safetensors'])
def test_own_folders_go_first(places, monkeypatch, relative):
    monkeypatch.setenv('TIMM_WEIGHTS', os.pathsep.join([str(places / 'empty'), str(places / 'mine')]))
    (places / 'mine' / relative).parent.mkdir(parents=True)
    save_file(WEIGHTS, places / 'mine' / relative)
    put_in_cache(places, 'model.safetensors', as_bytes({'b': torch.ones(1)}))
    assert list(hub.load_state_dict_from_hf(REPOSITORY)) == ['a']


def test_own_folders_hold_files_of_urls_too(places, monkeypatch):
    monkeypatch.setenv('TIMM_WEIGHTS', str(places))
    (places / 'net.pth').write_bytes(b'weights')
    assert hub.download_cached_file('https://example.org/net.pth') == str(places / 'net.pth')


@pytest.mark.parametrize('revision', ['main', 'v2'])
def test_the_cache_goes_before_the_network(places, revision):
    put_in_cache(places, 'model.safetensors', as_bytes(WEIGHTS), revision)
    model_id = REPOSITORY if revision == 'main' else f'{REPOSITORY}@{revision}'
    assert list(hub.load_state_dict_from_hf(model_id)) == ['a']


def test_a_cached_pickle_goes_before_the_network(places):
    put_in_cache(places, 'pytorch_model.bin', as_bytes({'model': WEIGHTS}, 'x.bin'))
    assert list(hub.load_state_dict_from_hf(REPOSITORY)) == ['a']


def test_a_damaged_cache_file_is_noticed_when_it_is_first_used(places):
    blob = put_in_cache(places, 'model.safetensors', as_bytes(WEIGHTS), name='0' * 64)
    with pytest.raises(RuntimeError, match='SHA-256') as error:
        hub.load_state_dict_from_hf(REPOSITORY)
    assert str(blob) in str(error.value)


def test_a_checked_file_is_not_read_again_to_be_checked(places, monkeypatch):
    put_in_cache(places, 'model.safetensors', as_bytes(WEIGHTS))
    hub.load_state_dict_from_hf(REPOSITORY)
    monkeypatch.setattr(hub, '_sha256', unexpected_download)
    hub.load_state_dict_from_hf(REPOSITORY)


class FakeHub:
    """Stands for hf_hub_download: knows some files, remembers what it was asked."""

    def __init__(self, **files):
        self.files = files
        self.asked = []

    def __call__(self, repo_id, filename, **options):
        self.asked.append((repo_id, filename, options))
        if filename not in self.files:
            raise errors.EntryNotFoundError(filename)
        return self.files[filename]


@pytest.mark.parametrize(
    ('remote', 'filename', 'asked'),
    [
        (['model.safetensors', 'pytorch_model.bin'], None, ['model.safetensors']),
        (['pytorch_model.bin'], None, ['model.safetensors', 'pytorch_model.bin']),
        (['open_clip_model.safetensors'], 'open_clip_pytorch_model.bin', ['open_clip_model.safetensors']),
        (['x.bin'], 'x.bin', ['x.safetensors', 'x.bin']),
        (['x.pth'], 'x.pth', ['x.pth']),
    ],
)
def test_safetensors_are_tried_before_pickles(monkeypatch, remote, filename, asked):
    for name in remote:
        as_bytes(WEIGHTS, name)
    fake = FakeHub(**{name: os.path.abspath(name) for name in remote})
    monkeypatch.setattr(hub, 'hf_hub_download', fake)
    arguments = (filename,) if filename else ()
    assert list(hub.load_state_dict_from_hf('org/net@v1', *arguments, cache_dir='c')) == ['a']
    assert fake.asked == [('org/net', name, {'revision': 'v1', 'cache_dir': 'c'}) for name in asked]


@pytest.mark.parametrize(
    ('failure', 'reason'),
    [
        (errors.EntryNotFoundError('x'), 'no such file'),
        (errors.LocalEntryNotFoundError('cannot connect'), 'cannot connect'),
        (OSError('broken pipe'), 'broken pipe'),
        (ValueError('no valid repository id'), 'no valid repository id'),
    ],
)
def test_what_cannot_be_had_is_one_error_that_says_all(places, monkeypatch, failure, reason):
    def fail(**options):
        raise failure

    monkeypatch.setattr(hub, 'hf_hub_download', fail)
    with pytest.raises(FileNotFoundError, match=reason) as error:
        hub.load_state_dict_from_hf(REPOSITORY)
    for part in ('model.safetensors or pytorch_model.bin', REPOSITORY, 'TIMM_WEIGHTS', str(places / 'hub'), 'https://'):
        assert part in str(error.value)


def test_an_unreachable_hub_is_given_up_within_seconds(monkeypatch):
    tries = []

    def refuse(address, timeout):
        tries.append((address, timeout))
        raise OSError('name or service not known')

    monkeypatch.delitem(vars(hub), 'hf_hub_download')
    monkeypatch.setenv('HF_ENDPOINT', 'http://hub.example.org:8080')
    monkeypatch.setattr(hub.urllib.request, 'getproxies', dict)
    monkeypatch.setattr(hub.socket, 'create_connection', refuse)
    monkeypatch.setattr(hub.time, 'sleep', lambda seconds: None)
    with pytest.raises(
        FileNotFoundError, match=r'http://hub\.example\.org:8080 \(OSError: name or service not known\)'
    ):
        hub.download_from_hf(REPOSITORY, 'config.json')
    assert [address for address, _ in tries] == [('hub.example.org', 8080)] * 2
    assert sum(timeout for _, timeout in tries) < 10


def test_offline_nothing_is_asked(monkeypatch):
    monkeypatch.setattr(hub, '_is_offline', lambda: True)
    with pytest.raises(FileNotFoundError, match='HF_HUB_OFFLINE forbids the network') as error:
        timm.create_model('hf-hub:org/net')
    assert 'config.json' in str(error.value)


@pytest.mark.parametrize('value', ['1', 'true', 'ON'])
def test_the_environment_can_forbid_the_network(monkeypatch, value):
    monkeypatch.undo()
    monkeypatch.setenv('HF_HUB_OFFLINE', value)
    assert hub._is_offline()


# Folders and configurations


def test_configurations_say_where_they_come_from(places):
    config = {'architecture': 'resnet10t', 'pretrained_cfg': {'crop_pct': 0.9}, 'num_classes': 7, 'label_names': ['x']}
    (places / 'config.json').write_text(json.dumps({**config, 'model_args': {'in_chans': 1}}))
    put_in_cache(places, 'config.json', (places / 'config.json').read_bytes(), name='a' * 40)
    cfg = {'crop_pct': 0.9, 'num_classes': 7, 'label_names': ['x'], 'input_size': (1, 224, 224)}
    found = hub.load_model_config_from_hf(REPOSITORY)
    assert found == ({**cfg, 'hf_hub_id': REPOSITORY, 'source': 'hf-hub'}, 'resnet10t', {'in_chans': 1})
    found = hub.load_model_config_from_path(places)
    assert found == ({**cfg, 'file': str(places), 'source': 'local-dir'}, 'resnet10t', {'in_chans': 1})


def test_flat_configurations_of_old_are_understood(places):
    flat = {'architecture': 'resnet10t', 'num_classes': 3, 'num_features': 512, 'input_size': [3, 64, 64]}
    (places / 'config.json').write_text(json.dumps(flat))
    cfg, architecture, args = hub.load_model_config_from_path(places)
    assert (architecture, args) == ('resnet10t', {})
    assert cfg == {'num_classes': 3, 'input_size': (3, 64, 64), 'file': str(places), 'source': 'local-dir'}


@pytest.mark.parametrize('text', ['{', '[]', '{"num_classes": 3}', '[' * 100000])
def test_a_bad_configuration_is_named(places, text):
    (places / 'config.json').write_text(text)
    with pytest.raises(RuntimeError, match=r'config\.json'):
        hub.load_model_config_from_path(places)


def test_a_folder_without_configuration_is_an_error(places):
    with pytest.raises(FileNotFoundError, match=r'config\.json'):
        timm.create_model(f'local-dir:{places}')


def test_usual_names_go_first_in_a_folder(places, caplog):
    with pytest.raises(RuntimeError, match='No suitable checkpoints'):
        hub.load_state_dict_from_path(places)
    for name in ('b.bin', 'z.pth', 'a.pth', 'm.safetensors', 'model.pth', 'pytorch_model.bin', 'model.safetensors'):
        as_bytes({name: torch.ones(1)}, name)
        expected = 'a.pth' if name == 'z.pth' else name
        os.rename(name, expected if name == 'z.pth' else name)
        assert next(iter(hub.load_state_dict_from_path(places))) == name
    assert list(hub.load_state_dict_from_path(places / 'b.bin')) == ['b.bin']


def test_several_files_of_one_ending_are_worth_a_warning(places, caplog):
    for name in ('z.pth', 'a.pth'):
        as_bytes({name: torch.ones(1)}, name)
    assert list(hub.load_state_dict_from_path(places)) == ['a.pth']
    assert "Using 'a.pth'" in caplog.text


def test_a_model_can_read_a_file_of_a_repository_itself(monkeypatch):
    class Reader(torch.nn.Module):
        def load_pretrained(self, path):
            self.path = path

    monkeypatch.setattr(hub, 'hf_hub_download', FakeHub(**{'w.npz': 'here/w.npz'}))
    model = Reader()
    hub.load_custom_from_hf(REPOSITORY, 'w.npz', model)
    assert model.path == 'here/w.npz'


# Saving


@pytest.fixture(scope='module')
def model():
    torch.manual_seed(0)
    return timm.create_model('resnet10t', num_classes=5, in_chans=2, global_pool='max', drop_rate=0.1).eval()


@pytest.mark.parametrize('safe', [False, True, 'both'])
def test_a_saved_folder_gives_the_model_back(model, safe):
    save_for_hf(model, 'saved', safe_serialization=safe)
    files = {
        False: ['pytorch_model.bin'],
        True: ['model.safetensors'],
        'both': ['model.safetensors', 'pytorch_model.bin'],
    }
    assert sorted(os.listdir('saved')) == ['config.json', *files[safe]]
    again = timm.create_model('local-dir:saved', pretrained=True).eval()
    x = torch.randn(1, 2, 64, 64)
    assert torch.equal(again(x), model(x))
    assert (again.num_classes, again.in_chans, again.global_pool.pool_type) == (5, 2, 'max')
    assert timm.create_model('local-dir:saved', pretrained=True, num_classes=3)(x).shape == (1, 3)


def test_saving_over_the_files_a_model_is_mapped_from(model):
    save_for_hf(model, 'saved', safe_serialization='both')
    again = timm.create_model('local-dir:saved', pretrained=True)
    save_for_hf(again, 'saved', safe_serialization='both')
    assert torch.equal(load_file('saved/model.safetensors')['fc.weight'], model.fc.weight)
    assert torch.equal(again.fc.weight, model.fc.weight)


def saved_config(model, **options):
    hub.save_config_for_hf(model, 'config.json', **options)
    with open('config.json') as file:
        return json.load(file)


def test_a_configuration_tells_the_model_as_it_is(model):
    labels = {'label_names': list('abcde'), 'label_descriptions': {'a': 'first'}}
    config = saved_config(model, model_config={**labels, 'note': 'mine'}, model_args={'output_stride': 32})
    cfg = config.pop('pretrained_cfg')
    assert config == {
        'architecture': 'resnet10t',
        'num_classes': 5,
        'num_features': 512,
        'global_pool': 'max',
        **labels,
        'model_args': {'num_classes': 5, 'in_chans': 2, 'global_pool': 'max', 'output_stride': 32},
        'note': 'mine',
    }
    assert (cfg['num_classes'], cfg['input_size'], cfg['mean'], cfg['custom_load']) == (
        5,
        [2, 176, 176],
        [0.449] * 2,
        False,
    )
    assert not {'url', 'hf_hub_id', 'file', 'source', 'architecture', 'state_dict'} & cfg.keys()


def test_a_configuration_tells_how_images_are_prepared(model):
    data = {'input_size': (2, 64, 64), 'mean': (0.5,), 'crop_pct': 1.0, 'interpolation': 'bilinear', 'other': 1}
    cfg = saved_config(model, data_config=data)['pretrained_cfg']
    assert (cfg['input_size'], cfg['mean'], cfg['crop_pct'], cfg['interpolation']) == (
        [2, 64, 64],
        [0.5] * 2,
        1.0,
        'bilinear',
    )
    assert cfg['pool_size'] is None
    assert not {'test_input_size', 'test_crop_pct', 'other'} & cfg.keys()


@pytest.mark.parametrize(
    ('options', 'reason'),
    [
        ({'model_config': {'num_classes': 9}}, 'must match the current model'),
        ({'model_args': {'in_chans': 7}}, 'disagrees with the current model'),
        ({'model_args': {'act_layer': torch.nn.ReLU}}, 'not serializable'),
        ({'data_config': {'input_size': (3, 64, 64)}}, 'accepts 2'),
        ({'data_config': {'input_size': 64}}, 'channels, height, width'),
        ({'data_config': {'mean': (1, 2, 3)}}, 'one value or 2'),
        ({'model_config': {'label_descriptions': ['x']}}, 'label_descriptions'),
    ],
)
def test_a_configuration_does_not_contradict_the_model(model, options, reason):
    with pytest.raises(ValueError, match=reason):
        saved_config(model, **options)


def test_parts_of_models_have_no_configuration(model):
    with pytest.raises(ValueError, match='create_model'):
        saved_config(model.layer1)


def test_tied_weights_can_be_saved(model):
    tied = timm.create_model('resnet10t')
    tied.layer4[0].bn2.weight = tied.layer4[0].bn1.weight
    save_for_hf(tied, 'saved', safe_serialization=True)
    assert load_file('saved/model.safetensors').keys() == tied.state_dict().keys()


def test_a_model_is_uploaded_with_a_readme(model, monkeypatch):
    calls = {}

    class Api:
        def __init__(self, **options):
            calls['login'] = options

        def create_repo(self, repo_id, **options):
            calls['create'] = options
            return type('Url', (), {'repo_id': f'me/{repo_id}'})

        def file_exists(self, **options):
            return False

        def upload_folder(self, folder_path, **options):
            with open(os.path.join(folder_path, 'README.md')) as file:
                calls['readme'] = file.read()
            calls['files'] = sorted(os.listdir(folder_path))
            calls['upload'] = options
            return 'done'

    monkeypatch.setattr('huggingface_hub.HfApi', Api)
    assert push_to_hf_hub(model, 'net', token='t', private=True, model_card={'license': 'mit'}) == 'done'
    assert calls['login']['token'] == 't'
    assert calls['create'] == {'private': True, 'exist_ok': True}
    assert calls['files'] == ['README.md', 'config.json', 'model.safetensors', 'pytorch_model.bin']
    assert calls['upload'] == {
        'repo_id': 'me/net',
        'revision': None,
        'create_pr': False,
        'commit_message': 'Add model',
    }
    assert 'license: mit' in calls['readme']
    assert '# Model card for net' in calls['readme']


def test_a_readme_says_what_is_known():
    card = {
        'license': 'mit',
        'details': {'Dataset': 'ImageNet-1k', 'Papers': ['one', 'two'], 'Stats': {'GMACs': 3}},
        'description': 'What it is.',
        'citation': ['@a', '@b'],
    }
    assert hub.generate_readme(card, 'net', 'task').splitlines() == [
        *('---', 'tags:', '- task', '- timm', '- transformers', 'pipeline_tag: task', 'library_name: timm'),
        *('license: mit', 'datasets:', '- imagenet-1k', '---', '# Model card for net', '', 'What it is.', ''),
        *('## Model Details', '- **Dataset:** ImageNet-1k', '- **Papers:**', '  - one', '  - two'),
        *('- **Stats:**', '  - GMACs: 3', '', '## Citation', '```bibtex', '@a', '```', '```bibtex', '@b', '```'),
    ]
