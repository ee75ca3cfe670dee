// Shows the terminals' displays and sends the person's actions. A PIN that is typed never leaves this page.
"use strict";

const WORDS = {
  es: {
    title: "Terminal virtual", language: "Idioma", wall: "Terminales", voucher: "Comprobante", card: "Tarjeta", keys: "Teclado",
    clear: "Borrar", enter: "Aceptar", tap: "Acercar", insert: "Insertar", swipe: "Deslizar",
    person: "Decidir por el cliente", "person-hint": "El cliente usa el terminal. Aquí usted decide el resultado de inmediato.",
    approve: "Aprobar", decline: "Rechazar", code: "Código", cancel: "Cancelar", leave: "Irse sin pagar",
    trouble: "Con la respuesta", none: "llega bien", lost: "se pierde", damaged: "llega dañada",
    "restart-before": "reinicio antes de cobrar", "restart-after": "reinicio después de cobrar",
    1003: "1003: tapa abierta", 1004: "1004: sin papel", 1005: "1005: papel atascado",
    pull: "Desconectar el cable", plug: "Conectar el cable", restart: "Reiniciar",
    ledger: "Libro mayor del terminal", trace: "Mensajes (solo los nombres de los campos)",
    operation: "Operación", kind: "Tipo", amount: "Monto", ticket: "Ticket", authorization: "Autorización", date: "Fecha", number: "N.º", time: "Hora",
    balance: "saldo", tip: "Propina", terminal: "Terminal", tear: "Cortar el papel",
    live: "Conectado", gone: "Sin conexión con el simulador", unplugged: "Cable desconectado", restarting: "Reiniciando",
    "idle-title": "Listo", "idle-hint": "Esperando a la caja",
    "card-title": "Acerque, inserte o deslice", "card-hint": "la tarjeta", "pin-title": "Ingrese su PIN", "pin-hint": "4 a 12 dígitos",
    "confirm-title": "¿Confirma?", "confirm-hint": "Tecla verde para aceptar", "working-title": "Procesando", "working-hint": "No retire la tarjeta",
    "approved-title": "Aprobada", "refused-title": "No aprobada",
    sale: "venta", void: "anulación", refund: "devolución", "pre-authorization": "preautorización", completion: "captura", release: "liberación",
  },
  pt: {
    title: "Terminal virtual", language: "Idioma", wall: "Terminais", voucher: "Comprovante", card: "Cartão", keys: "Teclado",
    clear: "Apagar", enter: "Confirmar", tap: "Aproximar", insert: "Inserir", swipe: "Passar",
    person: "Decidir pelo cliente", "person-hint": "O cliente usa o terminal. Aqui você decide o resultado na hora.",
    approve: "Aprovar", decline: "Recusar", code: "Código", cancel: "Cancelar", leave: "Ir embora sem pagar",
    trouble: "Com a resposta", none: "chega bem", lost: "se perde", damaged: "chega danificada",
    "restart-before": "reinício antes de cobrar", "restart-after": "reinício depois de cobrar",
    1003: "1003: tampa aberta", 1004: "1004: sem papel", 1005: "1005: papel preso",
    pull: "Desconectar o cabo", plug: "Conectar o cabo", restart: "Reiniciar",
    ledger: "Livro-razão do terminal", trace: "Mensagens (só os nomes dos campos)",
    operation: "Operação", kind: "Tipo", amount: "Valor", ticket: "Ticket", authorization: "Autorização", date: "Data", number: "N.º", time: "Hora",
    balance: "saldo", tip: "Gorjeta", terminal: "Terminal", tear: "Destacar o papel",
    live: "Conectado", gone: "Sem conexão com o simulador", unplugged: "Cabo desconectado", restarting: "Reiniciando",
    "idle-title": "Pronto", "idle-hint": "Aguardando o caixa",
    "card-title": "Aproxime, insira ou passe", "card-hint": "o cartão", "pin-title": "Digite a senha", "pin-hint": "4 a 12 dígitos",
    "confirm-title": "Confirma?", "confirm-hint": "Tecla verde para confirmar", "working-title": "Processando", "working-hint": "Não retire o cartão",
    "approved-title": "Aprovada", "refused-title": "Não aprovada",
    sale: "venda", void: "cancelamento", refund: "devolução", "pre-authorization": "pré-autorização", completion: "captura", release: "liberação",
  },
  en: {
    title: "Virtual terminal", language: "Language", wall: "Terminals", voucher: "Voucher", card: "Card", keys: "Keypad",
    clear: "Clear", enter: "Enter", tap: "Tap", insert: "Insert", swipe: "Swipe",
    person: "Decide for the customer", "person-hint": "The customer uses the terminal. Here you choose the outcome at once.",
    approve: "Approve", decline: "Decline", code: "Code", cancel: "Cancel", leave: "Walk away",
    trouble: "With the reply", none: "it arrives", lost: "it is lost", damaged: "it comes damaged",
    "restart-before": "restart before the charge", "restart-after": "restart after the charge",
    1003: "1003: cover open", 1004: "1004: no paper", 1005: "1005: paper jam",
    pull: "Pull the cable", plug: "Plug in the cable", restart: "Restart",
    ledger: "The terminal's ledger", trace: "Messages (field names only)",
    operation: "Operation", kind: "Type", amount: "Amount", ticket: "Ticket", authorization: "Authorization", date: "Date", number: "No.", time: "Time",
    balance: "balance", tip: "Tip", terminal: "Terminal", tear: "Tear off the paper",
    live: "Connected", gone: "No connection to the simulator", unplugged: "Cable pulled", restarting: "Restarting",
    "idle-title": "Ready", "idle-hint": "Waiting for the register",
    "card-title": "Tap, insert or swipe", "card-hint": "your card", "pin-title": "Enter your PIN", "pin-hint": "4 to 12 digits",
    "confirm-title": "Confirm?", "confirm-hint": "Green key to accept", "working-title": "Processing", "working-hint": "Do not remove the card",
    "approved-title": "Approved", "refused-title": "Not approved",
    sale: "sale", void: "void", refund: "refund", "pre-authorization": "pre-authorization", completion: "capture", release: "release",
  },
};
const KINDS = {
  Void: "void", MultiCommerceVoid: "void", Refund: "refund", MultiCommerceRefund: "refund",
  PreAuthorization: "pre-authorization", PreAuthorizationCompletion: "completion", PreAuthorizationRelease: "release",
};
const WAITING = ["card", "pin", "confirm"];

const find = (selector) => document.querySelector(selector);
const all = (selector) => document.querySelectorAll(selector);

let language = "";
let exponent = 0;
let views = [];
let watched = 0;
let pin = "";
let printed = ""; // which voucher is on the paper, and in which language
let details = null;
let socket = null;
let live = false;

const word = (name) => WORDS[language][name] ?? name;
const money = (amount) => amount === null || amount === undefined ? "" : new Intl.NumberFormat(language, {
  minimumFractionDigits: exponent, maximumFractionDigits: exponent, useGrouping: "always",
}).format(amount / 10 ** exponent);

function element(tag, text, name) {
  const made = document.createElement(tag);
  if (text !== undefined) made.textContent = text;
  if (name) made.className = name;
  return made;
}

function write(target, text) { // only if it differs: a screen reader announces each change
  if (target.textContent !== text) target.textContent = text;
}

// ---------------------------------------------------------------------------------------------------------- what is said

function say(what, more) {
  if (socket && socket.readyState === WebSocket.OPEN && views[watched]) {
    socket.send(JSON.stringify({ do: what, terminal: watched, turn: views[watched].turn, ...more }));
  }
}

function act(what) {
  const view = views[watched];
  if (!view) return;
  const more = {};
  if (["tap", "pin", "confirm", "approve", "decline"].includes(what)) {
    more.trouble = find("input[name=trouble]:checked").value;
    find("input[name=trouble][value=none]").checked = true;
  }
  if (what === "decline") more.code = Number(find("#code").value) || 2001;
  say(what, more);
}

function press(key) {
  const stage = views[watched]?.stage;
  if (key === "Escape" && WAITING.includes(stage)) act("cancel");
  else if (key === "Enter" && stage === "confirm") act("confirm");
  else if (key === "Enter" && stage === "pin" && pin.length >= 4) { pin = ""; act("pin"); }
  else if (key === "Enter" && (stage === "approved" || stage === "refused")) act("tear");
  else if (stage === "pin" && key === "Backspace") pin = pin.slice(0, -1);
  else if (stage === "pin" && key >= "0" && key <= "9" && pin.length < 12) pin += key;
  write(find("#dots"), "•".repeat(pin.length));
}

// ---------------------------------------------------------------------------------------------------------- what is shown

function showTile(number) {
  const view = views[number];
  const tile = find(`#wall button[data-number="${number}"]`);
  if (!tile) return;
  const state = view.link === "plugged" ? word(`${view.stage}-title`) : word(view.link);
  write(tile.children[0], view.name);
  write(tile.children[1], state);
  write(tile.children[2], money(view.command?.amount) || "\u00a0");
  tile.dataset.link = view.link;
  tile.dataset.stage = view.stage;
  tile.dataset.since = view.since;
  tile.setAttribute("aria-pressed", String(number === watched));
}

function showPaper(view) {
  const paper = find("#paper");
  const voucher = view.voucher;
  paper.hidden = !voucher;
  if (!voucher) { printed = ""; return; }
  const state = `${watched} ${view.turn} ${language}`;
  if (printed === state) return;
  printed = state;
  const list = element("dl");
  const rows = [
    ["terminal", voucher.terminal], ["kind", word(voucher.kind)], ["amount", money(voucher.amount)],
    ["tip", voucher.tip ? money(voucher.tip) : ""], ["card", voucher.card], ["operation", voucher.operation],
    ["authorization", voucher.authorization], ["ticket", voucher.ticket], ["date", voucher.date],
  ];
  for (const [name, value] of rows) {
    if (value !== "") list.append(element("dt", word(name)), element("dd", String(value)));
  }
  const tear = element("button", word("tear"));
  tear.type = "button";
  tear.dataset.do = "tear";
  paper.replaceChildren(element("p", voucher.merchant), element("p", voucher.address), list, tear);
}

function showTerminal() {
  const view = views[watched];
  const device = find("#device");
  const before = `${device.dataset.number} ${device.dataset.turn} ${device.dataset.stage}`;
  Object.assign(device.dataset, { number: watched, turn: view.turn, stage: view.stage, link: view.link, since: view.since });
  if (before !== `${watched} ${view.turn} ${view.stage}`) pin = "";
  const focused = document.activeElement;
  write(find("#name"), `${word("terminal")} ${view.name}`);
  write(find("#link"), view.link === "plugged" ? "" : word(view.link));
  const kind = view.command ? word(KINDS[view.command.kind] ?? "sale") : "";
  write(find("#headline"), word(`${view.stage}-title`));
  write(find("#amount"), money(view.command?.amount));
  const hint = view.result ? `${view.result.code}: ${view.result.message}` : word(`${view.stage}-hint`);
  write(find("#hint"), view.command ? `${hint} · ${kind} ${view.command.ticket ?? ""}` : hint);
  write(find("#dots"), "•".repeat(pin.length));
  showPaper(view);

  const waiting = WAITING.includes(view.stage);
  const ended = view.stage === "approved" || view.stage === "refused";
  for (const button of all("#cards button")) button.disabled = view.stage !== "card";
  for (const button of all("#person button[data-do]")) button.disabled = !waiting && button.dataset.do !== "restart";
  for (const key of all("#keys button")) {
    const name = key.dataset.key;
    key.disabled = name === "Escape" ? !waiting : name === "Enter" ? !(view.stage === "pin" || view.stage === "confirm" || ended) : view.stage !== "pin";
  }
  const cable = find("#cable");
  const pulled = view.link === "unplugged";
  cable.setAttribute("aria-pressed", String(pulled));
  cable.dataset.text = pulled ? "plug" : "pull";
  write(cable, word(cable.dataset.text));
  if (focused && (focused.disabled || !focused.isConnected)) find("#display").focus();
}

function showDetails() {
  if (!details || details.number !== watched) {
    find("#ledger").replaceChildren();
    find("#trace").replaceChildren();
    write(find("#balance"), "");
    return;
  }
  write(find("#balance"), `(${word("balance")} ${money(details.balance)})`);
  find("#ledger").replaceChildren(...details.ledger.map((entry) => {
    const row = element("tr");
    row.append(
      element("td", String(entry.operation), "number"), element("td", word(entry.kind)), element("td", money(entry.amount), "number"),
      element("td", entry.ticket), element("td", entry.authorization), element("td", entry.date.slice(-8)),
    );
    return row;
  }));
  find("#trace").replaceChildren(...details.trace.map((line) =>
    element("li", `${line.at} ${line.way === "in" ? "→" : "←"} ${line.text}`, line.way)));
}

function showLive(now) {
  live = now;
  write(find("#live"), word(live ? "live" : "gone"));
}

function showWords() {
  document.documentElement.lang = language;
  document.title = word("title");
  find("#language").value = language;
  for (const target of all("[data-text]")) write(target, word(target.dataset.text));
  for (const target of all("[data-label]")) target.setAttribute("aria-label", word(target.dataset.label));
  showLive(live);
  if (!views[watched]) return;
  views.forEach((_, number) => showTile(number));
  showTerminal();
  showDetails();
}

function buildWall(count) {
  find("#wall").hidden = count < 2;
  if (count < 2) return;
  find("#wall ul").replaceChildren(...Array.from({ length: count }, (_, number) => {
    const tile = element("button");
    tile.type = "button";
    tile.dataset.number = number;
    tile.append(element("strong"), element("span"), element("span"));
    const item = element("li");
    item.append(tile);
    return item;
  }));
}

function watch(number) {
  const before = watched;
  watched = number;
  details = null;
  showTile(before);
  showTile(number);
  showTerminal();
  showDetails();
  say("watch");
}

// ------------------------------------------------------------------------------------------------------------- the wire

function take(message) {
  if (message.terminals !== undefined) {
    exponent = message.exponent;
    language = localStorage.getItem("language") ?? message.language;
    if (!WORDS[language]) language = "en";
    views = [];
    watched = watched < message.terminals ? watched : 0;
    buildWall(message.terminals);
    showLive(true);
    return;
  }
  const first = views.length === 0;
  for (const view of message.views) views[view.number] = view;
  if (first) {
    showWords();
    if (watched) say("watch");
  } else {
    for (const view of message.views) {
      showTile(view.number);
      if (view.number === watched) showTerminal();
    }
  }
  if (message.details && message.details.number === watched) {
    details = message.details;
    showDetails();
  }
}

function connect() {
  socket = new WebSocket(`ws://${location.host}/live`);
  socket.onmessage = (event) => take(JSON.parse(event.data));
  socket.onclose = () => {
    showLive(false);
    setTimeout(connect, 500);
  };
}

document.addEventListener("click", (event) => {
  const button = event.target.closest("button");
  if (!button) return;
  if (button.dataset.do) act(button.dataset.do);
  else if (button.dataset.key) press(button.dataset.key);
  else if (button.dataset.number) watch(Number(button.dataset.number));
  else if (button.id === "cable") act(views[watched]?.link === "unplugged" ? "plug" : "pull");
});
document.addEventListener("keydown", (event) => {
  const own = event.target.closest("input, select") || (event.key === "Enter" && event.target.closest("button"));
  if (own || event.ctrlKey || event.altKey || event.metaKey) return;
  if (/^[0-9]$/.test(event.key) || ["Enter", "Escape", "Backspace"].includes(event.key)) {
    event.preventDefault();
    press(event.key);
  }
});
find("#language").addEventListener("change", (event) => {
  language = event.target.value;
  localStorage.setItem("language", language);
  showWords();
});
language = WORDS[localStorage.getItem("language")] ? localStorage.getItem("language") : "en";
showWords();
connect();
