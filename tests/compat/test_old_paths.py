"""Module paths of former versions still work, and say so once."""

import importlib
import pkgutil
import sys
import warnings

import pytest

import timm.layers
import timm.models

OLD = {
    'timm.models.registry': (
        ['_registry'],
        """generate_default_cfgs get_arch_name get_arch_pretrained_cfgs get_pretrained_cfg_value is_model
        is_model_in_modules is_model_pretrained list_models list_modules list_pretrained model_entrypoint register_model
        split_model_name_tag""",
    ),
    'timm.models.helpers': (
        ['_builder', '_helpers', '_manipulate', '_prune'],
        """adapt_input_conv adapt_model_from_file adapt_model_from_string build_model_with_cfg checkpoint checkpoint_seq
        clean_state_dict extract_layer flatten_modules group_modules group_parameters group_with_matcher load_checkpoint
        load_custom_pretrained load_pretrained load_state_dict model_parameters named_apply named_modules
        named_modules_with_params pretrained_cfg_for_features reinit_non_persistent_buffers remap_state_dict
        resolve_pretrained_cfg resume_checkpoint set_layer set_pretrained_check_hash
        set_pretrained_download_progress""",
    ),
    'timm.models.factory': (
        ['_factory'],
        'create_model parse_model_name resolve_model_input_args safe_model_name',
    ),
    'timm.models.features': (
        ['_features'],
        """FeatureDictNet FeatureGetterNet FeatureHookNet FeatureHooks FeatureInfo FeatureListNet
        feature_take_indices""",
    ),
    'timm.models.fx_features': (
        ['_features_fx'],
        """FeatureGraphNet GraphExtractNet create_feature_extractor get_graph_node_names get_notrace_functions
        get_notrace_modules is_notrace_function is_notrace_module register_notrace_function register_notrace_module""",
    ),
    'timm.models.hub': (
        ['_hub'],
        """download_cached_file get_cache_dir has_hf_hub hf_split load_model_config_from_hf load_state_dict_from_hf
        push_to_hf_hub save_for_hf""",
    ),
}


@pytest.mark.parametrize('path', OLD)
def test_an_old_path_has_todays_objects_and_warns_once(path, monkeypatch):
    monkeypatch.delitem(sys.modules, path, raising=False)
    with pytest.warns(FutureWarning, match=f'Importing from {path} is deprecated'):
        module = importlib.import_module(path)
    with warnings.catch_warnings():
        warnings.simplefilter('error')
        importlib.import_module(path)
    homes, names = OLD[path]
    today = [importlib.import_module(f'timm.models.{home}') for home in homes]
    for name in names.split():
        assert any(getattr(module, name) is getattr(home, name, None) for home in today), name


@pytest.mark.parametrize('path', ['timm.models.layers', 'timm.models.layers.helpers', 'timm.models.layers.mlp'])
def test_the_old_path_of_layers_is_a_package_that_warns_once(path, monkeypatch):
    for name in [name for name in sys.modules if name.startswith('timm.models.layers')]:
        monkeypatch.delitem(sys.modules, name)
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter('always')
        importlib.import_module(path)
        layers = importlib.import_module('timm.models.layers')
        exec('from timm.models.layers import *', {})
    assert [warning.category for warning in caught] == [FutureWarning]
    assert str(caught[0].message).startswith('Importing from timm.models.layers is deprecated')
    missing = [name for name in timm.layers.__all__ if getattr(layers, name) is not getattr(timm.layers, name)]
    assert not missing
    assert layers._assert is timm.layers._assert
    for info in pkgutil.iter_modules(timm.layers.__path__):
        if not info.name.startswith('_'):
            module = importlib.import_module(f'timm.models.layers.{info.name}')
            assert module is importlib.import_module(f'timm.layers.{info.name}')
    assert layers.helpers.to_2tuple is timm.layers.to_2tuple
    assert layers.conv2d_same is timm.layers.conv2d_same, 'a function, not the file of that name'


def test_the_package_does_not_show_old_paths():
    assert not {'registry', 'helpers', 'factory', 'features', 'fx_features', 'hub', 'layers'} & set(dir(timm.models))
