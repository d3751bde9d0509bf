"""A Slack workspace on a laptop: Web API, Socket Mode and a page, for the demo and for the tests."""

from lab.slack.server import LabSlack

__all__ = ["LabSlack"]
