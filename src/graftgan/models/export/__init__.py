"""A generator leaves the house: a file or folder of a form that others read, checked before it is.

To add a form: a file that registers a :class:`Form` in ``FORMS``, and its import here.
"""

from graftgan.models.export import hub_folder as hub_folder
from graftgan.models.export import onnx_file as onnx_file
from graftgan.models.export import torch_program as torch_program
from graftgan.models.export.export_model import Export, export_model, ready_form
from graftgan.models.export.form import (
    COUNT,
    FORMS,
    Form,
    Outgoing,
    form_named,
    images_in_words,
    latents_in_words,
)
from graftgan.models.export.markdown import repository_name
from graftgan.models.export.weights_file import load_generator

__all__ = [
    "COUNT",
    "FORMS",
    "Export",
    "Form",
    "Outgoing",
    "export_model",
    "form_named",
    "images_in_words",
    "latents_in_words",
    "load_generator",
    "ready_form",
    "repository_name",
]
