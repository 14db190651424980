"""The application: endpoints, limits and page around one model worker."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager

from fastapi import FastAPI, Response
from starlette.middleware.body_limit import RequestBodyLimitMiddleware

from cifarlab import __version__
from cifarlab.classifier import Classifier
from cifarlab.serving.answers import say_errors_in_one_line
from cifarlab.serving.inference_protocol import protocol_router
from cifarlab.serving.limits import Admission
from cifarlab.serving.metrics import ServerMetrics
from cifarlab.serving.model_worker import ModelWorker
from cifarlab.serving.options import ServeOptions, load_classifier
from cifarlab.serving.rest import predict_router

ABOUT = "Classify small images. Nothing that you send is kept, and nothing is sent on."


def create_app(options: ServeOptions, load: Callable[[], Classifier] | None = None) -> FastAPI:
    """Return the application; its model is loaded when it starts up.

    Args:
        load: gives the classifier; by default the one that the options name.
    """
    metrics = ServerMetrics()
    worker = ModelWorker(
        load or (lambda: load_classifier(options)), options.batch, metrics.batches.observe
    )
    pool = ThreadPoolExecutor(options.decoders, thread_name_prefix="decode")

    @asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[None]:
        worker.start()
        try:
            yield
        finally:
            worker.stop()
            pool.shutdown()

    # FastAPI's own pages about the API would load scripts from other hosts.
    app = FastAPI(
        title="cifarlab",
        version=__version__,
        description=ABOUT,
        docs_url=None,
        redoc_url=None,
        lifespan=lifespan,
    )
    app.state.worker = worker
    say_errors_in_one_line(app)
    app.include_router(predict_router(options, worker, pool))
    app.include_router(protocol_router(options, worker))

    @app.get("/metrics", response_class=Response, include_in_schema=False)
    def prometheus() -> Response:
        return Response(metrics.text(), media_type="text/plain; version=0.0.4; charset=utf-8")

    if options.page:
        from cifarlab.serving.page.interface import mount_page

        app = mount_page(app, options.name, options.model, worker)
    app.add_middleware(RequestBodyLimitMiddleware, max_body_size=options.body)
    app.add_middleware(Admission, most=options.queue, metrics=metrics)  # type: ignore[arg-type]
    return app
