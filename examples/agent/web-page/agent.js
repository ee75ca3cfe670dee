// The agent as a page sees it. A payment has a key, which is kept before the payment is sent: whatever happens to the
// page or to the agent after that, the key finds what became of it, and the same payment is never sent under another.
"use strict";

class Agent {
  constructor(address, token) {
    this.address = address;
    this.token = token;
    this.stopped = false;
  }

  async ask(path, { key, ...given } = {}) {
    const headers = { Authorization: `Bearer ${this.token}` };
    if (given.body) headers["Content-Type"] = "application/json";
    if (key) headers["Idempotency-Key"] = key;
    const answer = await fetch(this.address + path, { ...given, headers });
    if (answer.status === 401) this.refused();
    return { status: answer.status, ...(await answer.json()) };
  }

  // The token is wrong. Asking again does not help, so this stops.
  refused() {
    if (!this.stopped) this.onrefused?.();
    this.stopped = true;
  }

  // What became of a payment: its outcome, or null where nothing was sent. Never throws: it asks until it knows, or
  // until it is stopped.
  async pay(payment) {
    localStorage.setItem("payment", JSON.stringify(payment));
    const answer = await this.post(payment.path, payment.body, payment.key).catch(() => ({}));
    if (answer.outcome && answer.outcome !== "unknown") return this.ended(answer);
    // The key is new, so a request that was refused for its token sent nothing, and no earlier one did.
    if (answer.nothing_sent || answer.status === 401) return this.ended({ outcome: null, ...answer });
    return this.resume(payment);
  }

  // The same of a payment that was begun before the page was loaded, or whose answer was lost. Only 404 says that
  // nothing was sent under its key: a look-up that is refused for its token or its origin says nothing about the payment.
  async resume(payment) {
    while (!this.stopped) {
      const answer = await this.ask(`/v1/payments?key=${encodeURIComponent(payment.key)}`).catch(() => ({ away: true }));
      if (answer.outcome && answer.outcome !== "unknown") return this.ended(answer);
      if (answer.status === 404 && answer.nothing_sent) return this.ended({ outcome: null, ...answer });
      if (answer.status !== 202) this.onwaiting?.(answer);
      await new Promise((done) => setTimeout(done, 1000));
    }
    return {};
  }

  ended(answer) {
    localStorage.removeItem("payment");
    return answer;
  }

  post(path, body, key) {
    return this.ask(path, { method: "POST", body: JSON.stringify(body), key });
  }

  // Events as they happen, until it is stopped.
  listen(take) {
    if (this.stopped) return;
    const socket = new WebSocket(`${this.address.replace(/^http/, "ws")}/v1/events`, ["getnet-pos", `bearer.${this.token}`]);
    socket.onmessage = (message) => take(JSON.parse(message.data));
    socket.onclose = () => setTimeout(() => this.listen(take), 1000);
  }
}
