// SPDX-License-Identifier: MIT
// InvokeWithResponseStream by AWS's JavaScript SDK, unmodified: one JSON line of what came.
import { createRequire } from "node:module";
import path from "node:path";

const require = createRequire(path.join(process.env.NPM_FOLDER, "x.js"));
const { LambdaClient, InvokeWithResponseStreamCommand } = require("@aws-sdk/client-lambda");

const client = new LambdaClient({ maxAttempts: 1 });
const all = [];
for (const name of process.argv.slice(2)) {
	const [FunctionName, event] = name.split("=");
	const got = await client.send(new InvokeWithResponseStreamCommand({ FunctionName, Payload: event, LogType: "Tail" }));
	let text = "", complete = null;
	for await (const e of got.EventStream) {
		if (e.PayloadChunk)
			text += Buffer.from(e.PayloadChunk.Payload).toString();
		else
			complete = e.InvokeComplete;
	}
	all.push({ status: got.StatusCode, version: got.ExecutedVersion, type: got.ResponseStreamContentType, text,
		   code: complete.ErrorCode ?? null, details: complete.ErrorDetails ?? null,
		   log: Buffer.from(complete.LogResult, "base64").toString().split(" ")[0] });
}
console.log(JSON.stringify(all));
