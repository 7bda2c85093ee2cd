// The list loads in pages; the message that is chosen is in the URL, so that Back works; how it is shown is stored.
const PAGE = 50;
const POLL_MS = 1500;
/** Text messages that are drawn: enough to read, few enough for a browser. */
const MOST_TEXTS = 500;
const LOCAL_HOSTS = ["127.0.0.1", "localhost"];
const NARROW = matchMedia("(max-width: 760px)");
const $ = id => document.getElementById(id);
const el = (tag, props = {}, ...children) => { const e = Object.assign(document.createElement(tag), props); e.append(...children); return e; };
const counted = (n, one, many) => `${n.toLocaleString()} ${n === 1 ? one : many}`;

/** The loaded messages, newest first; those that match the search. */
let mails = [];
/** The message that is shown. */
let shown = null;
/** What the last poll saw: a change of it means that the list has changed. */
let seen = null;
let total = 0;

async function ask(parameters) {
  const response = await fetch(`api/messages?${new URLSearchParams(parameters)}`);
  if (!response.ok) throw new Error(response.statusText);
  total = Number(response.headers.get("x-total-count"));
  return response.json();
}

// ---- The list

const wanted = () => ({ limit: PAGE, find: find(), bodies: false });
const find = () => $("find").value.trim();

function when(at) {
  const date = new Date(at);
  const isToday = date.toDateString() === new Date().toDateString();
  return isToday ? date.toLocaleTimeString([], { timeStyle: "short" }) : date.toLocaleDateString([], { day: "numeric", month: "short" });
}

/** The document of a message. Nothing of it is loaded or run. Without styles, each of which the browser would report as refused. */
function parsed(mail) {
  const html = mail.html.replace(/<style\b[^]*?<\/style\s*>/gi, "").replace(/(\s)style(?=\s*=)/gi, "$1data-style");
  return new DOMParser().parseFromString(html, "text/html");
}

function row(mail) {
  const link = el("a", { href: `#${mail.id}` },
    el("span", { className: "to", dir: "auto", textContent: mail.to }),
    el("span", { className: "time", textContent: when(mail.receivedAt) }),
    el("span", { className: "subject", dir: "auto", lang: tag(mail.language), textContent: mail.subject || "(no subject)" }),
    el("span", { className: "start", dir: "auto", lang: tag(mail.language), textContent: mail.start }));
  return el("li", {}, link);
}

function markChosen() {
  $("list").querySelector("[aria-current]")?.removeAttribute("aria-current");
  $("list").querySelector(`a[href="#${chosen()}"]`)?.setAttribute("aria-current", "true");
}

function drawCounts() {
  $("count").textContent = total ? counted(total, "message", "messages") : "";
  $("delete").hidden = !total;
  $("empty").hidden = mails.length > 0;
  $("empty").querySelector("p").textContent = total ? "No message matches the search." : "No e-mail yet. Post an offer and watch it arrive here.";
  markChosen();
}

/** Loads the newest messages, and keeps the rows that stay. */
async function reload() {
  const asked = find();
  const newest = await ask(wanted());
  if (asked !== find() || showsTexts()) return;
  const known = newest.findIndex(mail => mail.id === mails[0]?.id && mail.receivedAt === mails[0].receivedAt);
  if (known >= 0) {
    mails = [...newest.slice(0, known), ...mails];
    $("list").prepend(...newest.slice(0, known).map(row));
  } else {
    mails = newest;
    $("list").replaceChildren(...newest.map(row));
    $("older").hidden = newest.length < PAGE;
  }
  drawCounts();
}

async function loadOlder() {
  const asked = find();
  const older = await ask({ ...wanted(), before: mails.at(-1).id });
  if (asked !== find() || showsTexts()) return;
  const rows = older.map(row);
  mails.push(...older);
  $("list").append(...rows);
  $("older").hidden = older.length < PAGE;
  rows[0]?.firstChild.focus();
  drawCounts();
}

/** Runs what needs the inbox, and says so if it is not running. */
async function withInbox(work) {
  try {
    await work();
    $("trouble").textContent = "";
  } catch (error) {
    $("trouble").textContent = error instanceof TypeError ? "The inbox does not respond. Is the stack running?" : error.message;
  }
}

async function poll() {
  await withInbox(async () => {
    if (showsTexts()) return drawTexts();
    const [newest] = await ask({ limit: 1, bodies: false });
    const now = `${total} ${newest?.id} ${newest?.receivedAt}`;
    if (now === seen || showsTexts()) return;
    await reload();
    if (showsTexts()) return;
    seen = now;
    if (shown && !total) location.hash = "";
    if (!location.hash && mails.length && !NARROW.matches) history.replaceState(null, "", `#${mails[0].id}`);
    if (chosen() !== (shown?.id ?? null)) await show();
  });
  setTimeout(poll, POLL_MS);
}

// ---- The message

const chosen = () => Number(location.hash.slice(1)) || null;
const header = (mail, name) => mail.headers.find(header => header.name.toLowerCase() === name)?.value ?? "";
/** A language's tag, or none if it is not one. */
const tag = language => /^[a-z0-9-]+$/i.exec(language)?.[0] ?? "";

async function show() {
  const id = chosen();
  const before = shown;
  const mail = id && (await ask({ limit: 1, before: id + 1 })).find(mail => mail.id === id);
  if (id !== chosen() || showsTexts()) return;
  shown = mail || null;
  $("reader").hidden = !shown;
  $("none").hidden = !!shown;
  $("none").textContent = id ? "This message has been deleted." : total ? "Select a message." : "";
  document.body.classList.toggle("reading", !!shown);
  document.title = shown ? `${shown.subject} · Inbox` : "Inbox · Offercast";
  markChosen();
  if (shown) drawMessage();
  if (!NARROW.matches) return;
  if (shown) { scrollTo(0, 0); $("subject").focus(); }
  else if (before) $("list").querySelector(`a[href="#${before.id}"]`)?.focus();
}

function drawMessage() {
  const { subject, from, fromName, to, receivedAt, text, headers } = shown;
  $("subject").textContent = subject || "(no subject)";
  $("subject").lang = $("text").lang = tag(header(shown, "content-language"));
  $("from-name").textContent = fromName ?? "";
  $("from").textContent = fromName ? `<${from}>` : from;
  $("initial").textContent = [...(fromName || from || "?")][0].toUpperCase();
  $("to").textContent = to;
  $("received").textContent = new Date(receivedAt).toLocaleString([], { dateStyle: "medium", timeStyle: "medium" });
  $("received").dateTime = receivedAt;
  $("text").textContent = text;
  $("headers").firstChild.replaceChildren(...headers.map(({ name, value }) =>
    el("div", {}, el("dt", { textContent: name }), el("dd", { dir: "auto", textContent: value.replace(/\r?\n/g, "\n") }))));
  $("source").textContent = $("conversation").textContent = "";
  const frame = el("iframe", { src: `messages/${shown.id}/html`, title: "The message" });
  // No scripts, no forms. Links open in a new tab.
  frame.setAttribute("sandbox", "allow-popups allow-popups-to-escape-sandbox");
  $("device").replaceChildren(frame);
  drawView();
}

const choices = () => Object.fromEntries(new FormData($("choices")));

async function drawView() {
  const { view, width, scheme } = choices();
  document.querySelectorAll(".of-message").forEach(part => { part.hidden = view !== "message"; });
  for (const part of ["text", "headers", "source", "conversation"]) $(part).hidden = part !== view;
  Object.assign($("stage").dataset, { width, scheme });
  fit();
  if (shown) drawNotes(scheme);
  if (["source", "conversation"].includes(view) && shown && !$(view).textContent) {
    const { id } = shown;
    await withInbox(async () => {
      const text = await (await fetch(`messages/${id}/${view}`)).text();
      if (shown?.id === id) $(view).textContent = text;
    });
  }
}

function drawNotes(scheme) {
  const isRemote = image => {
    const { protocol, hostname } = new URL(image.getAttribute("src"), location.href);
    return protocol.startsWith("http") && !LOCAL_HOSTS.includes(hostname);
  };
  // The sample offer's picture is served by the inbox itself.
  const isSample = image => image.getAttribute("src") === "https://bank.example/cashback.jpg";
  const isRemoteOrBroken = image => { try { return isRemote(image); } catch { return true; } };
  const remote = [...parsed(shown).querySelectorAll("img[src]")].filter(image => !isSample(image) && isRemoteOrBroken(image)).length;
  const notes = [remote
    ? `${counted(remote, "remote image is", "remote images are")} not loaded, so that nothing leaves this machine.`
    : "Remote images are not loaded; images of this machine are."];
  if (scheme === "dark" && !shown.html.includes("prefers-color-scheme")) notes.push("This message has no dark styles.");
  $("notes").textContent = notes.join(" ");
}

/** Scales the message down if the window is narrower than the chosen screen. */
function fit() {
  const stage = $("stage");
  const css = getComputedStyle(stage);
  const device = getComputedStyle($("device"));
  const room = stage.clientWidth - [css.paddingLeft, css.paddingRight, device.borderLeftWidth, device.borderRightWidth].reduce((sum, px) => sum + parseFloat(px), 0);
  if (room <= 0) return;
  const scale = Math.min(1, room / Number(css.getPropertyValue("--width")));
  stage.style.setProperty("--scale", scale);
  // Without a transform, the text is sharper.
  stage.classList.toggle("scaled", scale < 1);
}

// ---- Text messages

const showsTexts = () => location.hash === "#texts";
/** What is drawn, so that an unchanged list keeps its place. */
let drawnTexts = null;

function drawKind() {
  document.body.classList.toggle("texts", showsTexts());
  $("texts").hidden = !showsTexts();
  for (const [id, isShown] of [["show-mails", !showsTexts()], ["show-texts", showsTexts()]]) {
    if (isShown) $(id).setAttribute("aria-current", "page"); else $(id).removeAttribute("aria-current");
  }
  if (showsTexts()) {
    document.title = "Texts · Inbox · Offercast";
    document.body.classList.remove("reading");
    $("count").textContent = "";
    $("delete").hidden = true;
  }
  $("find").setAttribute("aria-label", showsTexts() ? "Search numbers and texts" : "Search addresses and subjects");
}

async function drawTexts() {
  const asked = find();
  const response = await fetch(`api/texts?${new URLSearchParams({ limit: MOST_TEXTS, find: asked })}`);
  if (!response.ok) throw new Error(await response.text());
  const sent = Number(response.headers.get("x-total-count")), found = await response.json();
  const now = JSON.stringify([sent, asked, found.length]);
  if (!showsTexts() || asked !== find() || now === drawnTexts) return;
  drawnTexts = now;
  $("texts").firstElementChild.replaceChildren(...found.map(({ to, text }) =>
    el("li", {}, el("span", { className: "to", textContent: to }), el("p", { dir: "auto", textContent: text }))));
  $("texts").lastElementChild.textContent = !sent ? "No text message yet."
    : !found.length ? "No text message matches the search."
    : found.length === MOST_TEXTS ? `These are the first ${MOST_TEXTS.toLocaleString()}. Search for others.` : "";
  $("count").textContent = sent ? counted(sent, "text message", "text messages") : "";
}

// ---- What the reader does

function restoreChoices() {
  const scheme = matchMedia("(prefers-color-scheme: dark)").matches ? "dark" : "light";
  for (const name of ["view", "width", "scheme"]) {
    const group = $("choices").elements[name];
    const standard = name === "scheme" ? scheme : name === "width" && NARROW.matches ? "phone" : group.value;
    group.value = localStorage.getItem(name) ?? standard;
    if (!group.value) group.value = standard;
  }
}

let typing;
$("find").oninput = () => { clearTimeout(typing); typing = setTimeout(() => { mails = []; withInbox(showsTexts() ? drawTexts : reload); }, 200); };
$("older").onclick = () => withInbox(loadOlder);
$("choices").onchange = ({ target }) => { localStorage.setItem(target.name, target.value); drawView(); };
$("choices").onsubmit = () => false;
$("list").onkeydown = event => {
  const step = { ArrowDown: "nextElementSibling", ArrowUp: "previousElementSibling" }[event.key];
  const next = step && event.target.closest("li")?.[step];
  if (next) { event.preventDefault(); next.firstChild.focus(); }
};
$("delete").onclick = () => { $("sure-what").textContent = `Delete ${counted(total, "message", "messages")}?`; $("sure").returnValue = ""; $("sure").showModal(); };
$("sure").onclose = () => $("sure").returnValue && withInbox(async () => { await fetch("api/messages", { method: "DELETE" }); mails = []; history.replaceState(null, "", location.pathname); await reload(); await show(); });
onhashchange = () => { drawKind(); seen = drawnTexts = null; if (showsTexts()) withInbox(drawTexts); else withInbox(async () => { await reload(); await show(); }); };
new ResizeObserver(fit).observe($("stage"));
restoreChoices();
drawKind();
drawView();
poll();
