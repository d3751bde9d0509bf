"""A message as text says what a reader of the channel sees."""

from lab.slack.people import Directory
from lab.slack.text import render_text


def test_a_card_reads_from_top_to_bottom() -> None:
    """Headers, fields, lists, tables, buttons and small print, with names for ids and signs for shortcodes."""
    message = {
        "text": "not shown: the blocks are",
        "blocks": [
            {"type": "header", "text": {"type": "plain_text", "text": "Plan &amp; more"}},
            {"type": "section", "fields": [{"type": "mrkdwn", "text": "*Asked for by*\n<@U0ADA>"}]},
            {
                "type": "rich_text",
                "elements": [
                    {
                        "type": "rich_text_list",
                        "style": "bullet",
                        "elements": [
                            {
                                "type": "rich_text_section",
                                "elements": [
                                    {"type": "emoji", "name": "white_check_mark"},
                                    {"type": "text", "text": " cp-1"},
                                ],
                            }
                        ],
                    }
                ],
            },
            {
                "type": "table",
                "rows": [
                    [{"type": "raw_text", "text": "Machine"}, {"type": "raw_text", "text": "After"}],
                    [{"type": "raw_text", "text": "w-1"}, {"type": "raw_text", "text": "v1.35.4"}],
                ],
            },
            {
                "type": "actions",
                "elements": [{"type": "button", "text": {"type": "plain_text", "text": "Approve"}}],
            },
            {"type": "context", "elements": [{"type": "mrkdwn", "text": "by <!subteam^S0KEEPERS> in <#C0OPS>"}]},
        ],
    }
    assert render_text(message).splitlines() == [
        "PLAN & MORE",
        "  *Asked for by*: @ada",
        "• ✅ cp-1",
        "Machine  After",
        "w-1      v1.35.4",
        "[ Approve ]",
        "by @keepers in #ops-prod",
    ]


def test_a_message_without_blocks_reads_as_its_text() -> None:
    assert render_text({"text": "a &lt; b <https://x.example|there>"}) == "a < b there (https://x.example)"


def test_a_person_who_left_is_still_an_id() -> None:
    assert render_text({"text": "<@U9>"}, Directory(people={})) == "@U9"
