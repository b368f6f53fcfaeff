"""Make the notifiers that the configuration names."""

from collections.abc import Mapping
from typing import TYPE_CHECKING

from inventory_assets.alerts.delivery import Notifier, Unusable
from inventory_assets.config import Alerts

if TYPE_CHECKING:
    pass


def notifiers_of(alerts: Alerts, environment: Mapping[str, str]) -> "list[Notifier]":
    """Who is told, with the secrets of the environment.

    A variable that is not set makes a notifier that fails and names the variable, so that the
    others are told.
    """
    from inventory_assets.alerts.mail import Mail
    from inventory_assets.alerts.webhook import Webhook

    def value(variable: str | None) -> str:
        return environment.get(variable, "").strip() if variable else ""

    found: list[Notifier] = []
    for name, variable in (("webhook", alerts.webhook_env), ("slack", alerts.slack_env)):
        if variable:
            is_slack = name == "slack"
            missing = f"the environment variable {variable} is not set"
            hook = Webhook(value(variable), name, is_slack)
            found.append(hook if hook.url else Unusable(name, missing))
    email = alerts.email
    if email is not None:
        missing_names = [
            name for name in (email.user_env, email.password_env) if name and not value(name)
        ]
        user, password = value(email.user_env), value(email.password_env)
        mail = Mail(email.host, email.port, email.sender, email.to, email.security, user, password)
        missing = f"the environment variable {', '.join(missing_names)} is not set"
        found.append(Unusable(mail.name, missing) if missing_names else mail)
    return found
