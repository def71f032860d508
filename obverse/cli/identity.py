"""`obverse identity`: who signs here, with which key, and who stamps the time."""

import json
from pathlib import Path

import click

from obverse.errors import ConfigError

__all__ = ["identity"]


@click.group("identity")
def identity() -> None:
    """Show and change who signs clips here, and who stamps the time.

    Without a choice, clips are signed by a development identity that is trusted on this machine
    only. Whatever changes, clips that were signed before stay trusted here.
    """


_JSON = click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")


def _tell(as_json: bool) -> None:
    from obverse.provenance import pem
    from obverse.provenance.identity import SigningIdentity, default_anchors

    current = SigningIdentity.default()
    leaf = pem.leaf_of(current.chain)
    told = {
        "signer": current.name,
        "algorithm": current.algorithm,
        "from": leaf.not_valid_before_utc.strftime("%Y-%m-%d"),
        "until": leaf.not_valid_after_utc.strftime("%Y-%m-%d"),
        "key": "in a file" if current.signer is None else "in a token",
        "time_stamps": current.time_stamp_url,
        "trusted_roots": default_anchors().count(b"BEGIN CERTIFICATE"),
    }
    if as_json:
        click.echo(json.dumps(told, indent=2))
        return
    for name, value in told.items():
        shown = "none" if value is None else value
        click.echo(f"{name.replace('_', ' '):<13} {shown}")


@identity.command("show")
@_JSON
def show(as_json: bool) -> None:
    """Say who signs here.

    Exit codes: 0 done; 2 the identity cannot be read.

    \b
    Example:
      obverse identity show
    """
    _tell(as_json)


@identity.command("use")
@click.argument("chain", type=click.Path(path_type=Path))
@click.option("--key", type=click.Path(path_type=Path), help="The private key, PEM, no password.")
@click.option("--pkcs11", "module", help="The PKCS #11 library of the token that holds the key.")
@click.option("--token", help="The token's label.")
@click.option("--label", help="The key's label in the token.")
@click.option(
    "--anchors",
    type=click.Path(path_type=Path),
    help="PEM roots; without them, the last certificate of CHAIN.",
)
@_JSON
def use(
    chain: Path,
    key: Path | None,
    module: str | None,
    token: str | None,
    label: str | None,
    anchors: Path | None,
    as_json: bool,
) -> None:
    """Sign with your own certificate from now on: CHAIN is PEM, the leaf first.

    The key stays where it is: in a file that is read at each start, or in a token, whose PIN is
    taken from OBVERSE_PKCS11_PIN. It must be the leaf's: a token is asked for a signature to see.

    Exit codes: 0 done; 2 a file or a key does not fit, and nothing was changed.

    \b
    Example:
      obverse identity use chain.pem --key leaf.key --anchors root.pem
      obverse identity use chain.pem --pkcs11 /usr/lib/softhsm/libsofthsm2.so \\
          --token studio --label "signing key"
    """
    from obverse.provenance import pem
    from obverse.provenance.identity import choose_identity
    from obverse.provenance.token_key import Pkcs11Key

    card = None
    if module is None and (token is not None or label is not None):
        raise ConfigError("--token and --label name a key in a token; give --pkcs11 as well.")
    if module is not None:
        if token is None or label is None:
            raise ConfigError(
                "a key in a token is named by --pkcs11, --token and --label together."
            )
        card = Pkcs11Key(module, token, label, pem.algorithm_of(pem.read_chain(chain), chain))
    choose_identity(chain, key=key, token=card, anchors=anchors)
    _tell(as_json)


@identity.command("tsa")
@click.argument("url")
@click.option(
    "--anchors", type=click.Path(path_type=Path), help="PEM roots of the time-stamp authority."
)
@_JSON
def tsa(url: str, anchors: Path | None, as_json: bool) -> None:
    """Have every signature stamped by the RFC 3161 authority at URL, or by none: `none`.

    A stamped clip stays trusted when its certificate has expired. Where the authority does not
    answer, nothing is signed. The variable OBVERSE_TSA overrules this choice.

    Exit codes: 0 done; 2 the address or the roots cannot be used, and nothing was changed.

    \b
    Example:
      obverse identity tsa http://timestamp.example --anchors tsa-root.pem
    """
    from obverse.provenance.identity import choose_time_stamps

    choose_time_stamps(None if url == "none" else url, anchors)
    _tell(as_json)


@identity.command("rotate")
@_JSON
def rotate(as_json: bool) -> None:
    """Replace the development identity by a new one and delete the old one's keys.

    Exit codes: 0 done; 2 could not be done, such as where your own certificate signs.

    \b
    Example:
      obverse identity rotate
    """
    from obverse.provenance.identity import rotate_identity

    rotate_identity()
    _tell(as_json)


@identity.command("reset")
@_JSON
def reset(as_json: bool) -> None:
    """Go back to the development identity.

    Exit codes: 0 done; 2 could not be done.

    \b
    Example:
      obverse identity reset
    """
    from obverse.provenance.identity import reset_identity

    reset_identity()
    _tell(as_json)
