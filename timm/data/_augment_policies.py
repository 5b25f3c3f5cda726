"""The published policies of automatic augmentation: plain data."""

__all__ = ['AUGMIX_OPS', 'POLICIES', 'RAND_INCREASING_OPS', 'RAND_OPS', 'RAND_SETS']

Step = tuple[str, float, int]  # operation, chance, magnitude


def _names(text: str) -> tuple[str, ...]:
    return tuple(text.split())


def _weights(text: str) -> dict[str, float]:
    """Operation -> weight from a list of weights, each followed by the operations that have it."""
    weights: dict[str, float] = {}
    weight = 0.0
    for word in text.split():
        if word[0].isdigit():
            weight = float(word)
        else:
            weights[word] = weight
    return weights


# RandAugment, arXiv:1909.13719, section 3; without Identity, which each operation's own chance stands for.
RAND_OPS = _names("""
    AutoContrast Equalize Invert Rotate Posterize Solarize SolarizeAdd Color Contrast Brightness Sharpness
    ShearX ShearY TranslateXRel TranslateYRel
""")
_GROWING = ('Posterize', 'Solarize', 'Color', 'Contrast', 'Brightness', 'Sharpness')
RAND_INCREASING_OPS = tuple(f'{name}Increasing' if name in _GROWING else name for name in RAND_OPS)

# Sets that RandAugment is asked for by name; a number is the weight in the draw of the operations after it.
RAND_SETS: dict[str, tuple[str, ...] | dict[str, float]] = {
    'weights': _weights("""
        3 Rotate 2 ShearX ShearY 1 TranslateXRel TranslateYRel
        0.25 ColorIncreasing SharpnessIncreasing AutoContrast
        0.05 SolarizeIncreasing SolarizeAdd ContrastIncreasing BrightnessIncreasing Equalize PosterizeIncreasing Invert
    """),
    '3a': _names('SolarizeIncreasing Desaturate GaussianBlur'),
    '3aw': _weights("""
        6 SolarizeIncreasing Desaturate GaussianBlur 3 Rotate 2 ShearX ShearY
        1 PosterizeIncreasing AutoContrast ColorIncreasing SharpnessIncreasing ContrastIncreasing BrightnessIncreasing
        Equalize Invert
    """),
}

# AugMix, arXiv:1912.02781: operations that no test corruption resembles; colour and sharpness are added to them.
AUGMIX_OPS = _names("""
    AutoContrast ColorIncreasing ContrastIncreasing BrightnessIncreasing SharpnessIncreasing Equalize Rotate
    PosterizeIncreasing SolarizeIncreasing ShearX ShearY TranslateXRel TranslateYRel
""")


def _policy(text: str, posterize: str) -> tuple[tuple[Step, ...], ...]:
    """A policy from its table: a sub-policy a line, in it operation, chance in tenths and magnitude of each step."""
    policy: list[tuple[Step, ...]] = []
    for line in text.split('\n'):
        words = line.replace('Posterize', posterize).split()
        steps = zip(words[::3], words[1::3], words[2::3], strict=True)
        policy.append(tuple((name, int(tenths) / 10, int(magnitude)) for name, tenths, magnitude in steps))
    return tuple(policy)


# The policy that the EfficientNet code calls 'v0'.
_V0 = """\
Equalize 8 1 ShearY 8 4
Color 4 9 Equalize 6 3
Color 4 1 Rotate 6 8
Solarize 8 3 Equalize 4 7
Solarize 4 2 Solarize 6 2
Color 2 0 Equalize 8 8
Equalize 4 8 SolarizeAdd 8 3
ShearX 2 9 Rotate 6 8
Color 6 1 Equalize 10 2
Invert 4 9 Rotate 6 0
Equalize 10 9 ShearY 6 3
Color 4 7 Equalize 6 0
Posterize 4 6 AutoContrast 4 7
Solarize 6 8 Color 6 9
Solarize 2 4 Rotate 8 9
Rotate 10 7 TranslateYRel 8 9
ShearX 0 0 Solarize 8 4
ShearY 8 0 Color 6 4
Color 10 0 Rotate 6 2
Equalize 8 4 Equalize 0 8
Equalize 10 4 AutoContrast 6 2
ShearY 4 7 SolarizeAdd 6 7
Posterize 8 2 Solarize 6 10
Solarize 6 8 Equalize 6 1
Color 8 6 Rotate 4 5"""

# AutoAugment, arXiv:1805.09501, table 9: found on ImageNet.
_ORIGINAL = """\
Posterize 4 8 Rotate 6 9
Solarize 6 5 AutoContrast 6 5
Equalize 8 8 Equalize 6 3
Posterize 6 7 Posterize 6 6
Equalize 4 7 Solarize 2 4
Equalize 4 4 Rotate 8 8
Solarize 6 3 Equalize 6 7
Posterize 8 5 Equalize 10 2
Rotate 2 3 Solarize 6 8
Equalize 6 8 Posterize 4 6
Rotate 8 8 Color 4 0
Rotate 4 9 Equalize 6 2
Equalize 0 7 Equalize 8 8
Invert 6 4 Equalize 10 8
Color 6 4 Contrast 10 8
Rotate 8 8 Color 10 2
Color 8 8 Solarize 8 7
Sharpness 4 7 Invert 6 8
ShearX 6 5 Equalize 10 9
Color 4 0 Equalize 6 3
Equalize 4 7 Solarize 2 4
Solarize 6 5 AutoContrast 6 5
Invert 6 4 Equalize 10 8
Color 6 4 Contrast 10 8
Equalize 8 8 Equalize 6 3"""

# A name that ends in 'r' is the policy with a posterize that grows stronger with its magnitude.
POLICIES = {
    'original': _policy(_ORIGINAL, 'PosterizeOriginal'),
    'originalr': _policy(_ORIGINAL, 'PosterizeIncreasing'),
    'v0': _policy(_V0, 'Posterize'),
    'v0r': _policy(_V0, 'PosterizeIncreasing'),
    '3a': _policy('Solarize 10 5\nDesaturate 10 10\nGaussianBlurRand 10 10', 'Posterize'),
}
