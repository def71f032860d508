"""`obverse serve`: the audit as a page, and the resolution API."""

import os
import socket
from pathlib import Path

import click

from obverse.errors import ConfigError

__all__ = ["TOKEN_VARIABLE", "serve"]

TOKEN_VARIABLE = "OBVERSE_TOKEN"
_MIB = 1 << 20


@click.command()
@click.option("--host", default="127.0.0.1", show_default=True, help="Address to listen on.")
@click.option("--port", type=int, default=8000, show_default=True, help="Port; 0 takes a free one.")
@click.option(
    "--name",
    "names",
    multiple=True,
    help="A host name under which visitors come, such as that of a proxy; may be repeated.",
)
@click.option(
    "--clips",
    type=click.Path(path_type=Path),
    help="A folder whose clips visitors may pick and play.",
)
@click.option("--run", type=click.Path(path_type=Path), help="A detector; without it, what ships.")
@click.option("--registry", help="URL of the registry; without it, your own.")
@click.option(
    "--keep",
    type=click.Path(path_type=Path),
    help="A folder to keep clips and records in; without it nothing is kept.",
)
@click.option("--max-mb", type=int, default=256, show_default=True, help="MiB of an upload.")
@click.option(
    "--seconds", type=float, default=300.0, show_default=True, help="That each look may take."
)
@click.option(
    "--memory-mb", type=int, default=6144, show_default=True, help="Memory of each look, MiB."
)
@click.option("--at-once", type=int, default=1, show_default=True, help="Audits at once.")
@click.option("--waiting", type=int, default=4, show_default=True, help="Audits that may wait.")
def serve(
    host: str,
    port: int,
    names: tuple[str, ...],
    clips: Path | None,
    run: Path | None,
    registry: str | None,
    keep: Path | None,
    max_mb: int,
    seconds: float,
    memory_mb: int,
    at_once: int,
    waiting: int,
) -> None:
    """Serve the audit as a page, with C2PA's Soft Binding Resolution API under /c2pa/v1.

    The page works without a network. Uploads are deleted when their audit ends. Only this machine
    is listened to unless --host says otherwise. Who adds manifests over the API needs the token
    that the variable OBVERSE_TOKEN holds; without one nobody may.

    \b
    Example:
      obverse serve
      obverse serve --clips evidence --port 8080
    """
    import uvicorn

    from obverse.audit.examine import AuditConfig
    from obverse.audit.isolation import Limits
    from obverse.audit.jobs import JobConfig
    from obverse.audit.server import ServeConfig, application

    if run is not None and not run.exists():
        raise ConfigError(f"{run} does not exist; give --run a detector.")
    if not 0 <= port < 1 << 16:
        raise ConfigError(f"port {port} is none; give 0 to 65535.")
    config = ServeConfig(
        audit=AuditConfig(
            run=run,
            registry=registry,
            limits=Limits(seconds, memory_mb * _MIB),
            command="obverse serve",
        ),
        jobs=JobConfig(at_once=at_once, waiting=waiting, keep=keep),
        clips=clips,
        most_bytes=max_mb * _MIB,
        hosts=tuple(dict.fromkeys(("localhost", "127.0.0.1", host, *names))),
        token=os.environ.get(TOKEN_VARIABLE) or None,
    )
    app = application(config)
    with _listener(host, port) as listening:
        address = listening.getsockname()
        click.echo(f"http://{address[0]}:{address[1]}/")
        settings = uvicorn.Config(
            app, log_level="warning", server_header=False, timeout_keep_alive=10
        )
        uvicorn.Server(settings).run(sockets=[listening])


def _listener(host: str, port: int) -> socket.socket:
    try:
        return socket.create_server((host, port))
    except OSError as error:
        raise ConfigError(
            f"{host}:{port} cannot be listened on ({error.strerror}); give another --port."
        ) from error
