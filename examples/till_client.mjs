// A client of the till service (docs/till-service.md) for Node.js 18 or newer, with no packages. On the command line:
//
//   node till_client.mjs get /v1/readers
//   node till_client.mjs post /v1/purchase reference=S-1 amount_minor:=1250
//   node till_client.mjs events 2              the next two events, and what happened before
//   node till_client.mjs websocket purchase reference=S-1 amount_minor:=1250
//
// FIELD=TEXT is a text, FIELD:=VALUE a number or true or false. The service is found by the folder $JOREN_HOME, or .joren.
// Only the last form needs globalThis.WebSocket, which Node.js has from version 22 on; calls and events need fetch alone.

import { readFile } from "node:fs/promises";
import { argv, env, exit, stderr, stdout } from "node:process";

export class Refused extends Error {
  constructor(problem) {
    super(`${problem.error}: ${problem.message}; ${problem.what_to_do}`);
    this.problem = problem;
  }
}

export class TillClient {
  constructor(url, token) {
    this.url = url;
    this.token = token;
    this.headers = { Authorization: `Bearer ${token}` };
  }

  static async find(folder) {
    const read = async (name) => (await readFile(`${folder}/till/${name}`, "ascii")).trim();
    return new TillClient(await read("address"), await read("token"));
  }

  // One call. Throws Refused, and TypeError where nobody answers: then ask again, with the same reference.
  async call(method, path, fields) {
    const body = method === "POST" ? JSON.stringify(fields) : undefined;
    const response = await fetch(this.url + path, { method, body, headers: this.headers });
    const told = await response.json();
    if (!response.ok) throw new Refused(told);
    return told;
  }

  // What happens at the readers, as it happens, and what happened after the event of that id.
  async *events(after = "") {
    const response = await fetch(`${this.url}/v1/events?after=${encodeURIComponent(after)}`, { headers: this.headers });
    let rest = "";
    for await (const chunk of response.body.pipeThrough(new TextDecoderStream())) {
      const lines = (rest + chunk).split("\n");
      rest = lines.pop();
      for (const line of lines) if (line.startsWith("data: ")) yield JSON.parse(line.slice(6));
    }
  }

  // One call over a WebSocket of its own. A till keeps its WebSocket open, and numbers its calls.
  socketCall(call, fields) {
    return new Promise((resolve, reject) => {
      const socket = new WebSocket(`${this.url.replace("http", "ws")}/v1/ws`);
      socket.onopen = () => socket.send(JSON.stringify({ token: this.token, version: 1, client: "an example in JavaScript" }));
      socket.onclose = () => reject(new Error("the connection ended"));
      socket.onmessage = ({ data }) => {
        const told = JSON.parse(data);
        if (told.hello) socket.send(JSON.stringify({ id: 1, call, with: fields }));
        if (told.ok) resolve(told.ok);
        if (told.problem) reject(new Refused(told.problem));
        if (told.ok || told.problem) socket.close();
      };
    });
  }
}

function fields(words) {
  return Object.fromEntries(
    words.map((word) => {
      const at = word.indexOf("=");
      const name = word.slice(0, at);
      return name.endsWith(":") ? [name.slice(0, -1), JSON.parse(word.slice(at + 1))] : [name, word.slice(at + 1)];
    }),
  );
}

async function main([command, path, ...words]) {
  const client = await TillClient.find(env.JOREN_HOME ?? ".joren");
  const show = (told) => stdout.write(`${JSON.stringify(told)}\n`);
  if (command === "events") {
    let left = Number(path);
    for await (const event of client.events()) {
      show(event);
      if (--left === 0) break;
    }
  } else if (command === "websocket") {
    show(await client.socketCall(path, fields(words)));
  } else {
    show(await client.call(command.toUpperCase(), path, fields(words)));
  }
}

main(argv.slice(2)).catch((error) => {
  const unheard = error instanceof TypeError || error.code; // of fetch, and of the folder's files
  const next = "once it runs, ask the same again, with the same reference";
  stderr.write(unheard ? `no answer from the till service (${error.message}); ${next}\n` : `${error.message}\n`);
  exit(1);
});
