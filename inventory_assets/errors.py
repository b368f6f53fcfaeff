"""The root of the project's one exception tree; each layer derives its own errors from it."""


class InventoryError(Exception):
    """Base of every error this project raises on purpose; its message is written for the user."""
