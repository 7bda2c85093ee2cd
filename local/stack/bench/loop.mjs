// Runs empty.mjs where AWS's own client of the Runtime API cannot be built. It does less than that one, so it starts sooner.
import http from "node:http";
import { handler } from "./empty.mjs";

const [hostname, port] = process.env.AWS_LAMBDA_RUNTIME_API.split(":");
const agent = new http.Agent({ keepAlive: true });

const call = (method, path, body) =>
  new Promise((resolve, reject) => {
    const options = { hostname, port, agent, method, path: `/2018-06-01/runtime/invocation/${path}` };
    const request = http.request(options, (answer) => {
      let text = "";
      answer.on("data", (part) => (text += part));
      answer.on("end", () => resolve({ headers: answer.headers, text }));
    });
    request.on("error", reject);
    request.end(body);
  });

for (;;) {
  const { headers, text } = await call("GET", "next");
  const answer = await handler(JSON.parse(text));
  await call("POST", `${headers["lambda-runtime-aws-request-id"]}/response`, JSON.stringify(answer));
}
