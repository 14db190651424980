"""``cifarlab.demo()``: the web page inside a notebook."""

from __future__ import annotations

import os
import threading
from typing import Any

from cifarlab.classifier import Classifier, find_model
from cifarlab.errors import UsageError
from cifarlab.serving.packages import check_packages


def demo(
    model: Classifier | str | os.PathLike[str] | None = None,
    *,
    port: int | None = None,
    inline: bool | None = None,
    share: bool = False,
    height: int = 900,
) -> Any:
    """Show the web page below a cell of Colab or Jupyter, or at a local address elsewhere.

    It is served by a thread of this program, so a script has to wait:
    ``cifarlab.demo().block_thread()``.

    Args:
        model: a classifier, what ``Classifier.load`` takes, or ``None`` for the newest run in
            ``runs/``, else the pretrained model. Test results and test images are shown for a
            run and for the pretrained model only.
        port: where to listen on this computer; by default the first free one from 7860 on.
        inline: show it below the cell; by default in a notebook.
        share: ask Gradio's servers for a public address, and send all traffic through them.
        height: of the page below a cell, in pixels.

    Returns:
        A ``gradio.Blocks`` that is being served; its ``close()`` ends that.

    Raises:
        UsageError: a package is missing, or ``port`` is taken.
        InputError, UnsafeError: as ``Classifier.load``.

    Example:
        >>> page = cifarlab.demo("runs/baseline-1")  # doctest: +SKIP
        >>> page.close()  # doctest: +SKIP
    """
    check_packages()
    from cifarlab.serving.page.interface import PageContext, build_page, page_options

    if isinstance(model, Classifier):
        classifier, path, name = model, None, str(model.model.name)
    else:
        path = find_model(model)
        classifier, name = Classifier.load(path), path.name
    page = build_page(
        PageContext(name=name, model=path, classifier=lambda: classifier, lock=threading.Lock())
    )
    try:
        page.launch(
            share=share,
            inline=inline,
            height=height,
            server_port=port,
            prevent_thread_lock=True,
            quiet=True,
            **page_options(),
        )
    except OSError as error:
        raise UsageError(
            f"port {port or 'from 7860 on'}: cannot be used ({error}); choose another"
        ) from error
    print(f"{name}: {page.local_url} until you call close()")
    return page
