"""What builds and checks the documentation site (`make docs`); no part of the installed package."""
