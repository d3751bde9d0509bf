"""Block Kit's published numbers, and the two that people measured because nobody publishes them."""

from types import MappingProxyType

MESSAGE_BLOCKS = 50
MODAL_BLOCKS = 100
TEXT = 3000
SECTION_FIELDS = 10
SECTION_FIELD = 2000
HEADER = 150
CONTEXT_ELEMENTS = 10
ACTIONS_ELEMENTS = 25
BUTTON_TEXT = 75
BUTTON_VALUE = 2000
URL = 3000
ACTION_ID = 255
BLOCK_ID = 255
ACCESSIBILITY_LABEL = 75
OPTION_TEXT = 75
OPTION_VALUE = 150
OPTION_DESCRIPTION = 75
SELECT_OPTIONS = 100
OVERFLOW_OPTIONS = 5
CHOICE_OPTIONS = 10  # radio buttons and checkboxes
PLACEHOLDER = 150
INPUT_LABEL = 2000
INPUT_LENGTH = 3000
IMAGE_ALT = 2000
CONFIRM_TITLE = 100
CONFIRM_TEXT = 300
CONFIRM_BUTTON = 30
TABLE_ROWS = 100
TABLE_COLUMNS = 20
MARKDOWN = 12_000
PLAN_TASKS = 50
VIEW_TITLE = 24
CALLBACK_ID = 255
PRIVATE_METADATA = 3000
MODAL_STACK = 3
MESSAGE_TEXT = 40_000  # longer is cut, not refused

# Undocumented: a message was refused at 11 341 characters, others only at 13 297. The lab takes the strict side.
MESSAGE_TOTAL_TEXT = 11_000
# Undocumented, and perhaps relaxed since: a second table makes Slack refuse the message.
MESSAGE_TABLES = 1

SURFACES = MappingProxyType(
    {
        "message": frozenset(
            {
                "actions",
                "context",
                "divider",
                "header",
                "image",
                "input",
                "markdown",
                "plan",
                "rich_text",
                "section",
                "table",
                "task_card",
            }
        ),
        "modal": frozenset(
            {"actions", "alert", "context", "divider", "header", "image", "input", "rich_text", "section"}
        ),
    }
)
