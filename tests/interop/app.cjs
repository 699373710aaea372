// The app of the tests in node.rs, on Node's plain http module; prints its port.
"use strict";

const crypto = require("node:crypto");
const http = require("node:http");

let chunked = 0;

const server = http.createServer((request, response) => {
  switch (request.url) {
    case "/chunked":
      chunked += 1;
      response.setHeader("Cache-Control", "max-age=3600");
      response.write("one, ");
      setImmediate(() => {
        response.write("two, ");
        setImmediate(() => response.end("three"));
      });
      break;
    case "/count":
      response.end(String(chunked));
      break;
    case "/socket":
      response.setHeader("Cache-Control", "no-store");
      response.end(String(request.socket.remotePort));
      break;
    case "/echo":
      request.pipe(response);
      break;
    case "/events":
      // Three events, and the stream stays open.
      response.setHeader("Content-Type", "text/event-stream");
      ["one", "two", "three"].forEach((data, id) => {
        response.write(`id: ${id}\ndata: ${data}\n\n`);
      });
      break;
    default:
      response.statusCode = 404;
      response.end();
  }
});

// A WebSocket that sends every message back (RFC 6455); frames may come in any pieces.
server.on("upgrade", (request, socket, head) => {
  const key = request.headers["sec-websocket-key"];
  const accept = crypto
    .createHash("sha1")
    .update(`${key}258EAFA5-E914-47DA-95CA-C5AB0DC85B11`)
    .digest("base64");
  socket.write(
    "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\n" +
      `Connection: Upgrade\r\nSec-WebSocket-Accept: ${accept}\r\n\r\n`,
  );
  let buffer = head;
  const read = (data) => {
    buffer = Buffer.concat([buffer, data]);
    for (let frame = next(buffer); frame; frame = next(buffer)) {
      buffer = buffer.subarray(frame.size);
      socket.write(sent(frame.first, frame.payload));
      if ((frame.first & 0x0f) === 8) socket.end();
    }
  };
  socket.on("data", read);
  socket.on("error", () => socket.destroy());
});

// The first frame of what a client sent, unmasked, if it is whole.
function next(buffer) {
  if (buffer.length < 2) return null;
  let length = buffer[1] & 0x7f;
  let at = 2;
  if (length === 126) {
    if (buffer.length < 4) return null;
    length = buffer.readUInt16BE(2);
    at = 4;
  } else if (length === 127) {
    if (buffer.length < 10) return null;
    length = Number(buffer.readBigUInt64BE(2));
    at = 10;
  }
  const size = at + 4 + length;
  if (buffer.length < size) return null;
  const mask = buffer.subarray(at, at + 4);
  const payload = Buffer.from(buffer.subarray(at + 4, size));
  for (let i = 0; i < payload.length; i += 1) payload[i] ^= mask[i % 4];
  return { first: buffer[0], payload, size };
}

// A frame as a server sends it.
function sent(first, payload) {
  let head;
  if (payload.length < 126) {
    head = Buffer.from([first, payload.length]);
  } else if (payload.length < 65536) {
    head = Buffer.from([first, 126, 0, 0]);
    head.writeUInt16BE(payload.length, 2);
  } else {
    head = Buffer.alloc(10);
    head[0] = first;
    head[1] = 127;
    head.writeBigUInt64BE(BigInt(payload.length), 2);
  }
  return Buffer.concat([head, payload]);
}

server.listen(0, "127.0.0.1", () => console.log(server.address().port));
