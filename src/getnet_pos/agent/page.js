// Shows the agent's terminals and today's payments, and records what a person found out about an unknown outcome.
"use strict";

const WORDS = {
  es: {
    title: "Agente de pagos", language: "Idioma", terminals: "Terminales", terminal: "Terminal",
    live: "Conectado", gone: "Sin conexión con el agente", unpaired: "Sin vincular",
    pairing: "Vincular este navegador",
    "pairing-hint": "Escriba la clave una sola vez. El agente la mostró al iniciarse por primera vez y la guarda en su archivo.",
    token: "Clave", pair: "Vincular", unpair: "Olvidar la clave en este navegador", "wrong-token": "Esta no es la clave del agente.",
    unknown: "Pagos con resultado desconocido",
    "unknown-hint": "No cobre otra vez. Busque el comprobante en el terminal y registre lo que encontró.",
    found: "Lo que encontró", "was-paid": "Se pagó", "was-not-paid": "No se pagó", by: "Quién lo comprobó",
    note: "Cómo lo sabe (por ejemplo, comprobante 17)", record: "Registrar", recorded: "Registrado.", why: "Motivo",
    payments: "Pagos de hoy", "payments-none": "Todavía no hay pagos hoy.",
    time: "Hora", kind: "Tipo", amount: "Monto", ticket: "Ticket", outcome: "Resultado", authorization: "Autorización", card: "Tarjeta",
    cancel: "Cancelar", "cancel-asked": "Se pidió la cancelación. El terminal decide.", poll: "Consultar el terminal", polled: "El terminal respondió.",
    up: "Listo", down: "Sin conexión", opening: "Conectando", "not-ready": "No está listo", recovering: "Averiguando el resultado",
    integrators: "Para integradores", address: "Dirección", description: "Descripción OpenAPI", events: "Últimos eventos",
    approved: "aprobado", declined: "rechazado", "not-sent": "no enviado", running: "en curso", "resolved-paid": "pagado, según", "resolved-not-paid": "no pagado, según",
    contradicted: "contradictorio: revise otra vez", "outcome-unknown": "desconocido",
    78: "Leyendo la tarjeta", 79: "Confirmando el monto", 80: "Eligiendo cuotas", 81: "Ingresando el PIN", 82: "Enviando", 83: "Ingresando la propina", 84: "Ingresando el vuelto",
    sale: "venta", void: "anulación", refund: "devolución", "pre-authorization": "preautorización", completion: "captura", release: "liberación",
    report: "informe", "close-batch": "cierre de lote", polling: "consulta", other: "comando",
  },
  pt: {
    title: "Agente de pagamentos", language: "Idioma", terminals: "Terminais", terminal: "Terminal",
    live: "Conectado", gone: "Sem conexão com o agente", unpaired: "Não pareado",
    pairing: "Parear este navegador",
    "pairing-hint": "Digite a chave uma única vez. O agente a mostrou ao iniciar pela primeira vez e a guarda no arquivo dele.",
    token: "Chave", pair: "Parear", unpair: "Esquecer a chave neste navegador", "wrong-token": "Esta não é a chave do agente.",
    unknown: "Pagamentos com resultado desconhecido",
    "unknown-hint": "Não cobre de novo. Procure o comprovante no terminal e registre o que encontrou.",
    found: "O que encontrou", "was-paid": "Foi pago", "was-not-paid": "Não foi pago", by: "Quem verificou",
    note: "Como sabe (por exemplo, comprovante 17)", record: "Registrar", recorded: "Registrado.", why: "Motivo",
    payments: "Pagamentos de hoje", "payments-none": "Ainda não há pagamentos hoje.",
    time: "Hora", kind: "Tipo", amount: "Valor", ticket: "Ticket", outcome: "Resultado", authorization: "Autorização", card: "Cartão",
    cancel: "Cancelar", "cancel-asked": "O cancelamento foi pedido. O terminal decide.", poll: "Consultar o terminal", polled: "O terminal respondeu.",
    up: "Pronto", down: "Sem conexão", opening: "Conectando", "not-ready": "Não está pronto", recovering: "Apurando o resultado",
    integrators: "Para integradores", address: "Endereço", description: "Descrição OpenAPI", events: "Últimos eventos",
    approved: "aprovado", declined: "recusado", "not-sent": "não enviado", running: "em andamento", "resolved-paid": "pago, segundo", "resolved-not-paid": "não pago, segundo",
    contradicted: "contraditório: verifique de novo", "outcome-unknown": "desconhecido",
    78: "Lendo o cartão", 79: "Confirmando o valor", 80: "Escolhendo parcelas", 81: "Digitando a senha", 82: "Enviando", 83: "Digitando a gorjeta", 84: "Digitando o troco",
    sale: "venda", void: "cancelamento", refund: "devolução", "pre-authorization": "pré-autorização", completion: "captura", release: "liberação",
    report: "relatório", "close-batch": "fechamento do lote", polling: "consulta", other: "comando",
  },
  en: {
    title: "Payment agent", language: "Language", terminals: "Terminals", terminal: "Terminal",
    live: "Connected", gone: "No connection to the agent", unpaired: "Not paired",
    pairing: "Pair this browser",
    "pairing-hint": "Enter the token once. The agent printed it at its first start, and has it in its token file.",
    token: "Token", pair: "Pair", unpair: "Forget the token in this browser", "wrong-token": "This is not the agent's token.",
    unknown: "Payments with an unknown outcome",
    "unknown-hint": "Do not charge again. Look for the voucher on the terminal, and record what you found.",
    found: "What you found", "was-paid": "It was paid", "was-not-paid": "It was not paid", by: "Who checked",
    note: "How you know (for example, voucher 17)", record: "Record", recorded: "Recorded.", why: "Why it is unknown",
    payments: "Today's payments", "payments-none": "No payments yet today.",
    time: "Time", kind: "Type", amount: "Amount", ticket: "Ticket", outcome: "Outcome", authorization: "Authorization", card: "Card",
    cancel: "Cancel", "cancel-asked": "Cancellation requested. The terminal decides.", poll: "Check the terminal", polled: "The terminal responded.",
    up: "Ready", down: "No connection", opening: "Connecting", "not-ready": "Not ready", recovering: "Finding out the outcome",
    integrators: "For integrators", address: "Address", description: "OpenAPI description", events: "Latest events",
    approved: "approved", declined: "declined", "not-sent": "not sent", running: "in progress", "resolved-paid": "paid, according to", "resolved-not-paid": "not paid, according to",
    contradicted: "contradicted: check again", "outcome-unknown": "unknown",
    78: "Reading the card", 79: "Confirming the amount", 80: "Choosing installments", 81: "Entering the PIN", 82: "Sending", 83: "Entering the tip", 84: "Entering the change",
    sale: "sale", void: "void", refund: "refund", "pre-authorization": "pre-authorization", completion: "capture", release: "release",
    report: "report", "close-batch": "batch close", polling: "check", other: "command",
  },
};
const KINDS = {
  100: "sale", 126: "sale", 102: "void", 108: "refund", 103: "close-batch", 106: "polling", 130: "pre-authorization", 131: "completion", 132: "release",
  104: "report", 105: "report", 110: "report", 111: "report", 114: "report", 115: "report", 136: "report",
};
const STATES = {
  INTENT: "running", SENT: "running", ACCEPTED: "running", RECOVERING: "recovering", APPROVED: "approved", DECLINED: "declined", NOT_SENT: "not-sent",
  UNKNOWN: "outcome-unknown", CONTRADICTED: "contradicted", RESOLVED_PAID: "resolved-paid", RESOLVED_NOT_PAID: "resolved-not-paid",
};
const OUTCOMES = { APPROVED: "approved", RESOLVED_PAID: "approved", DECLINED: "declined", RESOLVED_NOT_PAID: "declined", UNKNOWN: "unknown", CONTRADICTED: "unknown" };
const MARKS = { up: "\u2713", opening: "\u2026", "not-ready": "!", down: "\u2715" };
const KEPT_EVENTS = 50;
const PAUSE = 1000; // milliseconds before reconnecting to the agent

const find = (selector) => document.querySelector(selector);
const all = (selector) => document.querySelectorAll(selector);
const part = (card, name) => card.querySelector(`[data-is="${name}"]`);

let language = "en";
let token = localStorage.getItem("token") ?? "";
let terminals = [];
let payments = [];
let progress = {}; // the last progress message of each terminal
let heard = 0; // the last event
let live = false;
let socket = null;
let reading = null; // a timer: several events make one request

const word = (name) => WORDS[language][name] ?? String(name);

function money(amount, terminal) {
  if (amount === null || amount === undefined) return "";
  const exponent = terminal?.amount_exponent ?? 0;
  const digits = { minimumFractionDigits: exponent, maximumFractionDigits: exponent, useGrouping: "always" };
  return new Intl.NumberFormat(language, digits).format(amount / 10 ** exponent);
}

const clock = (at) => new Date(at).toLocaleTimeString(language, { hour: "2-digit", minute: "2-digit" });
const kind = (command) => word(KINDS[command] ?? "other");

function write(target, text) { // only if it differs: a screen reader announces each change
  if (target.textContent !== text) target.textContent = text;
}

function element(tag, text, name) {
  const made = document.createElement(tag);
  if (text !== undefined) made.textContent = text;
  if (name) made.className = name;
  return made;
}

function speak(where) {
  for (const target of where.querySelectorAll("[data-text]")) write(target, word(target.dataset.text));
}

function cards(list, template, items, name) { // one card for each, kept in place: somebody may be typing in it
  const kept = new Map([...list.children].map((card) => [card.dataset.key, card]));
  const wanted = items.map((item) => {
    const found = kept.get(name(item));
    if (found) return found;
    const made = find(template).content.cloneNode(true).firstElementChild;
    made.dataset.key = name(item);
    speak(made);
    return made;
  });
  for (const card of kept.values()) if (!wanted.includes(card)) card.remove();
  wanted.forEach((card, place) => { if (list.children[place] !== card) list.insertBefore(card, list.children[place] ?? null); });
  return wanted;
}

// ---------------------------------------------------------------------------------------------------------- what is said

async function ask(path, given) {
  const headers = token ? { Authorization: `Bearer ${token}` } : {};
  if (given) headers["Content-Type"] = "application/json";
  const body = given ? JSON.stringify(given) : undefined;
  const answer = await fetch(`v1/${path}`, { method: given ? "POST" : "GET", headers, body });
  const document = await answer.json();
  if (answer.ok) return document;
  if (answer.status === 401 && token) unpair(word("wrong-token"));
  throw new Error(`${document.title}: ${document.detail}`);
}

async function act(button, path, given, done) {
  button.disabled = true;
  try {
    await ask(path, given);
    write(find("#notice"), done);
  } catch (error) {
    write(find("#notice"), error.message);
  } finally {
    button.disabled = false;
    read();
  }
}

async function resolve(form) {
  const { paid, by, note } = Object.fromEntries(new FormData(form));
  const trouble = part(form, "trouble");
  const button = form.querySelector("button");
  button.disabled = true;
  try {
    await ask(`intents/${encodeURIComponent(form.closest(".card").dataset.key)}/resolve`, { paid: paid === "true", by, note });
    write(trouble, "");
    write(find("#notice"), word("recorded"));
    find("#payments-title").focus();
  } catch (error) {
    write(trouble, error.message);
  } finally {
    button.disabled = false;
    read();
  }
}

// --------------------------------------------------------------------------------------------------------------- pairing

async function pair(given) {
  token = given.trim();
  write(find("#pairing-trouble"), "");
  try {
    await ask("intents");
  } catch (error) {
    if (token) { // the error was not about the token
      token = "";
      write(find("#pairing-trouble"), error.message);
    }
    return;
  }
  localStorage.setItem("token", token);
  find("#token").value = "";
  connect();
  show();
  find("#terminals-title").focus();
}

function unpair(why = "") {
  token = "";
  localStorage.removeItem("token");
  payments = [];
  socket?.close();
  socket = null;
  write(find("#pairing-trouble"), why);
  show();
}

// ---------------------------------------------------------------------------------------------------------- what is shown

function showTerminals() {
  for (const card of cards(find("#terminals"), "#terminal-card", terminals, (one) => one.name)) {
    const terminal = terminals.find((one) => one.name === card.dataset.key);
    const running = terminal.running;
    card.dataset.link = terminal.state;
    write(part(card, "name"), terminal.name);
    write(part(card, "mark"), MARKS[terminal.state] ?? "");
    write(part(card, "state"), word(terminal.state));
    write(part(card, "reason"), terminal.why ?? "");
    const words = running ? [kind(running.command), money(running.amount, terminal), running.ticket] : [];
    write(part(card, "running"), words.filter(Boolean).join(" · "));
    const said = running ? progress[terminal.name] : undefined;
    write(part(card, "progress"), said ? WORDS[language][said.code] ?? said.text ?? "" : "");
    card.querySelector('[data-do="cancel"]').hidden = !token || !running;
    card.querySelector('[data-do="poll"]').hidden = !token || Boolean(running);
  }
}

function showUnknown() {
  const unknown = payments.filter((one) => OUTCOMES[one.state] === "unknown");
  find("#unknown").hidden = !token || unknown.length === 0;
  for (const card of cards(find("#unknowns"), "#unknown-card", unknown, (one) => one.intent_id)) {
    const payment = unknown.find((one) => one.intent_id === card.dataset.key);
    const terminal = of(payment);
    write(part(card, "what"), [kind(payment.command), money(payment.amount, terminal), payment.ticket].filter(Boolean).join(" · "));
    const facts = [["terminal", named(payment)], ["time", clock(payment.at)], ["outcome", word(STATES[payment.state])], ["why", payment.reason]];
    const text = facts.flat().join();
    if (part(card, "facts").dataset.said === text) continue;
    part(card, "facts").dataset.said = text;
    part(card, "facts").replaceChildren(...facts.filter(([, value]) => value).flatMap(([name, value]) =>
      [element("dt", word(name)), element("dd", value)]));
  }
}

const of = (payment) => terminals.find((one) => one.place === payment.terminal);
const named = (payment) => of(payment)?.name ?? payment.terminal;

function showPayments() {
  const day = new Date().toDateString();
  const today = payments.filter((one) => new Date(one.at).toDateString() === day);
  find("#payments").hidden = !token;
  find("#payments-none").hidden = today.length > 0;
  find("#payments .scroll").hidden = today.length === 0;
  find("#rows").replaceChildren(...today.map((one) => {
    const row = element("tr");
    row.dataset.outcome = OUTCOMES[one.state] ?? "open";
    const decided = one.decided_by && one.state.startsWith("RESOLVED") ? ` ${one.decided_by}` : "";
    const cells = [
      ["time", clock(one.at)], ["terminal", named(one)], ["kind", kind(one.command)], ["amount", money(one.amount, of(one)), "number"],
      ["ticket", one.ticket], ["outcome", word(STATES[one.state]) + decided, "outcome"], ["authorization", one.authorization_code],
      ["card", one.last4_digits ? `**** ${one.last4_digits}` : ""],
    ];
    for (const [name, value, style] of cells) {
      const cell = element("td", undefined, style);
      cell.dataset.label = word(name);
      cell.dataset.empty = !value;
      cell.append(element("span", value ?? ""));
      row.append(cell);
    }
    return row;
  }));
}

function showLive() {
  find("#live").dataset.live = live;
  write(find("#live"), word(live ? token ? "live" : "unpaired" : "gone"));
}

function show() {
  find("#pairing").hidden = Boolean(token);
  find("#unpairing").hidden = !token;
  showLive();
  showTerminals();
  showUnknown();
  showPayments();
}

function speakAll() {
  document.documentElement.lang = language;
  document.title = word("title");
  find("#language").value = language;
  speak(document);
  for (const facts of all('[data-is="facts"]')) delete facts.dataset.said;
  show();
}

// ------------------------------------------------------------------------------------------------------------- the wire

async function recorded() { // today's, and all that are not settled; newest first
  const midnight = new Date(new Date().setHours(0, 0, 0, 0)).toISOString();
  const { intents } = await ask(`intents?settled=true&since=${encodeURIComponent(midnight)}`);
  return intents.sort((one, other) => (one.at < other.at ? 1 : -1));
}

async function readNow() {
  reading = null;
  try {
    terminals = (await ask("terminals")).terminals;
    live = true;
    if (token) payments = await recorded();
  } catch (error) {
    if (error instanceof TypeError) live = false; // the agent cannot be reached
  }
  if (!token) reading = setTimeout(readNow, PAUSE); // a page that is not paired gets no events
  show();
}

function read() {
  reading ??= setTimeout(readNow, 50);
}

function take(event) {
  heard = event.id;
  if (event.type === "progress") progress[event.terminal] = event;
  if (event.type === "running") delete progress[event.terminal];
  const list = find("#events");
  list.prepend(element("li", JSON.stringify(event)));
  if (list.children.length > KEPT_EVENTS) list.lastElementChild.remove();
  if (event.type === "progress") showTerminals();
  else read();
}

function connect() {
  if (!token || socket) return;
  const url = new URL(`v1/events?after=${heard}`, location.href.replace(/^http/, "ws"));
  const mine = new WebSocket(url, ["getnet-pos", `bearer.${token}`]);
  socket = mine;
  mine.onopen = read;
  mine.onmessage = (message) => take(JSON.parse(message.data));
  mine.onclose = () => {
    if (socket !== mine) return;
    socket = null;
    readNow();
    setTimeout(connect, PAUSE);
  };
}

document.addEventListener("click", (event) => {
  const button = event.target.closest("button[data-do]");
  if (!button) return;
  const path = `terminals/${encodeURIComponent(button.closest(".card").dataset.key)}`;
  if (button.dataset.do === "cancel") act(button, `${path}/cancel`, {}, word("cancel-asked"));
  else act(button, `${path}/polling`, {}, word("polled"));
});
document.addEventListener("submit", (event) => {
  event.preventDefault();
  if (event.target.id === "pair") pair(find("#token").value);
  else resolve(event.target);
});
find("#unpair").addEventListener("click", () => unpair());
find("#language").addEventListener("change", (event) => {
  language = event.target.value;
  localStorage.setItem("language", language);
  speakAll();
});
language = [localStorage.getItem("language"), ...navigator.languages].map((one) => one?.slice(0, 2)).find((one) => WORDS[one]) ?? "en";
write(find("#address"), location.origin);
speakAll();
readNow();
connect();
