"""What a run without a source begins with: fresh weights, or the decoder of a VAE."""

from dataclasses import replace

from graftgan.checkpoints import copy_matching, load_state
from graftgan.experiments.experiment import Experiment
from graftgan.experiments.run_card import VAEStart
from graftgan.experiments.run_folder import RunFolder
from graftgan.metrics import ScoringSettings
from graftgan.training import Training
from graftgan.training.objectives import OptimizationSettings
from graftgan.transfer import TransferSettings

START = "start"
"""Inside a run folder: that of the run which it began with."""


def vae_of(experiment: Experiment) -> Experiment:
    """Return the run of the auto-encoder that a resolved ``experiment`` begins with.

    It learns the same pictures with the same networks and seed, and neither scores nor averages:
    its last decoder is what counts.
    """
    training = replace(
        experiment.training,
        iterations=experiment.vae.vae_iterations,
        seconds=None,
        average_half_life_images=0,
        checkpoint_every=None,
        sample_every=None,
    )
    return replace(
        experiment,
        start="fresh",
        procedure="vae",
        plan=None,
        augment="none",
        optimization=OptimizationSettings(),
        transfer=TransferSettings(),
        training=training,
        scoring=ScoringSettings(keep_pictures=experiment.scoring.keep_pictures),
    )


def begin_with_decoder(training: Training, vae: RunFolder) -> VAEStart:
    """Put the decoder of a finished auto-encoder into the generator and its average.

    The seconds of the auto-encoder count as seconds of the run.

    Returns:
        For the card of the run: what the decoder has cost, and what became of its tensors.

    Raises:
        CheckpointError: The decoder is not there, or does not fit.
    """
    newest = vae.checkpoint()
    decoder = load_state(newest).files["generator"]
    generators = [training.pair.generator]
    if training.average is not None:
        generators.append(training.average.generator)
    receipts = [copy_matching(generator, decoder) for generator in generators]
    for receipt in receipts:
        receipt.require_complete(what=f"the decoder in {newest}")
    card = vae.card()
    training.seconds += card.seconds
    return VAEStart(
        kind="vae",
        iterations=card.iteration,
        images=card.iteration * training.batch_size,
        seconds=card.seconds,
        receipt=str(receipts[0]),
    )


def start_in_words(start: VAEStart) -> str:
    """Return what a run began with, as a sentence for its page."""
    return (
        "The generator began as the decoder of a variational auto-encoder "
        f"({start.iterations:,} iterations, {start.images:,} pictures, "
        f"{start.seconds:.0f} seconds, which count as the run's own); its tensors: "
        f"{start.receipt}. Its page: {START}/report.html"
    )
