"""Messages by HTTP: the documented JSON, or the payload of Slack and what is compatible with it."""

import http.client
import json
import urllib.error
import urllib.request
from collections.abc import Sequence
from dataclasses import dataclass, field
from http import HTTPStatus
from typing import Any

from inventory_assets.alerts.delivery import SOCKET_SECONDS, NotDelivered
from inventory_assets.alerts.situation import Message, State

_ZERO_WIDTH_SPACE = "\u200b"

_MARKS = {State.OPEN: "🔴", State.CHANGED: "🟠", State.RESOLVED: "🟢"}


class _NoRedirects(urllib.request.HTTPRedirectHandler):
    """urllib would follow a redirect of a POST with a GET, which loses the message."""

    def redirect_request(self, *_: Any) -> None:
        return None


@dataclass(frozen=True, slots=True)
class Webhook:
    """A URL that accepts a JSON document by POST.

    Attributes:
        url: The URL, which may hold a secret, so it is in no text.
        name: The name of the place in logs.
        is_slack: Whether it expects the payload of Slack's incoming webhooks.
    """

    url: str = field(repr=False)
    name: str = "webhook"
    is_slack: bool = False

    @property
    def receivers(self) -> tuple[str, ...]:
        """See `Notifier`."""
        return (self.name,)

    def send(self, message: Message, _receivers: Sequence[str] = ()) -> None:
        """See `Notifier`."""
        document = slack_payload(message) if self.is_slack else message.as_json()
        try:
            request = urllib.request.Request(  # noqa: S310 - the scheme is checked below
                self.url,
                json.dumps(document).encode(),
                {"Content-Type": "application/json", "User-Agent": "inventory-assets"},
            )
        except ValueError:
            raise self._wrong_url() from None
        if request.type not in {"http", "https"}:
            raise self._wrong_url()
        try:
            opener = urllib.request.build_opener(_NoRedirects)
            with opener.open(request, timeout=SOCKET_SECONDS) as response:
                response.read(1)
        except urllib.error.HTTPError as error:
            error.close()
            raise NotDelivered(
                f"{self.name} answered {error.code}",
                may_have_arrived=error.code == HTTPStatus.GATEWAY_TIMEOUT,
            ) from None
        except urllib.error.URLError as error:
            raise NotDelivered(f"{self.name}: {_words(error)}") from None
        except (OSError, http.client.HTTPException) as error:
            # urllib raises these, and no URLError, once the request has been sent.
            raise NotDelivered(f"{self.name}: {_words(error)}", may_have_arrived=True) from None

    def _wrong_url(self) -> NotDelivered:
        return NotDelivered(f"{self.name}: the URL is not one of http or https")


def slack_payload(message: Message) -> dict[str, str]:
    """The body for Slack and what is compatible with it: text in which nothing mentions people."""
    title, sentence = (_without_mentions(_escaped(each)) for each in (message.title, message.text))
    text = f"{_MARKS[message.state]} *{title}*\n{sentence}"
    return {"text": f"{text}\n<{_escaped(message.url)}|open>" if message.url else text}


def _escaped(text: str) -> str:
    # https://docs.slack.dev/messaging/formatting-message-text#escaping
    return text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")


def _without_mentions(text: str) -> str:
    # In Mattermost and Rocket.Chat, a plain `@channel` or `@all` calls everybody.
    return text.replace("@", f"@{_ZERO_WIDTH_SPACE}")


def _words(error: Exception) -> str:
    """What failed, without the text of an error, which may hold the URL."""
    reason = getattr(error, "reason", error)
    if isinstance(reason, TimeoutError):
        return "it did not answer in time"
    words = getattr(reason, "strerror", None)
    return f"no connection ({words})" if isinstance(words, str) else type(error).__name__
