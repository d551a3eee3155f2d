"""`pvctl run`: the daemon."""

from __future__ import annotations

from argparse import Namespace

from controller.cli.parameters import host_port, path
from controller.cli.parser import Parser, WrongUsage
from controller.cli.settings import Settings
from controller.host.listening import Listening


def add_arguments(parser: Parser) -> None:
    """Add what this command takes."""
    parser.add_argument("--socket-group", metavar="GROUP",
                        help="Also let this group call the station over its socket.")  # fmt: skip
    parser.add_argument("--listen", metavar="HOST:PORT", type=host_port,
                        help="Also serve the API and the page there, for callers with a token; port 0 is one that is "
                        "free, and the log tells which.")  # fmt: skip
    parser.add_argument("--tls-cert", metavar="FILE", type=path,
                        help="The certificate for --listen, with its chain (PEM); read again at SIGHUP.")  # fmt: skip
    parser.add_argument("--tls-key", metavar="FILE", type=path, help="Its key (PEM, without a password).")


def run(arguments: Namespace, settings: Settings) -> int:
    """Keep the station as desired and answer detections at <store>/run/runner.sock, until SIGTERM.

    SIGTERM leaves the algorithm processes running for the next controller; `pvctl down` ends them. SIGHUP reads the
    desired tree and the certificate again at once. The log goes to stderr and <store>/logs/controller.log as JSON
    lines.

    --listen is served by a process of its own, so that what happens there never delays a call. Callers need a token
    (`pvctl token create`); beyond this machine it takes --tls-cert and --tls-key, and a token that is valid.

    Examples:
      pvctl run
      pvctl run --listen 127.0.0.1:8080
      pvctl run --listen 0.0.0.0:8443 --tls-cert station.pem --tls-key station.key
      curl --unix-socket runtime_store/run/runner.sock -F image=@part.png http://station/v1/pids/A01/execute
    """
    if (arguments.tls_cert is None) != (arguments.tls_key is None):
        raise WrongUsage("--tls-cert and --tls-key go together", "pvctl run")
    if arguments.tls_cert and not arguments.listen:
        raise WrongUsage("--tls-cert is for --listen", "pvctl run")
    listening = None
    if arguments.listen:
        host, port = arguments.listen
        listening = Listening(host, port, arguments.tls_cert, arguments.tls_key)
    settings.product.run_daemon(arguments.socket_group, listening)
    return 0
