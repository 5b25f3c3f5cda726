"""What the catalog says is what was published, and every name in it leads somewhere."""

import importlib
import importlib.util
import inspect
import re
from dataclasses import FrozenInstanceError

import pytest
import torch

from tests import reference
from timm import catalog
from timm.catalog import Ref, Weights
from timm.models._entrypoints import resolve
from timm.models._pretrained import PretrainedCfg, from_weights

FAMILIES = catalog.family_names()
WRITTEN = [name for name in FAMILIES if importlib.util.find_spec(f'timm.models.{name}') is not None]


def published(family):
    return reference.load('facts')['families'][family]


def listed(family):
    return {variant.name: variant for variant in catalog.family(family).variants if variant.listed}


def as_tuples(value):
    return tuple(map(as_tuples, value)) if isinstance(value, list) else value


def as_published(value):
    """A record's value in the notation of the reference list."""
    if isinstance(value, Ref):
        name = value.name.rpartition('.')[2]
        return {'partial': name, 'kwargs': as_published(value.kwargs)} if value.kwargs else {'ref': name}
    if isinstance(value, dict):
        return {key: as_published(item) for key, item in value.items()}
    return [as_published(item) for item in value] if isinstance(value, tuple) else value


def expected_cfg(fields, name, tag):
    """The published configuration: listed fields are those that differ from the defaults."""
    cfg = PretrainedCfg(**{key: as_tuples(value) for key, value in fields.items()}, architecture=name, tag=tag)
    if cfg.hf_hub_id == 'timm/':
        cfg.hf_hub_id += f'{name}.{tag}' if tag else name
    cfg.tag = tag or None
    return cfg


@pytest.mark.parametrize('family', FAMILIES)
def test_variants_are_the_published_ones(family):
    assert listed(family).keys() == published(family).keys()


@pytest.mark.parametrize('family', FAMILIES)
def test_tags_come_in_published_order_with_the_default_first(family):
    for name, facts in published(family).items():
        assert list(listed(family)[name].weights) == list(facts['tags']), name


@pytest.mark.parametrize('family', FAMILIES)
def test_every_weight_set_has_the_published_configuration(family):
    for name, facts in published(family).items():
        for tag, fields in facts['tags'].items():
            found = from_weights(listed(family)[name].weights[tag], name, tag)
            assert found == expected_cfg(fields, name, tag), f'{name}.{tag}'


@pytest.mark.parametrize('family', FAMILIES)
def test_every_variant_has_the_published_network(family):
    record = catalog.family(family)
    for name, facts in published(family).items():
        assert (listed(family)[name].network or record.network) == facts['network'], name


def is_table(key, value):
    """Whether the published arguments hold a whole network description, which a catalog may write in another form."""
    return key == 'model_cfg' or (key == 'block_args' and isinstance(value, list))


@pytest.mark.parametrize('family', FAMILIES)
def test_every_variant_has_the_published_arguments(family):
    record = catalog.family(family)
    for name, facts in published(family).items():
        variant = listed(family)[name]
        expected = {key: value for key, value in facts['args'].items() if key != 'features_only'}
        plain = {key: value for key, value in expected.items() if not is_table(key, value)}
        found = as_published(dict(variant.args))
        if plain == expected and not (variant.build or record.build):
            assert found == expected, name
        for key in plain.keys() & found.keys():
            assert found[key] == plain[key], f'{name}: {key}'


@pytest.mark.parametrize('family', FAMILIES)
def test_every_variant_is_built_as_published(family):
    record = catalog.family(family)
    wrapper = record.feature_class if record.feature_class.islower() else 'list'
    settings = {'out_indices': record.feature_indices, 'feature_cls': wrapper, **record.feature_options}
    plain = {'out_indices': [0, 1, 2, 3, 4], 'feature_cls': 'list'}
    for name, facts in published(family).items():
        options = listed(family)[name].options
        assert options.get('pretrained_strict', record.strict) is facts['build'].get('pretrained_strict', True), name
        found = as_published({**settings, **options.get('feature_cfg', {})})
        assert found == {**plain, **facts['build'].get('feature_cfg', {})}, name


def test_hrnet_configurations_are_the_published_ones():
    for name, facts in published('hrnet').items():
        assert as_published(dict(listed('hrnet')[name].args))['cfg'] == facts['args']['model_cfg'], name


@pytest.mark.parametrize('family', WRITTEN)
def test_every_reference_resolves_and_every_argument_binds(family):
    module = importlib.import_module(f'timm.models.{family}')
    record = catalog.family(family)
    if record.convert is not None:
        assert callable(resolve(record.convert, module))
    for variant in record.variants:
        kwargs = resolve(dict(variant.args), module)
        resolve(dict(variant.options), module)
        kwargs.pop('pruned', None)
        build = variant.build or record.build
        if build is not None:
            with torch.device('meta'):
                kwargs = getattr(module, build)(**kwargs)
        inspect.signature(getattr(module, variant.network or record.network)).bind(**kwargs)


@pytest.mark.parametrize('family', WRITTEN)
def test_names_a_family_promises_exist(family):
    module = importlib.import_module(f'timm.models.{family}')
    record = catalog.family(family)
    for name in (*record.exports, *record.creators, *record.creators.values()):
        assert hasattr(module, name), name
    if record.feature_class[:1].isupper():
        assert hasattr(module, record.feature_class)


@pytest.mark.parametrize('family', FAMILIES)
def test_old_names_lead_to_existing_weights(family):
    record = catalog.family(family)
    weights = {variant.name: variant.weights for variant in record.variants}
    for old, new in (*record.renamed.items(), *record.renamed_tags.items()):
        arch, _, tag = new.partition('.')
        assert arch in weights, old
        assert not tag or weights[arch][tag].has_file, old
    assert not record.renamed.keys() & weights.keys()


@pytest.mark.parametrize('family', FAMILIES)
def test_published_old_names_are_kept(family):
    names = listed(family)
    expected = {old: new for old, new in reference.load('facts')['renamed'].items() if new.partition('.')[0] in names}
    assert expected.items() <= catalog.family(family).renamed.items()


@pytest.mark.parametrize(
    ('family', 'old', 'new'),
    [
        ('vision_transformer', 'vit_base_patch16_224_sam', 'vit_base_patch16_224.sam_in1k'),
        ('vision_transformer', 'vit_base_patch32_224_sam', 'vit_base_patch32_224.sam_in1k'),
        ('resnet', 'ig_resnext101_32x16d', 'resnext101_32x16d.fb_wsl_ig1b_ft_in1k'),
        ('resnet', 'ig_resnext101_32x32d', 'resnext101_32x32d.fb_wsl_ig1b_ft_in1k'),
        ('resnet', 'ig_resnext101_32x48d', 'resnext101_32x48d.fb_wsl_ig1b_ft_in1k'),
        ('mlp_mixer', 'mixer_b16_224_in21k', 'mixer_b16_224.goog_in21k'),
        ('mlp_mixer', 'mixer_l16_224_in21k', 'mixer_l16_224.goog_in21k'),
        ('mlp_mixer', 'resmlp_12_224_dino', 'resmlp_12_224.fb_dino'),
        ('mlp_mixer', 'resmlp_24_224_dino', 'resmlp_24_224.fb_dino'),
    ],
)
def test_old_names_get_the_weights_they_had(family, old, new):
    assert catalog.family(family).renamed[old] == new


@pytest.mark.parametrize('family', FAMILIES)
def test_papers_say_who_when_and_where(family):
    papers = catalog.family(family).papers
    assert papers
    for paper in papers:
        assert re.search(r', (19|20)\d\d(,|$)', paper), paper
        assert 'arXiv' not in paper or re.search(r', arXiv:\d{4}\.\d{4,5}( \(.+\))?$', paper), paper


@pytest.mark.parametrize('family', FAMILIES)
def test_ancestors_are_families(family):
    assert set(catalog.family(family).ancestors) <= set(FAMILIES)


def test_a_name_finds_its_record_and_family():
    assert catalog.variant('resnet50').args['layers'] == (3, 4, 6, 3)
    assert catalog.family_of('resnet50') == 'resnet'
    assert catalog.family('resnet') is catalog.families()['resnet']
    assert set(catalog.names()) == {v.name for f in catalog.families().values() for v in f.variants}


@pytest.mark.parametrize('lookup', [catalog.variant, catalog.family, catalog.family_of])
def test_an_unknown_name_is_a_key_error(lookup):
    with pytest.raises(KeyError, match='resnet5O'):
        lookup('resnet5O')


def test_weights_are_frozen_and_a_near_copy_leaves_them_alone():
    weights = Weights(url='a', num_classes=10)
    assert weights.but(url='b') == Weights(url='b', num_classes=10)
    assert weights.url == 'a'
    with pytest.raises(FrozenInstanceError):
        weights.url = 'c'


def test_a_reference_shows_and_compares_what_it_binds():
    ref = Ref('layers.LayerNorm2d', eps=1e-6)
    assert ref == Ref('layers.LayerNorm2d', eps=1e-6) != Ref('layers.LayerNorm2d')
    assert repr(ref) == "Ref('layers.LayerNorm2d', eps=1e-06)"
