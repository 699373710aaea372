// Node with ioredis: what teams write by hand in front of a slow handler. Why this is fair:
// - plain http, no framework; one process, as the server is pinned to one core;
// - ioredis pipelines by itself what is asked in one turn of the event loop (enableAutoPipelining);
// - a hit is one GET; header fields and body are kept as bytes, no JSON is parsed;
// - connections to the app are kept.
'use strict';
const http = require('http');
const Redis = require('ioredis');

const [port, appPort, redisPort] = process.argv.slice(2).map(Number);
const redis = new Redis({ host: '127.0.0.1', port: redisPort, enableAutoPipelining: true });
const agent = new http.Agent({ keepAlive: true, maxSockets: 256 });
const kept = ['content-type', 'cache-control', 'etag', 'last-modified'];
const blank = Buffer.from('\n\n');

function fetchFromApp(path) {
  return new Promise((resolve, reject) => {
    const request = http.get({ host: '127.0.0.1', port: appPort, path, agent }, (answer) => {
      const pieces = [];
      answer.on('data', (piece) => pieces.push(piece));
      answer.on('end', () => resolve({ answer, body: Buffer.concat(pieces) }));
      answer.on('error', reject);
    });
    request.on('error', reject);
  });
}

async function lookUp(path) {
  const key = 'node:' + path;
  const value = await redis.getBuffer(key);
  if (value) {
    const at = value.indexOf(blank);
    return { head: value.toString('latin1', 0, at), body: value.subarray(at + 2) };
  }
  const { answer, body } = await fetchFromApp(path);
  if (answer.statusCode !== 200) throw new Error('the app answered ' + answer.statusCode);
  const lines = kept.filter((name) => answer.headers[name]);
  const head = lines.map((name) => name + ': ' + answer.headers[name]).join('\n');
  await redis.set(key, Buffer.concat([Buffer.from(head, 'latin1'), blank, body]), 'EX', 3600);
  return { head, body };
}

http.createServer({ keepAliveTimeout: 75000 }, async (request, response) => {
  try {
    const { head, body } = await lookUp(request.url);
    for (const line of head.split('\n')) {
      const at = line.indexOf(': ');
      response.setHeader(line.slice(0, at), line.slice(at + 2));
    }
    response.setHeader('content-length', body.length);
    response.end(body);
  } catch (error) {
    response.statusCode = 502;
    response.end(String(error));
  }
}).listen(port, '127.0.0.1', 4096);
