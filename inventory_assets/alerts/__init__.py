"""Messages to people: what is wrong with a source at present, told once, and again when it ends.

`situation.py` and `outbox.py` are pure: situations and what was told before in, messages out.
`webhook.py` and `mail.py` send them. It knows no store, no configuration and nothing of Dagster.
"""
