"""The ways to reach leads, as Apprise's URLs name them; the only module that knows Apprise."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from typing import Any

from pydantic import SecretStr

from stream.notify.letter import Letter
from stream.yamlfile import Faults

log = logging.getLogger(__name__)


class AppriseAddress:
    """One of Apprise's URLs."""

    def __init__(self, url: str, recipient: Any = None) -> None:
        """`url` may hold a password and is never said; of a mail's recipients only this one.

        Raises:
            ValueError: if Apprise does not know what it is.
        """
        from apprise import Apprise, AppriseAsset  # noqa: PLC0415 - an extra

        asset = AppriseAsset(storage_mode="memory", async_mode=False)
        asset.app_id = "kpi-stream"
        asset.app_desc = "kpi-stream"
        self._apprise = Apprise(asset=asset)
        if not self._apprise.add(url):
            raise ValueError("none of the URLs that Apprise knows, such as 'mailto://…'")
        if recipient is not None:
            way: Any = self._apprise[0]
            way.targets = [recipient]

    @property
    def recipients(self) -> Sequence[Any]:
        """Those of a mail, as Apprise keeps them."""
        way: Any = self._apprise[0]
        return tuple(way.targets) if way.protocol == "mailto" else ()

    def send(self, letter: Letter) -> bool:
        """Sends and waits; false where it was not taken."""
        from apprise import NotifyFormat, NotifyType  # noqa: PLC0415 - an extra

        kind = NotifyType.WARNING if letter.has_missed else NotifyType.SUCCESS
        return bool(
            self._apprise.notify(
                title=letter.subject,
                body=letter.text,
                notify_type=kind,
                body_format=NotifyFormat.TEXT,
            )
        )


def open_addresses(
    leads: Mapping[str, Sequence[SecretStr]],
) -> dict[str, list[AppriseAddress]]:
    """Every lead's addresses.

    Raises:
        Faults: where one is wrong, or the extra is not installed.
    """
    try:
        import apprise  # noqa: F401, PLC0415 - an extra
    except ImportError as error:
        fault = "setting 'notify.direct': needs the extra: pip install 'kpi-stream[notify]'"
        raise Faults([fault]) from error
    found: dict[str, list[AppriseAddress]] = {}
    faults = []
    for lead, urls in leads.items():
        for number, url in enumerate(urls):
            try:
                found.setdefault(lead, []).extend(_by_recipient(url.get_secret_value()))
            except ValueError as error:
                faults.append(f"setting 'notify.direct.leads.{lead}.{number}': {error}")
        if not urls:
            faults.append(f"setting 'notify.direct.leads.{lead}': no address")
    if faults:
        raise Faults(faults)
    return found


def _by_recipient(url: str) -> list[AppriseAddress]:
    """Of a mail to several people one address for each.

    Apprise says of all of them together that it failed: the others would be told again and again
    because of the one whose mailbox is gone.
    """
    address = AppriseAddress(url)
    return [AppriseAddress(url, each) for each in address.recipients] or [address]
