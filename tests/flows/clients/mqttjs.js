// One client made with MQTT.js. A line of JSON on the standard input is a wish, a line on the standard output
// its answer, or a message that came.
"use strict";

const fs = require("fs");
const readline = require("readline");
const mqtt = require("mqtt");

let client = null;

function say(value) {
  process.stdout.write(JSON.stringify(value) + "\n");
}

// What a callback of the library says, as an answer.
function answering(resolve, reject, value) {
  return (error, more) => (error ? reject(error) : resolve(value === undefined ? more : value));
}

const verbs = {
  connect: ({ url, options, files }) =>
    new Promise((resolve, reject) => {
      for (const [name, path] of Object.entries(files)) {
        options[name] = fs.readFileSync(path);
      }
      client = mqtt.connect(url, options);
      client.once("connect", (packet) => resolve(packet.sessionPresent));
      client.once("error", reject);
      client.once("close", () => reject(new Error("the connection was closed")));
      // A later error is told by what it makes impossible.
      client.on("error", () => {});
      client.on("message", (topic, payload, packet) =>
        say({ message: [topic, payload.toString("hex"), packet.qos, packet.retain] }),
      );
    }),

  subscribe: ({ filter, qos }) =>
    new Promise((resolve, reject) => {
      client.subscribe(filter, { qos }, (error, granted) => {
        const code = error ? 128 : granted[0].qos;
        return code >= 128 ? reject(error || new Error("refused with " + code)) : resolve(code);
      });
    }),

  publish: ({ topic, payload, qos, retain }) =>
    new Promise((resolve, reject) => {
      client.publish(topic, Buffer.from(payload, "hex"), { qos, retain }, answering(resolve, reject, true));
    }),

  leave: () =>
    new Promise((resolve) => {
      client.end(!client.connected, {}, () => resolve(true));
    }),
};

readline.createInterface({ input: process.stdin }).on("line", async (line) => {
  const { verb, ...wish } = JSON.parse(line);
  try {
    say({ answer: await verbs[verb](wish) });
  } catch (error) {
    say({ error: String(error.message || error) });
  }
});
