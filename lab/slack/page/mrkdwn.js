// Slack's text as DOM nodes: never as HTML, since every text here may come from a cluster.

const EMOJI = {
  lock: "🔒", unlock: "🔓", tada: "🎉", ship: "🚢", anchor: "⚓", eyes: "👀", mag: "🔍", memo: "📝",
  clipboard: "📋", wrench: "🔧", hammer_and_wrench: "🛠️", gear: "⚙️", clock3: "🕒", stopwatch: "⏱️",
  zap: "⚡", bulb: "💡", arrow_right: "➡️", arrow_up: "⬆️", arrow_down: "⬇️", rewind: "⏪", snowflake: "❄️",
  electric_plug: "🔌", wave: "👋", question: "❓", exclamation: "❗",
};

const INLINE = /`([^`\n]+)`|<([^<>\n]+)>|:([a-z0-9_+-]+):|(?<![\w*])\*([^*\n]+)\*(?![\w*])|(?<![\w_])_([^_\n]+)_(?![\w_])|(?<![\w~])~([^~\n]+)~(?![\w~])/g;

export function element(tag, attributes = {}, ...children) {
  const node = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) {
    if (value === false || value === null || value === undefined) continue;
    if (name === "class") node.className = value;
    else if (name.startsWith("on")) node.addEventListener(name.slice(2), value);
    else node.setAttribute(name, value === true ? "" : value);
  }
  node.append(...children.flat().filter((child) => child !== null && child !== undefined));
  return node;
}

export const unescape = (text) => text.replaceAll("&lt;", "<").replaceAll("&gt;", ">").replaceAll("&amp;", "&");

// Drawn by the page itself: many a machine has no font with these, and they carry the state of an upgrade.
const SIGNS = {
  white_check_mark: ["✓", "good"], heavy_check_mark: ["✓", "good"], ballot_box_with_check: ["✓", "good"],
  hourglass_flowing_sand: ["◔", "busy"], hourglass: ["◔", "busy"], arrows_counterclockwise: ["↻", "busy"],
  repeat: ["↻", "busy"], arrow_forward: ["▸", "busy"], information_source: ["i", "busy"],
  warning: ["!", "warn"], construction: ["!", "warn"], double_vertical_bar: ["❙❙", "warn"], pause_button: ["❙❙", "warn"],
  x: ["✕", "bad"], no_entry: ["–", "bad round"], no_entry_sign: ["∕", "bad round"], octagonal_sign: ["■", "bad"],
  black_square_for_stop: ["■", "bad"], rotating_light: ["!", "bad round"], red_circle: ["", "bad round"],
  large_green_circle: ["", "good round"], large_yellow_circle: ["", "warn round"], large_blue_circle: ["", "busy round"],
  white_circle: ["", "none round"], heavy_minus_sign: ["–", "none"], heavy_plus_sign: ["+", "none"], "+1": ["+1", "good"], thumbsup: ["+1", "good"],
};
const SHORTCODE = /:([a-z0-9_+-]+):/g;

export function emoji(name) {
  const sign = SIGNS[name];
  if (!sign) return EMOJI[name] ?? `:${name}:`;
  return element("span", { class: `sign ${sign[1]}`, role: "img", "aria-label": name.replaceAll("_", " "), title: `:${name}:` }, sign[0]);
}

// Literal text with its shortcodes, as nodes.
export function plain(text) {
  return unescape(text).split(SHORTCODE).map((part, index) => index % 2 ? emoji(part) : part);
}

// One block of mrkdwn: code fences and quotes first, then what stands in a line.
export function mrkdwn(text, screen) {
  return text.split(/```\n?([\s\S]*?)\n?```/).flatMap((part, index) =>
    index % 2 ? [element("pre", {}, unescape(part))] : quoted(part, screen));
}

function quoted(text, screen) {
  const nodes = [];
  let lines = [], inQuote = false;
  const flush = () => {
    if (lines.length) nodes.push(...(inQuote
      ? [element("blockquote", {}, inline(lines.join("\n"), screen))]
      : inline(lines.join("\n"), screen)));
    lines = [];
  };
  for (const line of text.split("\n")) {
    const isQuote = line.startsWith("&gt;");
    if (isQuote !== inQuote) { flush(); inQuote = isQuote; }
    lines.push(isQuote ? line.replace(/^&gt;\s?/, "") : line);
  }
  flush();
  return nodes;
}

function inline(text, screen) {
  const nodes = [];
  let last = 0;
  for (const match of text.matchAll(INLINE)) {
    nodes.push(unescape(text.slice(last, match.index)), styled(match, screen));
    last = match.index + match[0].length;
  }
  nodes.push(unescape(text.slice(last)));
  return nodes;
}

function styled([, code, token, shortcode, bold, italic, struck], screen) {
  if (code !== undefined) return element("code", {}, unescape(code));
  if (token !== undefined) return fromToken(token, screen);
  if (shortcode !== undefined) return emoji(shortcode);
  if (bold !== undefined) return element("b", {}, inline(bold, screen));
  if (italic !== undefined) return element("i", {}, inline(italic, screen));
  return element("del", {}, inline(struck, screen));
}

function fromToken(token, screen) {
  const bar = token.indexOf("|");
  const target = bar < 0 ? token : token.slice(0, bar);
  const label = bar < 0 ? "" : unescape(token.slice(bar + 1));
  if (target.startsWith("@")) return user(target.slice(1), screen);
  if (target.startsWith("!subteam^")) return group(target.slice(9), screen);
  if (target.startsWith("!date^")) return date(target, label);
  if (target.startsWith("!")) return element("span", { class: "mention" }, `@${target.slice(1)}`);
  if (target.startsWith("#")) return channel(target.slice(1), screen);
  return link(unescape(target), label);
}

export function user(id, screen) {
  const mine = id === screen.me ? " me" : "";
  return element("span", { class: `mention${mine}` }, `@${screen.names[id] ?? id}`);
}

export function group(id, screen) {
  return element("span", { class: "mention" }, `@${screen.groups[id] ?? id}`);
}

export function channel(id, screen) {
  const found = screen.channels.find((one) => one.id === id);
  return element("span", { class: "mention" }, `#${found ? found.name : id}`);
}

export function link(target, label) {
  if (!/^(https?:|mailto:)/.test(target)) return label || target;
  const inside = target.startsWith(`${location.origin}/archives/`);
  const extra = inside ? { "data-permalink": target } : { target: "_blank", rel: "noreferrer noopener" };
  return element("a", { href: target, ...extra }, label || target);
}

export function moment(seconds, format) {
  const when = new Date(seconds * 1000);
  const time = when.toLocaleTimeString([], { hour: "2-digit", minute: "2-digit", hour12: false });
  const day = when.toDateString() === new Date().toDateString()
    ? "today" : when.toLocaleDateString([], { year: "numeric", month: "short", day: "numeric" });
  return format.replace(/\{(\w+)\}/g, (all, name) =>
    ({ time, time_secs: when.toLocaleTimeString([], { hour12: false }), ago: `at ${time}` })[name]
    ?? (name.startsWith("date") ? day : all));
}

function date(target, fallback) {
  const [, seconds, format] = target.split("^");
  return element("time", { title: fallback }, moment(Number(seconds), format ?? "{date} {time}"));
}
