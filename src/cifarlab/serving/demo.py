"""``cifarlab.demo()``: the web page inside a notebook."""

from __future__ import annotations

import os
import threading
from pathlib import Path
from typing import Any

from cifarlab.classifier import Classifier
from cifarlab.serving.server import check_packages


def demo(
    model: Classifier | str | os.PathLike[str] | None = None,
    *,
    port: int | None = None,
    inline: bool = True,
) -> Any:
    """Show the web page in Colab or Jupyter, or at a local address elsewhere.

    Args:
        model: a classifier, what ``Classifier.load`` takes, or ``None`` for the newest run in
            ``runs/``, else the model in the package.
        port: where to listen on this computer; by default the first free one from 7860 on.
        inline: show it below the notebook's cell.

    Returns:
        A ``gradio.Blocks`` that is being served; its ``close()`` ends that.

    Raises:
        UsageError: a package is missing.
        InputError, UnsafeError: as ``Classifier.load``.

    Example:
        >>> cifarlab.demo("runs/baseline-1")  # doctest: +SKIP
    """
    check_packages()
    # Read by Gradio when it is imported.
    os.environ.setdefault("GRADIO_ANALYTICS_ENABLED", "False")
    from cifarlab.boxed import NAME
    from cifarlab.run import newest_run
    from cifarlab.serving.page import PageContext, build_page, page_options

    if isinstance(model, Classifier):
        classifier, place, name = model, None, model.model.name
    else:
        place = Path(model or newest_run(Path("runs")) or NAME)
        classifier, name = Classifier.load(place), place.stem
    page = build_page(PageContext(name, place, lambda: classifier, threading.Lock()))
    page.launch(
        share=False,
        inline=inline,
        server_port=port,
        prevent_thread_lock=True,
        quiet=True,
        **page_options(),
    )
    return page
