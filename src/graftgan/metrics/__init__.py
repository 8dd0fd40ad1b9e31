"""Numbers from two sets of pictures, with the protocol in the result."""

from graftgan.metrics.sliced_wasserstein import SlicedWassersteinProtocol, sliced_wasserstein

__all__ = ["SlicedWassersteinProtocol", "sliced_wasserstein"]
