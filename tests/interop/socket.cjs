// A WebSocket client: says what it gets back of a text and of 100,000 bytes, then closes.
"use strict";

const WebSocketClient = globalThis.WebSocket ?? require("ws");
const socket = new WebSocketClient(process.argv[2]);
socket.binaryType = "arraybuffer";

socket.onopen = () => {
  console.log("open");
  socket.send("hello");
};
socket.onmessage = ({ data }) => {
  if (typeof data === "string") {
    console.log(`text ${data}`);
    socket.send(new Uint8Array(100000).fill(7));
  } else {
    const whole = new Uint8Array(data).every((byte) => byte === 7);
    console.log(`binary ${whole ? data.byteLength : "spoiled"}`);
    socket.close(1000);
  }
};
socket.onclose = ({ code }) => console.log(`closed ${code}`);
socket.onerror = ({ message }) => {
  console.error(message);
  process.exit(1);
};
