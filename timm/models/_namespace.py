"""What `timm.models` offers and where each name is at home, known without importing any of it."""

from functools import cache

from timm import catalog

__all__ = ['TOOLS', 'family_names', 'tool_names']

TOOLS = {
    '_builder': (
        'build_model_with_cfg',
        'load_custom_pretrained',
        'load_pretrained',
        'resolve_pretrained_cfg',
        'set_pretrained_check_hash',
        'set_pretrained_download_progress',
    ),
    '_factory': ('create_model', 'parse_model_name', 'resolve_model_input_args', 'safe_model_name'),
    '_features': ('FeatureDictNet', 'FeatureHookNet', 'FeatureHooks', 'FeatureInfo', 'FeatureListNet'),
    '_features_fx': (
        'FeatureGraphNet',
        'GraphExtractNet',
        'create_feature_extractor',
        'get_graph_node_names',
        'get_notrace_functions',
        'get_notrace_modules',
        'is_notrace_function',
        'is_notrace_module',
        'register_notrace_function',
        'register_notrace_module',
    ),
    '_helpers': ('clean_state_dict', 'load_checkpoint', 'load_state_dict', 'remap_state_dict', 'resume_checkpoint'),
    '_hub': ('load_model_config_from_hf', 'load_state_dict_from_hf', 'push_to_hf_hub', 'save_for_hf'),
    '_input': ('get_model_args', 'get_model_input_config', 'get_model_traits'),
    '_manipulate': (
        'adapt_input_conv',
        'checkpoint',
        'checkpoint_seq',
        'group_modules',
        'group_parameters',
        'model_parameters',
        'named_apply',
        'named_modules',
        'named_modules_with_params',
        'reparameterize_model',
    ),
    '_pretrained': ('DefaultCfg', 'PretrainedCfg', 'filter_pretrained_cfg'),
    '_prune': ('adapt_model_from_string',),
    '_registry': (
        'generate_default_cfgs',
        'get_arch_name',
        'get_arch_pretrained_cfgs',
        'get_deprecated_models',
        'get_pretrained_cfg',
        'get_pretrained_cfg_value',
        'is_model',
        'is_model_in_modules',
        'is_model_pretrained',
        'list_models',
        'list_modules',
        'list_pretrained',
        'model_entrypoint',
        'register_model',
        'register_model_deprecations',
        'split_model_name_tag',
    ),
}


@cache
def tool_names() -> dict[str, str]:
    """Every tool that `timm.models` offers -> the module it is taken from."""
    return {name: module for module, names in TOOLS.items() for name in names}


@cache
def family_names() -> dict[str, str]:
    """Every class and entry point that `timm.models` offers -> the family module it is taken from."""
    homes: dict[str, str] = {}
    for module, family in catalog.families().items():
        inherited = {catalog.family(name).network for name in family.ancestors}
        networks = {family.network, *(v.network for v in family.variants if v.network), *family.creators.values()}
        if family.feature_class[:1].isupper():
            networks.add(family.feature_class)
        for name in (*sorted(networks - inherited), *family.exports):
            homes.setdefault(name, module)
        homes.update(dict.fromkeys((v.name for v in family.variants), module))
        homes.update(dict.fromkeys(family.renamed, module))
    return homes
