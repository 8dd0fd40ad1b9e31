"""Using trained models: sources, adapters, styles, videos, import and export."""
