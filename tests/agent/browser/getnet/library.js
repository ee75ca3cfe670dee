// What Getnet's browser library is seen to do in its websocket mode, and no more.
"use strict";

class Getnet {
  static SPACING = 300;
  static PATIENCE = 3000;

  constructor(port) {
    this.heard = [];
    this.waiting = [];
    this.queue = [];
    this.receipt = null;
    this.socket = new WebSocket(`ws://localhost:${port}/`);
    this.socket.onopen = () => this.next();
    this.socket.onmessage = (message) => this.hear(message.data);
    this.send({ Type: "getnet-port", OpenParams: { Port: "", BaudRate: 115200 }, WriteParams: null });
  }

  // One message in 300 ms, once the socket is open; it is never opened again.
  send(message) {
    this.queue.push(JSON.stringify(message));
    if (this.queue.length === 1 && this.socket.readyState === WebSocket.OPEN && !this.busy) this.next();
  }

  next() {
    this.busy = this.queue.length > 0;
    if (!this.busy) return;
    this.socket.send(this.queue.shift());
    setTimeout(() => this.next(), Getnet.SPACING);
  }

  hear(data) {
    if (typeof data !== "string") return;
    this.heard.push(data);
    let said;
    try {
      said = JSON.parse(data);
    } catch {
      return;
    }
    if (said.Received === true) this.receipt?.();
    else this.waiting.shift()?.(said);
  }

  // The terminal's answer; an error where no sign of receipt has come 3 s after the call.
  async call(command, fields = {}, patience = 60000) {
    const text = JSON.stringify({ Command: command, ...fields, DateTime: new Date().toISOString() });
    const answer = new Promise((resolve, reject) => {
      this.waiting.push(resolve);
      const failed = () => reject(new Error("the terminal does not answer"));
      const early = setTimeout(failed, Getnet.PATIENCE);
      this.receipt = () => {
        clearTimeout(early);
        setTimeout(failed, patience);
      };
    });
    const digest = new Uint8Array(await crypto.subtle.digest("SHA-256", new TextEncoder().encode(text)));
    const sign = [...digest].map((byte) => byte.toString(16).padStart(2, "0")).join("").toUpperCase();
    const envelope = JSON.stringify({ JsonSerialized: text, Sign: sign });
    this.send({ Type: "open", OpenParams: { Port: "", BaudRate: 115200 }, WriteParams: null });
    this.send({ Type: "write", WriteParams: { Message: envelope } });
    const said = await answer;
    return said.JsonSerialized ? JSON.parse(said.JsonSerialized) : said;
  }
}
