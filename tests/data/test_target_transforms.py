"""Targets: fields of samples, class maps over labels of datasets, and multi-label vectors."""

import numpy as np
import pytest
import torch

from timm.data import MultiLabelTarget
from timm.data.readers.class_map import remap_dense_target, remap_labels, remap_target
from timm.data.readers.targets import (
    check_target_format,
    get_field,
    has_field,
    multi_field_class_to_idx,
    multi_field_target,
    parse_target_keys,
)


@pytest.mark.parametrize('given', [[2, 0], (2, 0, 2), np.array([0, 2]), torch.tensor([2, 0])])
def test_indices_become_a_vector(given):
    vector = MultiLabelTarget(4)(given)
    assert vector.dtype == torch.float32
    assert vector.tolist() == [1, 0, 1, 0]


def test_no_index_is_no_label():
    assert MultiLabelTarget(3)([]).tolist() == [0, 0, 0]


@pytest.mark.parametrize(
    ('given', 'text'),
    [([4], '4'), ([-1], '-1'), ([0.5], 'integers'), ([True, False], 'integers'), (1, 'list'), ([[1]], 'list')],
)
def test_what_is_no_index_is_refused(given, text):
    with pytest.raises(ValueError, match=text):
        MultiLabelTarget(4)(given)


def test_dense_targets_are_checked_and_kept():
    dense = MultiLabelTarget(3, dense=True)
    assert dense([True, False, True]).tolist() == [1, 0, 1]
    assert dense([0.25, 0, 1]).tolist() == [0.25, 0, 1]
    for bad, text in (([1, 0], '3 entries'), ([0, 2, 0], '2'), ([0, float('nan'), 0], 'nan'), ([1j, 0, 0], 'real')):
        with pytest.raises(ValueError, match=text):
            dense(bad)
    with pytest.raises(ValueError, match='0'):
        MultiLabelTarget(0)


SAMPLE = {'a': 1, 'b': {'c': 2, 'd': {'e': 3}}, 'x/y': 4, 'items': [{'c': 5}, {'c': 6}], 'lists': {'c': [7, 8]}}


@pytest.mark.parametrize(
    ('path', 'value'),
    [('a', 1), ('b/c', 2), ('b/d/e', 3), ('x/y', 4), ('items/c', [5, 6]), ('lists/c', [7, 8])],
)
def test_fields_are_found_by_path(path, value):
    assert has_field(SAMPLE, path)
    assert get_field(SAMPLE, path) == value


@pytest.mark.parametrize('path', ['z', 'a/b', 'b/z', 'items/z', 'x', 'b/c/d'])
def test_fields_that_are_not_there_are_missed(path):
    assert not has_field(SAMPLE, path)
    with pytest.raises(KeyError):
        get_field(SAMPLE, path)


def test_several_fields_make_a_multi_label_target():
    assert parse_target_keys('label') is None
    assert parse_target_keys(None) is None
    keys = parse_target_keys('cat, dog,b/c')
    assert keys == ('cat', 'dog', 'b/c')
    assert multi_field_target({'cat': 0, 'dog': True, 'b': {'c': 2.5}}, keys) == [1, 2]
    assert multi_field_class_to_idx(keys) == {'cat': 0, 'dog': 1, 'b/c': 2}
    with pytest.raises(ValueError, match='dog'):
        multi_field_class_to_idx(keys, {'cat': None, 'b': {'c': None}})
    for bad in ('a,a', 'a,', ',a'):
        with pytest.raises(ValueError, match='unique and not empty'):
            parse_target_keys(bad)


def test_formats_of_targets():
    assert (
        check_target_format(None) == check_target_format('') == check_target_format('indices', ('a', 'b')) == 'indices'
    )
    assert check_target_format('multihot') == 'multihot'
    with pytest.raises(ValueError, match='onehot'):
        check_target_format('onehot')
    with pytest.raises(ValueError, match='multihot'):
        check_target_format('multihot', ('a', 'b'))


def test_labels_are_renumbered_by_value_and_by_name():
    assert remap_target('dog', {'dog': 3}) == 3
    assert remap_labels([0, [1], np.array([1, 0])], {0: 10, 1: 11}) == [10, [11], [11, 10]]
    assert remap_labels(np.int64(1), {'dog': 5}, {0: 'cat', 1: 'dog'}) == 5
    assert remap_labels(torch.tensor(1), {1: 6}) == 6
    with pytest.raises(KeyError, match='cat'):
        remap_labels(0, {'dog': 5}, {0: 'cat', 1: 'dog'})


def test_vectors_are_renumbered_by_place():
    assert remap_target([0.1, 0.2, 0.3], {2: 0, 0: 3}, dense=True) == [0.3, 0, 0, 0.1]
    with pytest.raises(ValueError, match='dog'):
        remap_dense_target([1, 0], {'dog': 0})
    with pytest.raises(ValueError, match='source index 5'):
        remap_dense_target([1, 0], {5: 0})
