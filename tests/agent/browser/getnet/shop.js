"use strict";

const field = (name) => document.querySelector(`[name=${name}]`).value;
const on = (name, what) => document.getElementById(name).addEventListener("click", what);
const link = document.getElementById("link");
let getnet;

function show(code, answer) {
  const line = document.createElement("li");
  line.dataset.command = code;
  line.dataset.code = answer.ResponseCode ?? "";
  line.textContent = answer.ResponseMessage ?? answer.message ?? JSON.stringify(answer);
  document.getElementById("said").append(line);
}

const call = (code, fields) => getnet.call(code, fields).then((answer) => show(answer.FunctionCode ?? code, answer))
  .catch((error) => show(code, error));

on("connect", () => {
  getnet = new Getnet(field("bridge"));
  getnet.socket.addEventListener("open", () => (link.textContent = "open"));
  getnet.socket.addEventListener("close", (event) => (link.textContent = `closed: ${event.code}`));
});
on("sell", () =>
  call(100, {
    Amount: Number(field("amount")),
    TicketNumber: field("ticket"),
    PrintOnPos: false,
    SaleType: 0,
    SendMessage: false,
    EmployeeId: 1,
  })
);
on("cancel", () => call(116));
on("reports", async () => {
  for (const code of [106, 101, 104, 105, 114, 115]) await call(code, code === 106 ? {} : { PrintOnPos: false });
  for (const code of [110, 111]) await call(code, { EmployeeId: 1, PrintOnPos: false });
});
