// A page of an app without its browser: what comes on standard input goes out as messages, one a line, and every
// message that comes in is a line of standard output. `long N` sends N characters; the end of the input closes.

import { createInterface } from "node:readline";

const socket = new WebSocket(process.argv[2]);
const say = (message) => process.stdout.write(`${JSON.stringify(message)}\n`);
let wasOpen = false;

socket.onopen = () => {
  wasOpen = true;
  const lines = createInterface({ input: process.stdin });
  lines.on("line", (line) => {
    const long = /^long (\d+)$/.exec(line);
    socket.send(long ? "x".repeat(Number(long[1])) : line);
  });
  lines.on("close", () => socket.close());
};
socket.onmessage = ({ data }) => say(JSON.parse(data));
socket.onclose = () => {
  say({ type: "closed" });
  process.exit(0);
};
socket.onerror = () => {
  if (!wasOpen) say({ type: "refused" });
};
