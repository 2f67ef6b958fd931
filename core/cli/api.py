"""The command that serves a bundle over HTTP: api."""

import os
from pathlib import Path
from typing import Annotated

import typer

from core.cli.terminal import print_line
from core.errors import OptionError
from core.runs.targets import open_bundle

HOST, PORT = "127.0.0.1", 8502


def api(
    bundle: Annotated[Path, typer.Argument(metavar="BUNDLE", help="Folder or zip of a bundle.")],
    *,
    host: Annotated[str, typer.Option(help="Address on which the service listens.")] = HOST,
    port: Annotated[int, typer.Option(min=0, max=65535, help="0 takes a free one.")] = PORT,
    token_file: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Only clients with a token in this file get in.")
    ] = None,
    new_token: Annotated[
        str | None, typer.Option(metavar="NAME", help="Add a token for this client to --token-file, print it, and end.")
    ] = None,
    tls_cert: Annotated[Path | None, typer.Option(metavar="FILE", help="Certificate chain, PEM.")] = None,
    tls_key: Annotated[Path | None, typer.Option(metavar="FILE", help="Key of the certificate, PEM.")] = None,
    behind_proxy: Annotated[
        bool, typer.Option("--behind-proxy", help="Only a proxy with TLS and a login can reach this port.")
    ] = False,
    threads: Annotated[
        int | None, typer.Option(min=1, max=256, help="Images read at a time. Default: one for each core.")
    ] = None,
    queue: Annotated[
        int, typer.Option(min=1, max=1024, help="Images that wait or are read. The next request gets status 429.")
    ] = 64,
    timeout: Annotated[
        float,
        typer.Option(min=0.1, max=600, metavar="SECONDS", help="A request must arrive, and be read, in this time."),
    ] = 10,
    audit_log: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Write one JSON line a request, without images and texts.")
    ] = None,
    log: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="Append each reading and each verdict of the portal to this file."),
    ] = None,
    log_images: Annotated[
        bool, typer.Option("--log-images", help="Write the images too, into the folder FILE.images.")
    ] = False,
    int8: Annotated[bool, typer.Option("--int8", help="Use the smaller and faster model of the bundle.")] = False,
) -> None:
    """Answer HTTP requests with the readings of a bundle, on 127.0.0.1. Needs no torch.

    Other machines can reach it only with --token-file and TLS, or with --behind-proxy. Ctrl-C and SIGTERM stop it.
    """
    try:
        from core.bundle.service.access import Guard, Tokens, check_exposure
        from core.bundle.service.access import new_token as add_token
        from core.bundle.service.app import Limits, make_app
        from core.bundle.service.audit import AuditLog
        from core.bundle.service.server import listen, make_server, serve
    except ModuleNotFoundError as error:
        raise OptionError(f'The package {error.name} is missing. Install it: pip install "slotlab[serve]"') from error
    if new_token is not None:
        if token_file is None:
            raise OptionError("Give the file of the tokens with --token-file.")
        print(add_token(token_file, new_token))
        return
    if (tls_cert is None) != (tls_key is None):
        raise OptionError("Give --tls-cert and --tls-key together.")
    if log_images and log is None:
        raise OptionError("Images are written beside a log. Give its file with --log.")
    if log is not None and audit_log is not None and log.resolve() == audit_log.resolve():
        raise OptionError("Give --log and --audit-log different files.")
    check_exposure(host, has_tokens=token_file is not None, has_tls=tls_cert is not None, behind_proxy=behind_proxy)
    guard = Guard(Tokens(token_file) if token_file else None, behind_proxy=behind_proxy)
    audit = AuditLog(audit_log) if audit_log else None
    target = open_bundle(bundle, int8=int8, log=log, log_images=log_images)
    limits = Limits(threads=threads or _cores(), room=queue, seconds=timeout)
    app = make_app(target.reader.read_all, target.name, limits, guard, audit=audit, log=target.reader.log)
    server = make_server(app, tls_cert, tls_key, timeout)
    with listen(host, port) as listener:
        name = f"[{host}]" if ":" in host else host
        scheme = "https" if tls_cert else "http"
        print_line(f"Slotlab reads images at {scheme}://{name}:{listener.getsockname()[1]}/v1/read (Ctrl-C stops it).")
        serve(server, listener)


def _cores() -> int:
    """Return how many cores this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
