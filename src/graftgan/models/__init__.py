"""A trained model in use: sources, adapters, sampling, styles, import and export."""
