"""How a run runs: options, parts, the loop over epochs, evaluation, prediction and benchmarks behind the scripts.

Nothing is imported here, so that option records and `--help` stay free of torch: take `timm.engine.loop.fit`,
`timm.engine.options.TrainOptions` and their kin from their modules.
"""
