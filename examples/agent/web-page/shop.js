// The form of the shop. Whoever loads the page again in the middle of a payment sees how it ended.
"use strict";

const find = (selector) => document.querySelector(selector);
const setup = find("#setup"), sale = find("#sale"), cancel = find("#cancel");
let agent = null;

// The outcome of a payment, or why it is not known yet.
function show(answer) {
  const said = {
    approved: () => `Paid. Authorization ${answer.reply?.authorization_code ?? "unknown"}.`,
    declined: () => `Not paid: ${answer.reason ?? "declined"}.`,
    unknown: () => `It is not known whether this was paid: ${answer.reason}. Do not charge again. Look at the terminal.`,
    null: () => `Nothing was charged now: ${answer.detail}`,
  }[answer.outcome];
  if (said) {
    find("#outcome").textContent = said();
    find("#outcome").dataset.outcome = answer.outcome ?? "none";
  } else {
    find("#progress").textContent = answer.away ? "The agent cannot be reached. Looking for it." : answer.detail;
  }
}

async function follow(payment, work) {
  sale.terminal.value = payment.path.split("/")[3];
  cancel.disabled = false;
  sale.querySelector("button").disabled = true;
  find("#outcome").textContent = "Follow the terminal.";
  find("#outcome").dataset.outcome = "open";
  const mine = agent;
  const answer = await work;
  if (agent && agent !== mine) return; // paired again in the meantime: that pairing shows how it ended
  find("#progress").textContent = "";
  if (answer.outcome !== undefined) show(answer);
  else find("#outcome").textContent = "This payment is still open. Pair with the agent to see how it ended.";
  cancel.disabled = true;
  sale.querySelector("button").disabled = false;
}

// The token is forgotten; a payment that was sent is kept, and is looked up after the next pairing.
function forget() {
  agent = null;
  localStorage.removeItem("agent");
  setup.token.value = "";
  find("#pairing").textContent = "The pairing token is wrong. Copy it from the agent's file, and pair again.";
}

function pair(address, token) {
  if (agent) agent.stopped = true;
  const paired = agent = new Agent(address, token);
  agent.onwaiting = show;
  agent.onrefused = () => agent === paired && forget();
  find("#pairing").textContent = "";
  agent.ask("/v1/intents").then(
    (answer) => { if (agent === paired) find("#pairing").textContent = answer.detail ?? "Paired."; },
    () => { if (agent === paired) find("#pairing").textContent = "The agent cannot be reached. Is it running, and is this page's origin allowed?"; },
  );
  agent.listen((event) => {
    if (event.type === "progress") find("#progress").textContent = event.text ?? `stage ${event.code}`;
  });
  const begun = JSON.parse(localStorage.getItem("payment"));
  if (begun) follow(begun, agent.resume(begun));
}

setup.addEventListener("submit", (event) => {
  event.preventDefault();
  localStorage.setItem("agent", JSON.stringify([setup.address.value, setup.token.value]));
  pair(setup.address.value, setup.token.value);
});
sale.addEventListener("submit", (event) => {
  event.preventDefault();
  if (!agent || localStorage.getItem("payment")) { // one payment at a time, in all windows
    find("#progress").textContent = agent ? "Another payment has not ended yet." : "Pair with the agent first.";
    return;
  }
  const path = `/v1/terminals/${encodeURIComponent(sale.terminal.value)}/sales`;
  const payment = { key: crypto.randomUUID(), path, body: { amount: Number(sale.amount.value), ticket: sale.ticket.value } };
  follow(payment, agent.pay(payment));
});
cancel.addEventListener("click", () => agent?.post(`/v1/terminals/${encodeURIComponent(sale.terminal.value)}/cancel`, {}));

const kept = JSON.parse(localStorage.getItem("agent"));
if (kept) {
  [setup.address.value, setup.token.value] = kept;
  pair(...kept);
}
