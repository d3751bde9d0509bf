// The page's own state, its live stream, and the drawing of channels, messages and threads.

import { drawBlocks } from "./blocks.js";
import { drawMachines } from "./machines.js";
import { askAgain, showView } from "./modal.js";
import { element, mrkdwn } from "./mrkdwn.js";

const find = (id) => document.getElementById(id);
const asked = new URLSearchParams(location.search);
const here = { me: asked.get("as") ?? "U0ADA", channel: asked.get("channel") ?? "", thread: asked.get("thread") ?? "", flash: "" };
const read = {}; // the newest ts that was on show, per channel
let screen = null;

async function send(path, body) {
  const response = await fetch(path, {
    method: "POST", headers: { "Content-Type": "application/json" }, body: JSON.stringify({ as: here.me, ...body }),
  });
  return response.json();
}

let loading = false, again = false;
async function refresh() {
  if (loading) { again = true; return; }
  loading = true;
  try {
    do {
      again = false;
      screen = await (await fetch(`/lab/state?as=${encodeURIComponent(here.me)}`)).json();
      draw();
    } while (again);
  } finally {
    loading = false;
  }
}

function draw() {
  if (screen.me !== here.me) return;
  if (!screen.channels.some((one) => one.id === here.channel)) here.channel = screen.channels[0]?.id ?? "";
  drawPeople();
  const ends = { main: isAtEnd(find("messages")), thread: isAtEnd(find("replies")) }; // before the thread takes its room
  const inRoom = screen.messages.filter((one) => one.channel === here.channel);
  const isRoot = (one) => !one.thread_ts || one.thread_ts === one.ts || one.subtype === "thread_broadcast";
  drawList(find("messages"), inRoom.filter(isRoot), "main", ends.main);
  const replies = inRoom.filter((one) => here.thread && (one.thread_ts === here.thread || one.ts === here.thread));
  find("thread").hidden = !here.thread;
  drawList(find("replies"), replies, "thread", ends.thread);
  drawChannels(inRoom);
  showView(screen.view, screen, {
    submit: (view, values) => send("/lab/submit", { view: view.id, values }),
    close: (view) => send("/lab/close", { view: view.id }),
    act: (one, chosen, node) => use({ view: screen.view.id }, one, chosen, node),
    suggest: async (action) => (await send("/lab/suggest", { view: screen.view.id, action_id: action, typed: "" })).options,
  });
  jump();
  keepPlace();
}

// A reload shows the same person the same place.
function keepPlace() {
  const place = new URLSearchParams({ as: here.me, channel: here.channel });
  if (here.thread) place.set("thread", here.thread);
  const wanted = `?${place}`;
  if (location.search !== wanted) history.replaceState(null, "", location.pathname + wanted + location.hash);
}

function drawPeople() {
  const select = find("person");
  if (select.options.length !== screen.people.length) {
    select.replaceChildren(...screen.people.map((one) => element("option", { value: one.id }, `${one.name} — ${one.part}`)));
  }
  select.value = here.me;
}

function drawChannels(inRoom) {
  read[here.channel] = inRoom.at(-1)?.ts ?? "";
  const isNew = (id) => screen.messages.some((one) => one.channel === id && one.ts > (read[id] ?? ""));
  find("channels").replaceChildren(...screen.channels.map((one) => element("li", {}, element("button", {
    type: "button", "data-testid": `channel-${one.name}`,
    class: one.id === here.channel ? "here" : isNew(one.id) ? "news" : "", onclick: () => enter(one.id),
  }, one.direct ? screen.bot.name : `# ${one.name}`))));
  const room = screen.channels.find((one) => one.id === here.channel);
  if (!room) return;
  find("room-name").textContent = room.direct ? screen.bot.name : `# ${room.name}`;
  find("room-topic").textContent = room.has_bot ? `${screen.bot.name} is in this channel` : `${screen.bot.name} is not in this channel`;
}

function enter(channel, thread = "") {
  Object.assign(here, { channel, thread });
  draw();
}

const isAtEnd = (list) => list.scrollHeight - list.scrollTop - list.clientHeight < 60;

// Only what changed is redrawn, so that a click never meets a button that was just replaced.
function drawList(list, messages, place, atEnd) {
  const old = new Map([...list.children].map((node) => [node.dataset.key, node]));
  const wanted = messages.map((message) => {
    const key = `${here.me} ${message.channel} ${message.ts}`;
    const look = JSON.stringify(message);
    const known = old.get(key);
    if (known && known.look === look) return known;
    const node = drawMessage(message, place);
    node.dataset.key = key;
    node.look = look;
    return node;
  });
  if (place === "main" && !wanted.length) wanted.push(element("li", { class: "empty" }, "Nothing here yet. Type a command below."));
  const grew = wanted.length > list.children.length;
  if (wanted.length !== list.children.length || wanted.some((node, index) => node !== list.children[index])) list.replaceChildren(...wanted);
  if (atEnd || (grew && !here.flash)) list.scrollTop = list.scrollHeight;
}

function drawMessage(message, place) {
  const name = screen.names[message.user] ?? message.user;
  const index = screen.people.findIndex((one) => one.id === message.user);
  const isBot = message.user === screen.bot.id;
  const time = new Date(Number(message.ts) * 1000).toLocaleTimeString([], { hour: "2-digit", minute: "2-digit", hour12: false });
  const root = message.thread_ts ?? message.ts;
  const act = (one, chosen, node) => use({ channel: message.channel, ts: message.ts }, one, chosen, node);
  return element("li", {
    class: `message ${message.ephemeral ? "ephemeral" : ""}`, "data-testid": "message", "data-ts": message.ts,
    "data-ephemeral": message.ephemeral ? "true" : null, "data-user": message.user,
  },
    message.ephemeral ? element("div", { class: "only" }, "Only visible to you") : null,
    element("div", { class: `avatar ${isBot ? "bot" : index < 0 ? "slackbot" : `p${index}`}`, "aria-hidden": "true" }, name[0].toUpperCase()),
    element("div", {},
      element("div", { class: "line" }, element("b", {}, name), isBot || index < 0 ? element("span", { class: "app" }, "APP") : null,
        element("time", {}, time),
        place === "main" && !message.ephemeral ? element("button", { type: "button", class: "reply", onclick: () => enter(message.channel, root) }, "Reply in thread") : null),
      element("div", { class: "body" },
        message.blocks ? drawBlocks(message.blocks, screen, act) : element("div", { class: "plain" }, mrkdwn(message.text, screen)),
        (message.files ?? []).map((file) => element("p", { class: "only" }, `(file ${file.name}, ${file.size} bytes)`)),
        element("p", { class: "failed", hidden: true })),
      place === "main" && message.reply_count
        ? element("button", { type: "button", class: "replies", "data-testid": "open-thread", onclick: () => enter(message.channel, root) },
          `${message.reply_count} ${message.reply_count === 1 ? "reply" : "replies"}`)
        : null));
}

async function use(where, one, chosen, node) {
  if (one.confirm && !(await askAgain(one.confirm))) return;
  if (one.url) window.open(one.url, "_blank", "noreferrer,noopener");
  node.disabled = true;
  const answer = await send("/lab/act", { ...where, action_id: one.action_id, chosen });
  node.disabled = false;
  const failed = node.closest(".body")?.querySelector(":scope > .failed");
  if (failed) {
    failed.hidden = answer.ok;
    failed.textContent = answer.ok ? "" : `This did not reach the app: ${answer.error}`;
  }
}

// A permalink marks its message, in its thread if it has one.
function jump() {
  const match = location.hash.match(/^#(\w+)\/([\d.]+)$/);
  if (match) {
    history.replaceState(null, "", location.pathname + location.search);
    show(match[1], match[2]);
  }
}

function show(channel, ts) {
  const message = screen.messages.find((one) => one.channel === channel && one.ts === ts);
  if (!message) return;
  const isReply = message.thread_ts && message.thread_ts !== ts;
  here.flash = ts;
  enter(channel, isReply ? message.thread_ts : here.thread);
  const node = document.querySelector(`${isReply ? "#replies" : "#messages"} [data-ts="${CSS.escape(ts)}"]`);
  node?.scrollIntoView({ block: "center" });
  node?.classList.add("flash");
  setTimeout(() => { node?.classList.remove("flash"); here.flash = ""; }, 2000);
}

document.addEventListener("click", (event) => {
  const permalink = event.target.closest?.("[data-permalink]");
  if (!permalink) return;
  event.preventDefault();
  const [, channel, name] = permalink.dataset.permalink.match(/archives\/(\w+)\/p(\d+)/) ?? [];
  if (channel) show(channel, `${name.slice(0, -6)}.${name.slice(-6)}`);
});

function compose(form, input, thread) {
  find(form).addEventListener("submit", async (event) => {
    event.preventDefault();
    const text = find(input).value.trim();
    if (!text) return;
    find(input).value = "";
    await send("/lab/say", { channel: here.channel, text, thread: thread() });
  });
}

compose("composer", "words", () => "");
compose("thread-composer", "thread-words", () => here.thread);
find("thread-close").addEventListener("click", () => enter(here.channel));
find("person").addEventListener("change", (event) => {
  here.me = event.target.value;
  refresh();
});

function listen() {
  const stream = new EventSource("/lab/events");
  const say = (text, live) => { find("link").textContent = text; find("link").classList.toggle("live", live); };
  stream.onopen = () => say("live", true);
  stream.onerror = () => say("reconnecting…", false);
  stream.onmessage = refresh;
}

async function poll() {
  try {
    drawMachines(await (await fetch("/lab/machines")).json(), async (name) => { await send(`/lab/controls/${name}`, {}); poll(); });
  } catch {
    // The lab is stopping or gone; the link above says so.
  }
}

listen();
poll();
setInterval(poll, 1000);
