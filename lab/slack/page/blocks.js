// Block Kit as DOM nodes. `use(element)` is called when somebody clicks or chooses.

import { channel, element, emoji, group, link, moment, mrkdwn, plain, unescape, user } from "./mrkdwn.js";

export function drawBlocks(blocks, screen, use) {
  return blocks.map((block) => (DRAW[block.type] ?? unknown)(block, screen, use));
}

export function drawText(node, screen) {
  return node.type === "mrkdwn" ? mrkdwn(node.text, screen) : plain(node.text);
}

const unknown = (block) => element("p", { class: "only" }, `(${block.type})`);

const DRAW = {
  header: (block) => element("h3", {}, plain(block.text.text)),
  divider: () => element("hr"),
  section: (block, screen, use) => element("div", { class: "section" },
    element("div", {},
      block.text ? element("div", { class: "plain" }, drawText(block.text, screen)) : null,
      block.fields ? element("div", { class: "fields" }, block.fields.map((field) => element("div", {}, drawText(field, screen)))) : null),
    block.accessory ? element("div", {}, drawElement(block.accessory, use)) : null),
  context: (block, screen) => element("div", { class: "context" },
    block.elements.filter((one) => one.type !== "image").map((one) => element("span", {}, drawText(one, screen)))),
  actions: (block, screen, use) => element("div", { class: "actions" }, block.elements.map((one) => drawElement(one, use))),
  rich_text: (block, screen) => element("div", {}, block.elements.map((one) => richPart(one, screen))),
  markdown: (block, screen) => element("div", { class: "plain" }, mrkdwn(block.text.replaceAll("**", "*"), screen)),
  table: drawTable,
  image: (block) => element("p", { class: "only" }, `(image: ${unescape(block.alt_text)})`),
  alert: (block, screen) => element("blockquote", {}, drawText(block.text, screen)),
  plan: (block, screen) => element("div", {}, element("b", {}, unescape(block.title)),
    (block.tasks ?? []).map((task) => DRAW.task_card(task, screen))),
  task_card: (block) => element("div", {}, `${TASK[block.status] ?? "•"} ${unescape(block.title)}`),
};
const TASK = { pending: "○", in_progress: "◔", complete: "✅", error: "❌" };

function drawElement(one, use) {
  if (one.type === "button") return drawButton(one, use);
  if (one.type === "overflow" || one.type.endsWith("select")) return drawMenu(one, use);
  return element("span", { class: "only" }, `(${one.type})`);
}

function drawButton(one, use) {
  return element("button", {
    type: "button", class: `button ${one.style ?? ""}`, "data-testid": `action-${one.action_id}`,
    "data-action-id": one.action_id, "data-value": one.value, "aria-label": one.accessibility_label,
    onclick: (event) => use(one, null, event.currentTarget),
  }, plain(one.text.text));
}

function drawMenu(one, use) {
  const options = one.options ?? (one.option_groups ?? []).flatMap((some) => some.options);
  const title = one.type === "overflow" ? "⋯" : one.placeholder ? plain(one.placeholder.text) : "Choose…";
  const menu = element("select", {
    class: "button", "data-testid": `action-${one.action_id}`, "data-action-id": one.action_id,
    onchange: (event) => { use(one, event.currentTarget.value, event.currentTarget); event.currentTarget.value = one.initial_option?.value ?? ""; },
  }, element("option", { value: "" }, title), options.map((some) => element("option", { value: some.value }, plain(some.text.text))));
  menu.value = one.initial_option?.value ?? "";
  return menu;
}

function drawTable(block, screen) {
  const settings = block.column_settings ?? [];
  const rows = block.rows.map((row, index) => element("tr", {}, row.map((cell, column) =>
    element(index ? "td" : "th", { class: `${settings[column]?.align ?? ""} ${settings[column]?.is_wrapped ? "wrapped" : ""}` },
      cell.type === "rich_text" ? cell.elements.map((one) => richPart(one, screen)) : unescape(String(cell.text ?? cell.value))))));
  return element("div", { class: "table" }, element("table", {}, rows));
}

function richPart(part, screen) {
  const inside = (one) => one.elements.map((piece) => richPiece(piece, screen));
  switch (part.type) {
    case "rich_text_list": {
      const list = element(part.style === "ordered" ? "ol" : "ul", { class: "list" }, part.elements.map((one) => element("li", {}, inside(one))));
      list.style.marginLeft = `${(part.indent ?? 0) * 18}px`;
      if (part.offset) list.setAttribute("start", part.offset + 1);
      return list;
    }
    case "rich_text_preformatted": return element("pre", {}, inside(part));
    case "rich_text_quote": return element("blockquote", {}, inside(part));
    default: return element("div", { class: "plain" }, inside(part));
  }
}

function richPiece(piece, screen) {
  const look = piece.style ?? {};
  let node = bare(piece, screen);
  if (look.code) node = element("code", {}, node);
  if (look.bold) node = element("b", {}, node);
  if (look.italic) node = element("i", {}, node);
  if (look.strike) node = element("del", {}, node);
  return node;
}

function bare(piece, screen) {
  switch (piece.type) {
    case "emoji": return emoji(piece.name);
    case "user": return user(piece.user_id, screen);
    case "usergroup": return group(piece.usergroup_id, screen);
    case "channel": return channel(piece.channel_id, screen);
    case "link": return link(piece.url, piece.text ? unescape(piece.text) : "");
    case "date": return element("time", { title: piece.fallback }, moment(piece.timestamp, piece.format));
    case "broadcast": return element("span", { class: "mention" }, `@${piece.range}`);
    default: return unescape(piece.text);
  }
}
