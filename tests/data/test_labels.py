"""Names of classes, ImageNet's and one's own, and the labels of 'Are we done with ImageNet?'."""

import json

import pytest
import torch

from timm.data import CustomDatasetInfo, DatasetInfoLabelMapper, ImageNetInfo, RealLabelsImagenet, infer_imagenet_subset

WIDTHS = {
    'imagenet-1k': 1000,
    'imagenet-12k': 11821,
    'imagenet-22k': 21841,
    'imagenet-21k-goog': 21843,
    'imagenet-21k-miil': 11221,
    'imagenet-22k-ms': 21842,
}


@pytest.mark.parametrize('subset', WIDTHS)
def test_subsets_have_a_description_for_every_class(subset):
    info = ImageNetInfo(subset)
    assert info.num_classes() == len(info.label_names()) == len(info.label_descriptions()) == WIDTHS[subset]
    assert infer_imagenet_subset({'num_classes': WIDTHS[subset]}) == subset
    assert ': ' in info.index_to_description(5, detailed=True)


def test_classes_of_imagenet():
    info = ImageNetInfo('ImageNet 1k')
    assert info.index_to_label_name(0) == 'n01440764'
    assert info.index_to_description(0) == 'tench, Tinca tinca'
    assert info.label_descriptions(as_dict=True)['n01443537'] == 'goldfish, Carassius auratus'
    assert info.index_to_description(0, detailed=True).startswith('tench, Tinca tinca: freshwater')
    assert info.has_label(999)
    with pytest.raises(IndexError, match='1000'):
        info.index_to_label_name(1000)
    with pytest.raises(ValueError, match='imagenet-12k'):
        ImageNetInfo('imagenet-x')
    assert infer_imagenet_subset({'num_classes': 10}) is None


def test_names_of_ones_own():
    info = CustomDatasetInfo({0: 'a', 3: 'b'}, {'a': 'first', 'b': 'second'})
    assert info.label_indices() == (0, 3)
    assert info.index_to_description(3) == 'second'
    mapper = DatasetInfoLabelMapper(info)
    assert [mapper(index) for index in (0, 1, torch.tensor(3))] == ['first', '<unmapped:1>', 'second']
    assert DatasetInfoLabelMapper(info, 'name', fallback_format='?')(2) == '?'
    assert mapper.coverage(3) == (1, 2, 1)
    assert CustomDatasetInfo(['a', 'b']).index_to_description(1) == 'b'
    with pytest.raises(KeyError, match='class 2 has no name'):
        info.index_to_label_name(2)
    with pytest.raises(KeyError, match='class 2 has no name'):
        DatasetInfoLabelMapper(info, fallback_format=None)(2)
    with pytest.raises(IndexError, match='class 2 has no name'):
        CustomDatasetInfo(['a', 'b']).index_to_description(2)
    from_json = CustomDatasetInfo({'0': 'a', '3': 'b'})
    assert (from_json.label_indices(), from_json.index_to_label_name(3)) == ((0, 3), 'b')
    assert from_json.label_names() == {'0': 'a', '3': 'b'}
    assert not from_json.has_label(1)
    with pytest.raises(ValueError, match="integer-like, got 'cat'"):
        CustomDatasetInfo({'cat': 'a'})
    with pytest.raises(ValueError, match="Duplicate label index 1 in label_names: 'a' and 'b'"):
        CustomDatasetInfo({'01': 'a', 1: 'b'})
    with pytest.raises(ValueError, match='Missing descriptions for 1 names: b'):
        CustomDatasetInfo(['a', 'b'], {'a': 'first'})
    with pytest.raises(TypeError, match='list'):
        CustomDatasetInfo(['a'], ['first'])
    with pytest.raises(ValueError, match="Invalid label type 'index'"):
        DatasetInfoLabelMapper(info, 'index')


def test_real_labels_count_images_that_have_one(tmp_path):
    (tmp_path / 'real.json').write_text(json.dumps([[], [2, 3], [1], [0]]))
    files = [f'val/n0/ILSVRC2012_val_{number:08d}.JPEG' for number in (1, 2, 3, 4)]
    real = RealLabelsImagenet(files, real_json=tmp_path / 'real.json', topk=(1, 2))
    logits = torch.eye(6)[[0, 3, 4, 5]] + 0.5 * torch.eye(6)[[0, 0, 1, 1]]
    real.add_result(logits[:1])
    real.add_result(logits[1:])
    assert real.get_accuracy(1) == pytest.approx(100 / 3)
    assert real.get_accuracy() == pytest.approx({1: 100 / 3, 2: 200 / 3})
    with pytest.raises(ValueError, match='photo'):
        RealLabelsImagenet(['photo.jpg']).add_result(logits[:1])
    assert len(RealLabelsImagenet(files).real_labels) == 50000
