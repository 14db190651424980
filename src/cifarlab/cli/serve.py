"""``cifarlab serve``."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Annotated

import typer


def serve(
    model: Annotated[
        Path | None,
        typer.Argument(
            help="A run directory, a .keras or an .h5 file, or cifar10, the pretrained "
            "model. Default: the newest run, else cifar10."
        ),
    ] = None,
    host: Annotated[str, typer.Option(help="Where to listen; 0.0.0.0 for all.")] = "127.0.0.1",
    port: Annotated[int, typer.Option(min=1, max=65535, help="Port to listen on.")] = 8000,
    workers: Annotated[int, typer.Option(min=1, help="Processes, each with a model.")] = 1,
    name: Annotated[
        str | None, typer.Option(help="What clients call the model. Default: its file's name.")
    ] = None,
    tta: Annotated[
        bool,
        typer.Option(
            "--tta/--no-tta", help="Test-time augmentation; without: faster, less accurate."
        ),
    ] = True,
    pixels: Annotated[
        str | None,
        typer.Option(
            help="The range that a model from elsewhere was made for: 0..255, 0..1 or -1..1."
        ),
    ] = None,
    queue: Annotated[
        int, typer.Option(min=1, help="Requests in flight or queued; more get 503.")
    ] = 40,
    max_body: Annotated[int, typer.Option(min=1, help="Largest request, in MiB.")] = 16,
    no_page: Annotated[bool, typer.Option("--no-page", help="REST only.")] = False,
) -> None:
    """Serve a model as a web page and a REST service; see docs/serving.md.

    \b
    Examples:
      cifarlab serve
      cifarlab serve runs/baseline-1 --port 80 --host 0.0.0.0 --no-page
      curl -F images=@cat.jpg http://127.0.0.1:8000/predict
    """
    from cifarlab.cli.output import say, warnings_in_one_line
    from cifarlab.serving.packages import check_packages

    # Before the imports that take seconds.
    check_packages(page=not no_page)
    # Before PyTorch is imported: threads that wait for work would take the cores that decode
    # images.
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
    from cifarlab.classifier import find_model
    from cifarlab.serving.options import ServeOptions, load_classifier
    from cifarlab.serving.server import serve as run_server

    warnings_in_one_line()
    chosen = find_model(model)
    options = ServeOptions(
        model=str(chosen),
        name=name or chosen.stem,
        tta=tta,
        made_for=pixels,
        queue=queue,
        body=max_body * 2**20,
        page=not no_page,
    )
    # Here a file that cannot be used is one line; in the server it would be a log.
    load_classifier(options)
    say(f"{options.name} on http://{host}:{port} (Ctrl-C ends it)")
    run_server(options, host, port, workers)
