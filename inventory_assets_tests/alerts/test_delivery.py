"""Messages reach real receivers, or fail within a bound of time, without a secret in any text."""

import json
import ssl
import threading
import time
from collections.abc import Sequence
from pathlib import Path

import pytest

from inventory_assets.alerts.delivery import NotDelivered, deliver
from inventory_assets.alerts.mail import Mail
from inventory_assets.alerts.situation import Kind, Message, Situation, State
from inventory_assets.alerts.webhook import Webhook
from inventory_assets_tests.fakes.scripted_server import Answer, ScriptedServer
from inventory_assets_tests.fakes.smtp_server import SmtpServer

SECRET = "T000-very-secret-path"
MESSAGE = Message(
    "logs",
    State.OPEN,
    Situation("late_date|2026-11-29", Kind.LATE_DATE, "2026-11-29 is late", day="2026-11-29"),
    "https://ui.example",
)


def mail(port: int, security: str = "none", user: str = "") -> Mail:
    return Mail(
        "127.0.0.1",
        port,
        "inventory@example.com",
        ("ops@example.com", "ada@example.com"),
        security,  # type: ignore[arg-type]
        user,
        SECRET if user else "",
    )


# Webhooks


def test_a_webhook_gets_the_documented_json() -> None:
    with ScriptedServer([Answer(204)]) as server:
        deliver(Webhook(f"{server.url}/{SECRET}"), MESSAGE)
    [seen] = server.seen
    assert seen.path == f"/{SECRET}"
    assert seen.headers["content-type"] == "application/json"
    assert json.loads(seen.body) == MESSAGE.as_json()


def test_slack_gets_its_payload() -> None:
    with ScriptedServer([Answer(200, b"ok")]) as server:
        deliver(Webhook(f"{server.url}/{SECRET}", "slack", is_slack=True), MESSAGE)
    assert json.loads(server.seen[0].body)["text"].startswith("🔴 *logs: late date 2026-11-29*\n")


@pytest.mark.parametrize(
    ("answer", "says"),
    [
        (Answer(404), "webhook answered 404"),
        (Answer(500, b"<html>" * 1_000), "webhook answered 500"),
        (Answer(302, headers={"Location": "http://127.0.0.1:1/elsewhere"}), "answered 302"),
        (Answer(reset=True), "webhook: "),
        (Answer(raw=b"\0nonsense\r\n\r\n"), "webhook: "),
    ],
)
def test_a_webhook_that_does_not_accept_is_an_error_without_its_address(
    answer: Answer, says: str
) -> None:
    with ScriptedServer([answer]) as server, pytest.raises(NotDelivered) as caught:
        deliver(Webhook(f"{server.url}/{SECRET}"), MESSAGE)
    assert says in str(caught.value)
    assert_no_secret(caught.value)


@pytest.mark.parametrize(
    "url",
    [
        f"file:///{SECRET}",
        f"{SECRET}",
        f"http://127.0.0.1:{SECRET}/",
        f"http://127.0.0.1:1/{SECRET}",
        f"http://[{SECRET}/",
        f"http://host.invalid/{SECRET} \r\nX: y",
        f"ftp://127.0.0.1/{SECRET}",
    ],
)
def test_a_wrong_url_is_an_error_that_does_not_show_it(url: str) -> None:
    with pytest.raises(NotDelivered) as caught:
        deliver(Webhook(url), MESSAGE)
    assert_no_secret(caught.value)


def test_no_representation_of_a_notifier_shows_its_secret() -> None:
    assert SECRET not in repr(Webhook(f"https://x.example/{SECRET}"))
    assert SECRET not in repr(mail(25, user="ada"))


@pytest.mark.parametrize("answer", [Answer(delay=60), Answer(body=b"x" * 100, sent=0, delay=60)])
def test_a_webhook_that_hangs_is_left_after_the_time_given(answer: Answer) -> None:
    with ScriptedServer([answer]) as server:
        began = time.monotonic()
        with pytest.raises(NotDelivered, match=r"webhook did not answer within 0.3 s"):
            deliver(Webhook(f"{server.url}/{SECRET}"), MESSAGE, seconds=0.3)
        assert time.monotonic() - began < 3


def test_any_failure_of_a_notifier_is_told_by_its_type_alone() -> None:
    class Broken:
        name = "broken"
        receivers = ("broken",)

        def send(self, _message: Message, _receivers: Sequence[str]) -> None:
            raise RuntimeError(SECRET)

    with pytest.raises(NotDelivered, match=r"^broken failed with RuntimeError$"):
        deliver(Broken(), MESSAGE)


def test_a_thread_that_is_left_behind_does_not_keep_the_process() -> None:
    with ScriptedServer([Answer(delay=60)]) as server, pytest.raises(NotDelivered):
        deliver(Webhook(server.url), MESSAGE, seconds=0.1)
    assert all(each.daemon for each in threading.enumerate() if "_send" in each.name)


def assert_no_secret(error: BaseException) -> None:
    while True:
        assert SECRET not in str(error)
        if error.__cause__ is None:
            return
        error = error.__cause__


# E-mail


def test_a_mail_reaches_all_receivers() -> None:
    with SmtpServer() as server:
        deliver(mail(server.port), MESSAGE)
    [found] = server.received
    assert (found.sender, found.to) == (
        "inventory@example.com",
        ("ops@example.com", "ada@example.com"),
    )
    assert found.mail["Subject"] == "[inventory] logs: late date 2026-11-29"
    assert found.mail.get_content().splitlines() == ["2026-11-29 is late", "", MESSAGE.url]
    assert found.login is None


def test_a_login_sends_the_user_and_the_password() -> None:
    with SmtpServer() as server:
        deliver(mail(server.port, user="ada"), MESSAGE)
    assert server.received[0].login == ("ada", SECRET)


def test_a_server_without_starttls_gets_nothing_where_encryption_is_asked_for() -> None:
    with SmtpServer() as server, pytest.raises(NotDelivered):
        deliver(mail(server.port, "starttls", "ada"), MESSAGE)
    assert server.received == []


def test_a_certificate_that_is_not_trusted_gets_nothing(tls: ssl.SSLContext) -> None:
    with SmtpServer(tls) as server, pytest.raises(NotDelivered):
        deliver(mail(server.port, "starttls", "ada"), MESSAGE)
    assert server.received == []


def test_a_login_is_encrypted_where_the_certificate_is_trusted(
    tls: ssl.SSLContext, certificate: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SSL_CERT_FILE", str(certificate))
    with SmtpServer(tls) as server:
        deliver(mail(server.port, "starttls", "ada"), MESSAGE)
    [found] = server.received
    assert found.was_encrypted
    assert found.login == ("ada", SECRET)


@pytest.mark.parametrize(
    ("command", "answer", "says"),
    [
        ("MAIL", f"550 {SECRET}", "email: 127.0.0.1 answered 550"),
        (
            "RCPT",
            f"550 {SECRET}",
            "email: 127.0.0.1 refused ops@example.com (550), ada@example.com (550)",
        ),
        ("DATA", f"451 {SECRET}", "email: 127.0.0.1 answered 451"),
        ("AUTH", f"535 {SECRET}", "email: 127.0.0.1 answered 535"),
    ],
)
def test_a_server_that_refuses_is_an_error_without_its_words(
    command: str, answer: str, says: str
) -> None:
    with SmtpServer(refuses={command: answer}) as server, pytest.raises(NotDelivered) as caught:
        deliver(mail(server.port, user="ada"), MESSAGE)
    assert str(caught.value) == says
    assert_no_secret(caught.value)


def test_a_server_that_accepts_a_mail_and_is_rude_at_the_end_is_no_error() -> None:
    with SmtpServer(refuses={"QUIT": "421 too many connections"}) as server:
        deliver(mail(server.port), MESSAGE)
    assert len(server.received) == 1


def test_a_mail_server_that_is_not_there_is_an_error() -> None:
    with SmtpServer() as server:
        port = server.port
    with pytest.raises(NotDelivered, match=r"email: 127\.0\.0\.1: Connection refused"):
        deliver(mail(port), MESSAGE)


def test_a_mail_that_one_receiver_refuses_is_delivered_to_the_others() -> None:
    with SmtpServer(refused={"ada@example.com": f"550 {SECRET}"}) as server:
        notifier = mail(server.port)
        with pytest.raises(NotDelivered) as caught:
            deliver(notifier, MESSAGE)
        assert str(caught.value) == "email: 127.0.0.1 refused ada@example.com (550)"
        assert caught.value.refused == ("email:ada@example.com",)
        assert not caught.value.may_have_arrived
        server.refused.clear()
        deliver(notifier, MESSAGE, caught.value.refused)
    assert [each.to for each in server.received] == [("ops@example.com",), ("ada@example.com",)]
    assert server.received[1].mail["To"] == "ada@example.com"


@pytest.mark.parametrize(
    "answer", [Answer(delay=60), Answer(504), Answer(body=b"x" * 9, sent=0, reset=True)]
)
def test_a_webhook_that_was_sent_a_message_and_does_not_answer_may_have_it(answer: Answer) -> None:
    with ScriptedServer([answer]) as server, pytest.raises(NotDelivered) as caught:
        deliver(Webhook(server.url), MESSAGE, seconds=1)
    assert caught.value.may_have_arrived


@pytest.mark.parametrize("answer", [Answer(404), Answer(500), Answer(503)])
def test_a_webhook_that_answers_with_an_error_does_not_have_it(answer: Answer) -> None:
    with ScriptedServer([answer]) as server, pytest.raises(NotDelivered) as caught:
        deliver(Webhook(server.url), MESSAGE)
    assert not caught.value.may_have_arrived


def test_a_webhook_that_is_not_there_does_not_have_it() -> None:
    with ScriptedServer([Answer()]) as server:
        url = server.url
    with pytest.raises(NotDelivered) as caught:
        deliver(Webhook(url), MESSAGE)
    assert not caught.value.may_have_arrived


def test_a_mail_server_that_takes_a_mail_and_does_not_answer_may_have_it() -> None:
    with SmtpServer(silent_after_data=True) as server, pytest.raises(NotDelivered) as caught:
        deliver(mail(server.port), MESSAGE)
    assert caught.value.may_have_arrived
    assert len(server.received) == 1


@pytest.mark.parametrize("command", ["MAIL", "DATA"])
def test_a_mail_server_that_refuses_does_not_have_it(command: str) -> None:
    with (
        SmtpServer(refuses={command: "451 later"}) as server,
        pytest.raises(NotDelivered) as caught,
    ):
        deliver(mail(server.port), MESSAGE)
    assert not caught.value.may_have_arrived
