"""graftgan: transfer learning of GANs on small image sets."""
