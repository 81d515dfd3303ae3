// SPDX-License-Identifier: MIT
// AWS's JavaScript SDK, unmodified, with nothing set but its environment: one JSON line of answers.
import { createRequire } from "node:module";
import path from "node:path";

const require = createRequire(path.join(process.env.NPM_FOLDER, "x.js"));
const { LambdaClient, InvokeCommand, GetFunctionCommand, ListFunctionsCommand } = require("@aws-sdk/client-lambda");

const client = new LambdaClient({ maxAttempts: 1 });
const text = (bytes) => Buffer.from(bytes).toString();

async function refused(command) {
	try {
		await client.send(command);
		return null;
	} catch (e) {
		return { name: e.name, status: e.$metadata.httpStatusCode, message: e.message };
	}
}

const echo = await client.send(new InvokeCommand({ FunctionName: "echo", Payload: JSON.stringify({ a: "ä" }), LogType: "Tail" }));
const failed = await client.send(new InvokeCommand({ FunctionName: "fails" }));
const dry = await client.send(new InvokeCommand({ FunctionName: "echo", InvocationType: "DryRun" }));
const got = await client.send(new GetFunctionCommand({ FunctionName: "echo" }));
const list = await client.send(new ListFunctionsCommand({}));
console.log(JSON.stringify({
	echo: JSON.parse(text(echo.Payload)), status: echo.StatusCode, version: echo.ExecutedVersion,
	log: Buffer.from(echo.LogResult, "base64").toString(),
	failed: failed.FunctionError, error: JSON.parse(text(failed.Payload)).errorType, dry: dry.StatusCode,
	got: got.Configuration.FunctionArn, memory: got.Configuration.MemorySize,
	list: list.Functions.map((f) => f.FunctionName),
	none: await refused(new InvokeCommand({ FunctionName: "none" })),
	bad: await refused(new InvokeCommand({ FunctionName: "echo", Payload: "{" })),
}));
