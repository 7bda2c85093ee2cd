"use strict";
const EVERY = 1000;
const $ = id => document.getElementById(id);
const el = (tag, props = {}, ...children) => { const e = Object.assign(document.createElement(tag), props); e.append(...children); return e; };
const number = n => n.toLocaleString("en");
// A time of today, or with its day.
const moment = at => {
  const time = new Date(at);
  return time.toDateString() === new Date().toDateString() ? time.toLocaleTimeString() : time.toLocaleString();
};
const age = s => s === null ? "" : s < 120 ? `${s} s` : s < 7200 ? `${Math.floor(s / 60)} min` : s < 172800 ? `${Math.floor(s / 3600)} h` : `${Math.floor(s / 86400)} days`;
const counted = (n, one, many) => `${number(n)} ${n === 1 ? one : many}`;
const cell = (n, className = "") => el("td", { className: `n ${n ? className : "zero"}`, textContent: number(n) });

const WAITS = { validFrom: "the offer to be valid", rate: "the rate limit", provider: "the provider", deadLetters: "dead letters to be handled" };
const CHANNELS = { email: "e-mail", sms: "text messages" };
const LEFT_OUT = [["suppressed", "suppressed"], ["optedOut", "opted out"], ["expired", "expired"], ["cancelled", "cancelled"], ["alreadyServed", "by an earlier push"]];

// Keeps existing elements, so that bars are animated and opened details stay open.
function keyed(list, items, key, make, fill) {
  const old = new Map([...list.children].map(e => [e.dataset.key, e]));
  const wanted = items.map(item => {
    const k = key(item), e = old.get(k) || make(item);
    e.dataset.key = k;
    fill(e, item);
    return e;
  });
  for (const e of list.children) if (!wanted.includes(e)) e.remove();
  wanted.forEach((e, i) => { if (list.children[i] !== e) list.insertBefore(e, list.children[i] || null); });
}

const TOOL = "cargo xtask";
const STATE = { failed: "failed", suppressed: "suppressed", optedOut: "opted out" };

// What a push opens to. It is read when it is opened, and stays as it is until it is opened again.
async function openPush(more, p) {
  const box = more.lastChild;
  const parts = [el("p", {}, "Offer ", el("code", { textContent: p.offer }))];
  if (p.isOnAws) {
    parts.push(el("p", {}, "To cancel it, or to push again: ", el("code", { textContent: `offercast cancel ${p.offer} ${p.number} --stack ${p.isOnAws}` }), ", ", el("code", { textContent: `offercast push ${p.offer} --stack ${p.isOnAws}` })));
  } else {
    const said = el("p", { role: "status" });
    const act = async (question, path, done) => {
      if (!confirm(question)) return;
      box.querySelectorAll("button").forEach(button => { button.disabled = true; });
      try {
        const response = await fetch(path, { method: "POST" });
        said.textContent = response.ok ? done : (await response.json().catch(() => ({}))).detail || `refused (${response.status})`;
      } catch {
        said.textContent = "The stack does not respond.";
      }
    };
    const open = p.state === "running" || p.state === "scheduled";
    const again = el("button", { type: "button", textContent: "Push again", onclick: () => act(`Push ${p.code} again? It goes to customers that it was not sent to yet.`, `api/offers/${p.offer}/pushes`, "The push is requested.") });
    const cancel = el("button", { type: "button", className: "danger", textContent: "Cancel this push", onclick: () => act(`Cancel push ${p.number} of ${p.code}? ${number(p.pending)} notifications are pending.`, `api/offers/${p.offer}/pushes/${p.number}/cancel`, "It is cancelled: no send starts more than five seconds from now.") });
    parts.push(el("p", {}, ...(open ? [cancel] : [again])), said);
  }
  if (p.reasons.length) {
    const rows = p.reasons.map(r => el("tr", {}, el("td", { textContent: STATE[r.outcome] || r.outcome }), el("td", { textContent: r.reason }), cell(r.count)));
    parts.push(el("table", {}, el("thead", {}, el("tr", {}, el("th", { textContent: "not sent by this push" }), el("th", { textContent: "mostly because" }), el("th", { className: "n", textContent: "count" }))), el("tbody", {}, ...rows)));
  }
  // What is known already, and what can be done, before an API that may be slow.
  const waits = el("p", { className: "empty", textContent: "looking why some were not sent …" }), found = [];
  box.replaceChildren(...parts, waits);
  try {
    const response = await fetch(`api/offers/${p.offer}/unsent`), unsent = await response.json();
    if (!response.ok) throw new Error(unsent.detail);
    if (!unsent.reasons.length) {
      found.push(el("p", { className: "empty", textContent: "No notification failed or was suppressed." }));
    } else {
      const rows = unsent.reasons.map(r => el("tr", {}, el("td", { textContent: STATE[r.state] || r.state }), el("td", { textContent: r.reason }), cell(r.count)));
      found.push(el("table", {}, el("thead", {}, el("tr", {}, el("th", { textContent: "not sent" }), el("th", { textContent: "because" }), el("th", { className: "n", textContent: unsent.more ? `of the first ${number(unsent.reasons.reduce((sum, r) => sum + r.count, 0))}` : "count" }))), el("tbody", {}, ...rows)));
      const some = unsent.deliveries.map(d => el("tr", {}, el("td", { textContent: d.customer }), el("td", { textContent: d.channel }), el("td", { textContent: d.reason || "" })));
      found.push(el("table", {}, el("thead", {}, el("tr", {}, el("th", { textContent: "customer" }), el("th", { textContent: "channel" }), el("th", { textContent: "reason" }))), el("tbody", {}, ...some)));
      found.push(el("p", {}, "All of them: ", el("code", { textContent: `${p.isOnAws ? "offercast" : TOOL} deliveries ${p.offer} --csv${p.isOnAws ? ` --stack ${p.isOnAws}` : ""}` })));
    }
  } catch (error) {
    found.push(el("p", { className: "bad", textContent: error.message }));
  }
  waits.replaceWith(...found);
}

function makePush(p) {
  const bar = el("div", { className: "bar", role: "progressbar" }, el("i", { className: "sent" }), el("i", { className: "failed" }), el("i", { className: "left-out" }));
  bar.setAttribute("aria-valuemin", 0);
  bar.setAttribute("aria-valuemax", 100);
  return el("div", { className: "push" }, el("span", { className: "code" }), bar, el("span", { className: "percent" }), el("span", { className: "when" }), el("span", { className: "counts" }), makeMore());
}

function makeMore() {
  const more = el("details", { className: "more" }, el("summary", { textContent: "details" }), el("div"));
  more.addEventListener("toggle", () => { if (more.open) openPush(more, more.push); });
  return more;
}

function fillPush(e, p) {
  const [code, bar, percent, when, counts, more] = e.children;
  more.push = p;
  const name = p.isAmbiguous ? `${p.code} (offer ${p.offer})` : p.code;
  more.firstChild.setAttribute("aria-label", `Details of push ${p.number} of ${name}`);
  code.replaceChildren(p.code, el("small", { textContent: ` #${p.number}` }));
  code.title = p.offer;
  const done = p.eligible - p.pending, leftOut = LEFT_OUT.reduce((sum, [name]) => sum + p[name], 0);
  [p.sent, p.failed, leftOut].forEach((n, i) => { bar.children[i].style.width = `${done ? p.percent * n / done : 0}%`; });
  bar.setAttribute("aria-valuenow", p.percent);
  bar.setAttribute("aria-label", `Push ${p.number} of ${name}`);
  percent.textContent = `${p.percent} %`;
  when.textContent = p.state === "running" ? `since ${moment(p.requestedAt)}` : p.completedAt ? `${p.state} ${moment(p.completedAt)}` : p.state;
  if (p.isAmbiguous) when.append(el("br"), `offer ${p.offer}`);
  const said = p.eligible || p.state === "completed" ? [`${number(p.sent)} sent`] : [];
  if (p.failed) said.push(`${number(p.failed)} failed`);
  for (const [name, words] of LEFT_OUT) if (p[name]) said.push(`${number(p[name])} ${words}`);
  if (p.pending) said.push(`${number(p.pending)} pending`);
  const pace = p.state === "running" && p.perSecond !== null ? [`${p.perSecond.toLocaleString("en", { maximumFractionDigits: 1 })}/s`] : [];
  if (p.secondsLeft !== null) pace.push(`about ${age(p.secondsLeft)} left`);
  counts.replaceChildren(...(said.length ? [`${counted(p.eligible, "notification", "notifications")}: ${said.join(", ")}`] : []));
  if (p.customersUnevaluable) counts.append(said.length ? " · " : "", `the rule cannot be evaluated for ${number(p.customersUnevaluable)} of ${number(p.customersRead)} customers`);
  if (pace.length) counts.append(counts.textContent ? " · " : "", pace.join(", "));
  if (p.waitingFor) counts.append(counts.textContent ? " · " : "", el("span", { className: "wait", textContent: `waits for ${WAITS[p.waitingFor]}${p.lastError ? `: ${p.lastError}` : ""}` }));
}

function draw(status) {
  keyed($("concerns"), status.concerns, c => c.what, () => el("li", {}, el("strong"), el("span")), (e, c) => {
    e.className = `concern ${c.level}`;
    e.firstChild.textContent = c.what;
    const command = /^(cargo xtask|offercast) /.test(c.remedy);
    e.lastChild.replaceChildren(...(command ? ["See ", el("code", { textContent: c.remedy })] : [c.remedy]));
  });
  if (status.pushes.length) {
    $("pushes").querySelector(":scope > .empty")?.remove();
    const isAmbiguous = p => status.pushes.some(other => other.code === p.code && other.offer !== p.offer);
    keyed($("pushes"), status.pushes.map(p => ({ ...p, isOnAws: status.onAws, isAmbiguous: isAmbiguous(p) })), p => `${p.offer}#${p.number}`, makePush, fillPush);
  } else {
    $("pushes").replaceChildren(el("p", { className: "empty", textContent: "No offers yet. Post one and watch its push here." }));
  }
  $("channels").replaceChildren(...status.transports.map(t => {
    const queue = status.queues.find(q => q.name === t.channel);
    const state = t.outage ? el("td", { className: "bad", textContent: `unreachable since ${moment(t.outage.since)}` }) : el("td", { className: "good", textContent: "accepts messages" });
    return el("tr", {}, el("td", { textContent: CHANNELS[t.channel] || t.channel }), el("td", { textContent: t.transport }), state, cell(queue ? queue.waiting + queue.inFlight + queue.delayed : 0));
  }));
  $("functions").replaceChildren(...status.functions.map(f => el("tr", { title: f.function }, el("td", { textContent: f.name }),
    el("td", { className: f.state === "Active" ? "good" : "wait", textContent: f.state.toLowerCase() }), cell(f.invocations), cell(f.errors, "bad"))));
  const [dead, queues] = [true, false].map(wanted => status.queues.filter(q => q.isDeadLetters === wanted));
  $("queues").replaceChildren(...queues.map(q => el("tr", {}, el("td", { textContent: q.name }), cell(q.waiting), cell(q.inFlight), cell(q.delayed), el("td", { className: "n", textContent: age(q.oldest) }))));
  $("dead-letters").replaceChildren(...dead.map(q => {
    const n = q.waiting + q.inFlight + q.delayed, name = q.name.replace(/DeadLetters$/, "");
    return el("tr", {}, el("td", { textContent: name }), el("td", { className: "bad", textContent: n ? "needs you" : "" }), el("td", { className: "n", textContent: age(q.oldest) }), cell(n, "bad"));
  }));
  keyed($("tables"), status.tables, t => t.name, () => el("details", {}, el("summary", {}, el("span"), el("span")), el("pre")), (e, t) => {
    const [name, items] = e.firstChild.children, first = t.first.map(item => JSON.stringify(item, null, 1)).join("\n") || "empty";
    name.textContent = t.name;
    items.textContent = number(t.items);
    e.title = t.table;
    if (e.lastChild.textContent !== first) e.lastChild.textContent = first;
  });
  const inbox = status.inbox;
  $("inbox").hidden = $("inbox-link").hidden = !inbox;
  if (inbox) {
    $("inbox-link").href = inbox.url;
    $("emails").textContent = counted(inbox.emails, "e-mail", "e-mails");
    $("newest-emails").replaceChildren(...inbox.newestEmails.map(m => el("li", {}, el("span", { textContent: m.to }), el("span", { textContent: m.subject, dir: "auto" }))));
    $("texts").textContent = counted(inbox.texts, "text message", "text messages");
    $("some-texts").replaceChildren(...inbox.someTexts.map(m => el("li", {}, el("span", { textContent: m.to }), el("span", { textContent: m.text, dir: "auto", title: m.text }))));
  }
}

const STOPPED = ["the stack has stopped; start it with: cargo xtask up", "this page is no longer served: offercast status --page"];
let isOnAws = false;

async function refresh() {
  try {
    const response = await fetch("api/status"), status = await response.json();
    if (!response.ok) throw new Error(status.detail);
    isOnAws = status.onAws !== null;
    draw(status);
    const levels = status.concerns.map(c => c.level), time = new Date(status.at).toLocaleTimeString();
    $("live").className = levels.includes("bad") ? "bad" : levels.length ? "notice" : "good";
    $("live").textContent = `${levels.length ? counted(levels.length, "thing to look at", "things to look at") : "all is well"}, ${time}`;
  } catch (error) {
    $("live").className = "bad";
    $("live").textContent = error instanceof TypeError ? STOPPED[Number(isOnAws)] : error.message;
  }
  setTimeout(refresh, EVERY);
}
refresh();
