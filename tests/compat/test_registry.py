"""Names, tags, wildcards and registration behave as other projects rely on."""

import sys
import types

import pytest

import timm
from tests import reference
from timm import catalog
from timm.models import (
    DefaultCfg,
    PretrainedCfg,
    _registry,
    generate_default_cfgs,
    get_arch_name,
    get_arch_pretrained_cfgs,
    get_deprecated_models,
    get_pretrained_cfg,
    get_pretrained_cfg_value,
    is_model,
    is_model_in_modules,
    is_model_pretrained,
    list_models,
    list_modules,
    list_pretrained,
    model_entrypoint,
    register_model,
    register_model_deprecations,
    split_model_name_tag,
)

RESNET18_TAGS = [
    'resnet18.a1_in1k',
    'resnet18.a2_in1k',
    'resnet18.a3_in1k',
    'resnet18.fb_ssl_yfcc100m_ft_in1k',
    'resnet18.fb_swsl_ig1b_ft_in1k',
    'resnet18.gluon_in1k',
    'resnet18.tv_in1k',
]


@pytest.fixture(autouse=True)
def registry(monkeypatch):
    """A registry of its own for every test, so that what one registers no other sees."""
    monkeypatch.setattr(_registry, '_REGISTRY', _registry.Registry())


@pytest.fixture
def module(monkeypatch):
    """Makes importable modules: `module(name, default_cfgs, functions)`."""

    def make(name, default_cfgs=None, functions=(), **attributes):
        made = types.ModuleType(name)
        monkeypatch.setitem(sys.modules, name, made)
        vars(made).update(attributes)
        if default_cfgs is not None:
            made.default_cfgs = default_cfgs
        for function in functions:
            entry = _entry(made, function)
            setattr(made, function, entry)
            register_model(entry)
        return made

    return make


def _entry(home, name):
    def entry_point(pretrained=False, **kwargs):
        return home.__name__, pretrained, kwargs

    entry_point.__name__ = name
    entry_point.__module__ = home.__name__
    return entry_point


# listing


def test_listing_is_the_published_one():
    facts = reference.load('facts')
    known = {name for family in catalog.families() for name in facts['families'][family]}
    expected = [name for name in facts['listing'] if get_arch_name(name) in known]
    assert list_models(include_tags=True) == expected
    assert list_models() == [name for name in facts['architectures'] if name in known]
    with_weights = {
        f'{name}.{tag}' if tag else name
        for family in catalog.families()
        for name, model in facts['families'][family].items()
        for tag, cfg in model['tags'].items()
        if cfg.get('url') or cfg.get('hf_hub_id')
    }
    assert list_models(pretrained=True) == list_pretrained() == [name for name in expected if name in with_weights]


def test_every_call_hands_out_a_list_of_its_own():
    first = list_models('resnet18*')
    first.clear()
    assert list_models('resnet18*') == ['resnet18', 'resnet18d']


@pytest.mark.parametrize(
    ('arguments', 'expected'),
    [
        (dict(filter='resnet18'), ['resnet18']),
        (dict(filter='RESNET18'), []),
        (dict(filter='resnet18', include_tags=True), RESNET18_TAGS),
        (dict(filter='resnet18', pretrained=True), RESNET18_TAGS),
        (dict(filter='resnet18.a?_in1k', include_tags=True), RESNET18_TAGS[:3]),
        (dict(filter='resnet18.a1_in1k'), []),
        (dict(filter=('resnet34', 'resnet18*')), ['resnet18', 'resnet18d', 'resnet34']),
        (dict(filter={'resnet18'}), ['resnet18']),
        (dict(filter=['resnet18', '']), ['resnet18']),
        (dict(filter='resnet[13][08]t'), ['resnet10t']),
        (dict(filter='resnet??', exclude_filters='*[04]'), ['resnet18', 'resnet26']),
        (dict(filter='resnet1?*', exclude_filters=['*t', '*[cds]', '*_*', '*1', '*2']), ['resnet18']),
        (dict(filter='resnet18', pretrained=True, exclude_filters='*a?_in1k'), RESNET18_TAGS[3:]),
        (dict(filter='resnet18*', pretrained=True, exclude_filters=['resnet18', 'resnet18d.ra2*']),
         ['resnet18d.ra4_e3600_r224_in1k']),
        (dict(filter='resnet18', include_tags=True, exclude_filters='*.*'), []),
        (dict(filter='*resnet200', module='resnet'), ['resnet200']),
        (dict(filter='resnet200', module='resnet', pretrained=True), []),
        (dict(filter='resnet200', pretrained=True, include_tags=False), []),
        (dict(filter='resnet18', pretrained=True, include_tags=False), ['resnet18']),
        (dict(filter='deit*', module='resnet'), []),
        (dict(module='no_such_module'), []),
        (dict(module='timm.models.deit'), []),
        (dict(filter='tv_*'), []),
        (dict(filter='resnext101_32x48d'), []),
        (dict(filter='resnet18', name_matches_cfg=True), ['resnet18']),
    ],
)  # fmt: skip
def test_filters_select(arguments, expected):
    assert list_models(**arguments) == expected


@pytest.mark.parametrize('nothing', ['', None, [], ()])
def test_an_empty_filter_selects_everything(nothing):
    assert list_models(nothing, module=nothing, exclude_filters=nothing) == list_models()


def test_modules_select_and_combine():
    both = list_models(module=['deit', 'hrnet'])
    assert both == list_models(module='deit') + list_models(module='hrnet')
    assert list_models(module='hrnet') == sorted(list_models('hrnet*'))


def test_names_sort_by_their_numbers():
    names = list_models('resnet*', module='resnet')
    assert names.index('resnet18') < names.index('resnet34') < names.index('resnet101') < names.index('resnet200')


def test_modules_are_the_families():
    assert list_modules() == sorted(catalog.family_names())


# asking for one name


@pytest.mark.parametrize('name', ['resnet50', 'resnet50.a1_in1k', 'resnet50.no_such.tag', 'tv_resnet50'])
def test_is_model_ignores_the_tag_and_knows_old_names(name):
    assert is_model(name)
    assert is_model_in_modules(name, ['resnet'])
    assert is_model_in_modules(name, 'resnet')
    assert not is_model_in_modules(name, {'deit', 'hrnet'})


@pytest.mark.parametrize('name', ['', 'resnet5', 'Resnet50'])
def test_is_model_refuses_other_names(name):
    assert not is_model(name)
    assert not is_model_in_modules(name, ['resnet'])


@pytest.mark.parametrize(
    ('name', 'expected'),
    [
        ('resnet50', True),
        ('resnet50.tv_in1k', True),
        ('resnet50.no_such_tag', False),
        ('resnet50.', False),
        ('resnet200', False),
        ('resnet200.untrained', False),
        ('tv_resnet50', False),
        ('no_such_model', False),
    ],
)
def test_is_model_pretrained_is_exact(name, expected):
    assert is_model_pretrained(name) is expected


def test_names_split_at_the_first_dot():
    assert split_model_name_tag('a.b.c') == ('a', 'b.c')
    assert split_model_name_tag('a') == ('a', '')
    assert split_model_name_tag('a', no_tag='x') == ('a', 'x')
    assert get_arch_name('a.b.c') == 'a'


def test_a_configuration_is_a_copy_with_the_names_filled_in():
    cfg = get_pretrained_cfg('resnet50')
    assert (cfg.architecture, cfg.tag, cfg.hf_hub_id) == ('resnet50', 'a1_in1k', 'timm/resnet50.a1_in1k')
    cfg.num_classes = 3
    assert get_pretrained_cfg('resnet50').num_classes == 1000
    assert get_pretrained_cfg('resnet50.tv2_in1k').input_size == (3, 176, 176)
    assert set(vars(cfg)) == set(PretrainedCfg.__dataclass_fields__)


def test_a_wrong_tag_is_an_error_that_lists_the_tags():
    with pytest.raises(RuntimeError, match=r'Invalid pretrained tag \(nope\) for resnet18d.* ra2_in1k, ra4_e3600'):
        get_pretrained_cfg('resnet18d.nope')


def test_a_tag_of_old_is_mapped_with_a_warning():
    with pytest.warns(UserWarning, match=r'vit_base_patch16_224\.sam to current vit_base_patch16_224\.sam_in1k'):
        assert get_pretrained_cfg('vit_base_patch16_224.sam').tag == 'sam_in1k'


def test_an_unknown_architecture_has_no_configuration():
    assert get_pretrained_cfg('no_such_model') is None
    assert get_pretrained_cfg('tv_resnet50') is None
    assert get_arch_pretrained_cfgs('no_such_model') == {}
    with pytest.raises(RuntimeError, match='no_such_model'):
        get_pretrained_cfg('no_such_model', allow_unregistered=False)
    with pytest.raises(RuntimeError, match='no_such_model'):
        get_pretrained_cfg_value('no_such_model', 'url')


def test_one_field_of_a_configuration():
    assert get_pretrained_cfg_value('resnet50.tv_in1k', 'interpolation') == 'bilinear'
    assert get_pretrained_cfg_value('resnet50', 'no_such_field') is None


def test_all_configurations_of_an_architecture_start_with_the_default():
    cfgs = get_arch_pretrained_cfgs('resnet18d.anything')
    assert list(cfgs) == ['resnet18d.ra2_in1k', 'resnet18d.ra4_e3600_r224_in1k']
    assert cfgs['resnet18d.ra2_in1k'] == get_pretrained_cfg('resnet18d')


def test_the_nearest_names_are_told():
    message = str(_registry.unknown_model_error('resnet5O'))
    assert message.startswith('Unknown model (resnet5O)')
    assert 'resnet50' in message
    assert 'list_models' in str(_registry.unknown_model_error('???'))


def test_an_entry_point_is_found_by_name_or_refused():
    assert model_entrypoint('resnet50.a1_in1k', 'resnet').__name__ == 'resnet50'
    assert model_entrypoint('resnet50') is timm.models.resnet.resnet50
    with pytest.raises(KeyError, match='no_such_model'):
        model_entrypoint('no_such_model')
    with pytest.raises(RuntimeError, match=r'resnet50.*deit'):
        model_entrypoint('resnet50', 'deit')


def test_old_names_are_told_by_module():
    old = get_deprecated_models('resnet')
    assert old['tv_resnet50'] == 'resnet50.tv_in1k'
    assert old.items() <= get_deprecated_models().items()
    old.clear()
    assert get_deprecated_models('resnet')
    assert get_deprecated_models('no_such_module') == {}


# registration


def test_a_registered_function_is_returned_as_it_is_and_published(module):
    home = module('project.nets', __all__=['Net'])
    entry = _entry(home, 'my_net')
    assert register_model(entry) is entry
    assert home.__all__ == ['Net', 'my_net']
    assert is_model('my_net.any')
    assert list_models('my_*') == list_models('my_*', include_tags=True) == ['my_net']
    assert list_models('my_*', module='nets') == ['my_net']
    assert list_models('my_*', module='project.nets') == []
    assert list_models('my_*', pretrained=True) == list_models('my_*', name_matches_cfg=True) == []
    assert 'nets' in list_modules()
    assert model_entrypoint('my_net') is entry
    assert get_pretrained_cfg('my_net') is None
    assert not is_model_pretrained('my_net')


def test_a_module_without_all_gets_one(module):
    assert module('plain', functions=['net_a', 'net_b']).__all__ == ['net_a', 'net_b']


def test_configurations_of_a_module_come_in_three_forms(module):
    cfgs = {
        'old_style': {'url': 'https://x/a.pth', 'hf_hub_id': 'timm/', 'num_classes': 7},
        'one': PretrainedCfg(url='https://x/b.pth'),
        **generate_default_cfgs({'many.v2': {'hf_hub_id': 'timm/'}, 'many.v1': PretrainedCfg(hf_hub_id='me/net')}),
    }
    module('nets', cfgs, ['old_style', 'one', 'many'])
    found = get_pretrained_cfg('old_style')
    assert (found.architecture, found.tag, found.hf_hub_id, found.num_classes) == (
        'old_style',
        None,
        'timm/old_style',
        7,
    )
    assert get_pretrained_cfg('one').url == 'https://x/b.pth'
    assert get_pretrained_cfg('many').hf_hub_id == 'timm/many.v2'
    assert get_pretrained_cfg('many.v1').hf_hub_id == 'me/net'
    assert list_models(module='nets', include_tags=True) == ['many.v1', 'many.v2', 'old_style', 'one']
    assert list_models(module='nets', pretrained=True, include_tags=False) == ['many', 'old_style', 'one']
    assert list_pretrained(['many*', 'old_style', 'one']) == ['many.v1', 'many.v2', 'old_style', 'one']
    assert cfgs['many'].cfgs['v2'].architecture is None, "the module's own record is left alone"
    with pytest.raises(RuntimeError, match='Invalid pretrained tag'):
        get_pretrained_cfg('old_style.v1')


def test_a_later_registration_wins_with_a_warning(module):
    with pytest.warns(UserWarning, match=r'Overwriting resnet18 in registry with other\.nets\.resnet18'):
        home = module('other.nets', generate_default_cfgs({'resnet18.mine': {'url': 'u'}}), ['resnet18'])
    assert model_entrypoint('resnet18') is home.resnet18
    assert list_models('resnet18', include_tags=True) == ['resnet18.mine']
    assert list_models('resnet18', module='resnet') == []
    assert is_model_in_modules('resnet18', 'nets')
    assert not is_model_in_modules('resnet18', 'resnet')
    assert not is_model_pretrained('resnet18.a1_in1k')
    with pytest.warns(UserWarning, match='Overwriting resnet18'):
        module('third', functions=['resnet18'])
    assert list_models('resnet18', include_tags=True) == ['resnet18']
    assert get_pretrained_cfg('resnet18') is get_pretrained_cfg('resnet18.a1_in1k') is None


def test_a_registered_configuration_is_a_copy(module):
    home = module('nets', generate_default_cfgs({'net.v1': {'url': 'u'}}), ['net'])
    get_pretrained_cfg('net').num_classes = 3
    home.default_cfgs['net'].cfgs['v1'].num_classes = 4
    assert get_pretrained_cfg('net').num_classes == 1000


@pytest.mark.parametrize(
    ('cfgs', 'tags'),
    [
        ({'n.a': {'url': 'u'}, 'n.b': {'url': 'u'}}, ['a', 'b']),
        ({'n.a': {}, 'n.b': {'url': 'u'}}, ['b', 'a']),
        ({'n.a': {'file': 'f'}, 'n': {'url': 'u'}}, ['', 'a']),
        ({'n': {}, 'n.b': {'url': 'u'}}, ['b', '']),
        ({'n.a': {'url': 'u'}, 'n.b*': {'url': 'u'}, 'n.c*': {'url': 'u'}}, ['b', 'a', 'c']),
        ({'n.a': {}, 'n.b': {'hf_hub_id': 'x'}, 'n.c*': {}}, ['c', 'b', 'a']),
        ({'n': {}, 'n.a': {}}, ['', 'a']),
    ],
)
def test_the_default_tag_is_the_first_with_weights_unless_one_is_preferred(cfgs, tags):
    made = generate_default_cfgs(cfgs)['n']
    assert list(made.tags) == tags
    assert made.default_with_tag == (tags[0], made.cfgs[tags[0]])
    assert made.is_pretrained == any(cfg.has_weights for cfg in made.cfgs.values())


def test_a_default_cfg_starts_empty():
    assert (list(DefaultCfg().tags), DefaultCfg().cfgs, DefaultCfg().is_pretrained) == ([], {}, False)


# old names of other projects


def test_old_names_of_a_module_warn_and_build_what_replaced_them(module):
    home = module('nets', functions=['net'])
    register_model_deprecations('nets', {'net_old': 'net.v1', 'net_older': 'net', 'net_gone': None})
    assert home.__all__ == ['net', 'net_old', 'net_older', 'net_gone']
    assert get_deprecated_models('nets') == {'net_old': 'net.v1', 'net_older': 'net', 'net_gone': None}
    assert is_model('net_old')
    assert is_model_in_modules('net_old', 'nets')
    assert list_models('net*', module='nets') == ['net']
    with pytest.warns(UserWarning, match=r'Mapping deprecated model name net_old to current net\.v1\.'):
        assert home.net_old(True, depth=3) == ('nets', True, {'pretrained_cfg': 'v1', 'depth': 3})
    with pytest.warns(UserWarning, match='net_old'):
        assert model_entrypoint('net_old')(pretrained_cfg='v2')[2] == {'pretrained_cfg': 'v2'}
    with pytest.warns(UserWarning, match='to current net'):
        assert home.net_older()[2] == {'pretrained_cfg': None}
    with pytest.raises(AssertionError, match='net_gone has been removed'):
        home.net_gone()


def test_an_old_name_needs_an_entry_point_in_its_module(module):
    module('nets', functions=['net'])
    with pytest.raises(AttributeError, match='missing'):
        register_model_deprecations('nets', {'old': 'missing.v1'})


def test_a_module_whose_names_were_taken_over_is_not_listed(module):
    module('first', functions=['my_net'])
    with pytest.warns(UserWarning, match='Overwriting my_net'):
        module('second', functions=['my_net'])
    assert 'second' in list_modules()
    assert 'first' not in list_modules()


def test_entry_points_can_be_looked_up_and_forgotten(module):
    home = module('nets', functions=['my_net'])
    points = _registry._model_entrypoints
    assert points['my_net'] is home.my_net
    assert 'resnet18' in points
    assert 'no_such_net' not in points
    assert len(points) == len(list(points)) > len(list_models())
    assert _registry._module_to_models['nets'] == {'my_net'}
    assert 'tv_resnet50' in _registry._module_to_deprecated_models['resnet']
    points['other_net'] = _entry(home, 'other_net')
    assert is_model('other_net')
    for name in ('my_net', 'no_such_net'):
        _registry._clear_model_entries(name)
    assert points.pop('other_net')
    assert not any(map(is_model, ('my_net', 'other_net')))
    assert 'nets' not in list_modules()
