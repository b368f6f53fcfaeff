"""The files of `deploy/`: started where they can run here, and validated where they cannot."""
