"""Other people's checkpoints brought to our keys: one file a family, functions from state dict to state dict."""
