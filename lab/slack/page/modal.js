// Modals and the small dialog that asks again.

import { drawBlocks } from "./blocks.js";
import { element, plain, unescape } from "./mrkdwn.js";

const dialog = document.getElementById("modal");
let drawn = "";

// Redraw only when the modal is another one: typing must survive what happens in the channels behind it.
export function showView(view, screen, { submit, close, act, suggest }) {
  if (!view) {
    drawn = "";
    if (dialog.open) dialog.close();
    return;
  }
  const key = `${view.id} ${view.hash} ${screen.me}`;
  if (key !== drawn) {
    drawn = key;
    draw(view, screen, { submit, close, act, suggest });
  }
  mark(view);
  if (dialog.open) return;
  dialog.showModal();
  dialog.querySelector(".field [name]")?.focus();
}

function draw(view, screen, { submit, close, act, suggest }) {
  const content = view.blocks.map((block) => block.type === "input" ? field(block, suggest) : drawBlocks([block], screen, act)[0]);
  const leave = (event) => { event.preventDefault(); close(view); };
  const form = element("form", { class: "content body", id: "modal-form", novalidate: true, onsubmit: (event) => {
    event.preventDefault();
    submit(view, read(view));
  } }, content, element("p", { class: "failed", "data-testid": "modal-error" }));
  dialog.replaceChildren(
    element("header", {}, element("h1", { "data-testid": "modal-title" }, plain(view.title.text)),
      element("button", { type: "button", "aria-label": "Close", onclick: leave }, "✕")),
    form,
    element("footer", {},
      element("button", { type: "button", class: "button", "data-testid": "modal-close", onclick: leave }, view.close ? plain(view.close.text) : view.submit ? "Cancel" : "Close"),
      view.submit ? element("button", { class: "button primary", form: "modal-form", "data-testid": "modal-submit" }, plain(view.submit.text)) : null));
  dialog.oncancel = leave;
}

function field(block, suggest) {
  return element("div", { class: "field", "data-block-id": block.block_id },
    element("label", { for: `field-${block.block_id}` }, plain(block.label.text), block.optional ? " (optional)" : ""),
    control(block, suggest),
    block.hint ? element("p", { class: "hint" }, plain(block.hint.text)) : null,
    element("p", { class: "failed", "data-testid": `error-${block.block_id}` }));
}

function control({ block_id: id, element: one }, suggest) {
  const common = { id: `field-${id}`, "data-testid": `field-${id}`, name: id, placeholder: one.placeholder?.text };
  const chosen = (one.initial_options ?? [one.initial_option]).map((some) => some?.value);
  switch (one.type) {
    case "plain_text_input":
      return one.multiline
        ? element("textarea", { ...common, rows: 4 }, unescape(one.initial_value ?? ""))
        : element("input", { ...common, type: "text", value: unescape(one.initial_value ?? "") });
    case "datepicker":
      return element("input", { ...common, type: "date", value: one.initial_date });
    case "checkboxes":
    case "radio_buttons":
      return element("div", { id: common.id, "data-testid": common["data-testid"] }, one.options.map((some) =>
        element("label", { class: "option" },
          element("input", { type: one.type === "checkboxes" ? "checkbox" : "radio", name: id, value: some.value, checked: chosen.includes(some.value) }),
          " ", plain(some.text.text))));
    case "external_select":
      return externalSelect(one, common, suggest);
    default: {
      const options = one.options ?? (one.option_groups ?? []).flatMap((some) => some.options);
      return element("select", common, element("option", { value: "" }, one.placeholder ? plain(one.placeholder.text) : "Choose…"),
        options.map((some) => element("option", { value: some.value, selected: chosen.includes(some.value) }, plain(some.text.text))));
    }
  }
}

// The app is asked for the options when the person opens the menu.
function externalSelect(one, attributes, suggest) {
  const first = element("option", { value: "" }, one.placeholder ? plain(one.placeholder.text) : "Choose…");
  const menu = element("select", attributes, first);
  menu.offered = one.initial_option ? [one.initial_option] : [];
  const fill = () => menu.replaceChildren(first, ...menu.offered.map((some) =>
    element("option", { value: some.value, selected: some.value === menu.value }, plain(some.text.text))));
  fill();
  menu.addEventListener("focus", async () => { menu.offered = await suggest(one.action_id); fill(); }, { once: true });
  return menu;
}

function read(view) {
  const filled = {};
  for (const { type, block_id: id, element: one } of view.blocks) {
    if (type !== "input") continue;
    const inputs = [...dialog.querySelectorAll(`[name="${CSS.escape(id)}"]`)];
    if (one.type === "checkboxes") filled[id] = inputs.filter((input) => input.checked).map((input) => input.value);
    else if (one.type === "radio_buttons") filled[id] = inputs.find((input) => input.checked)?.value ?? null;
    else if (one.type === "external_select") filled[id] = inputs[0].offered.find((some) => some.value === inputs[0].value) ?? null;
    else filled[id] = inputs[0]?.value ?? null;
  }
  return filled;
}

function mark(view) {
  for (const node of dialog.querySelectorAll(".field")) {
    const error = view.errors[node.dataset.blockId] ?? "";
    node.classList.toggle("wrong", Boolean(error));
    node.querySelector(".failed").textContent = error;
  }
  dialog.querySelector("[data-testid=modal-error]").textContent = view.failed;
}

// Resolves to true when the person says yes.
export function askAgain(confirm) {
  const small = document.getElementById("confirm");
  const answer = (yes) => () => small.close(yes ? "yes" : "no");
  small.replaceChildren(
    element("header", {}, element("h1", {}, plain(confirm.title.text))),
    element("div", { class: "content plain" }, plain(confirm.text.text)),
    element("footer", {},
      element("button", { type: "button", class: "button", "data-testid": "confirm-no", onclick: answer(false) }, plain(confirm.deny.text)),
      element("button", { type: "button", class: `button primary ${confirm.style ?? ""}`, "data-testid": "confirm-yes", onclick: answer(true) }, plain(confirm.confirm.text))));
  small.returnValue = "no";
  small.showModal();
  return new Promise((resolve) => small.addEventListener("close", () => resolve(small.returnValue === "yes"), { once: true }));
}
