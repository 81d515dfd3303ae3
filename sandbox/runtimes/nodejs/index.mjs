// SPDX-License-Identifier: MIT
/*
 * The Node.js runtime: asks the Runtime API for events, calls the handler, answers (AWS's RAPI-1..5, EX-8).
 *
 * Handler "folder/file.name" or "folder/file.object.name", in a CommonJS or ES module; it returns a promise, or calls back,
 * or writes to a stream (awslambda.streamifyResponse). console's lines come with time, request id and level.
 *
 * What handlers can tell apart is as in AWS's published client, which tests/lab/test_ric.py runs beside this one:
 *
 *   - Answers are sent before the call that gives them returns: a handler may end its process right after. So requests are
 *     written to, and their answers read from, the connection's descriptor; only the wait for the next event, in which
 *     timers and promises of earlier ones go on, is asynchronous.
 *   - While a handler runs the connection keeps nothing alive: the loop is empty when the handler's own work is done, and
 *     only then an answer by callback goes out, unless it says that it doesn't wait.
 */
import fs from "node:fs";
import http from "node:http";
import net from "node:net";
import path from "node:path";
import util from "node:util";
import { createRequire } from "node:module";

const require = createRequire(import.meta.url);
const API = "/2018-06-01/runtime";
const HEAD_END = Buffer.from("\r\n\r\n");
const [HOST, PORT] = process.env.AWS_LAMBDA_RUNTIME_API.split(":");

// ---- errors

/* an error with AWS's name, which its stack begins with */
function runtimeError(type, message) {
	const Kind = class extends Error {};
	Kind.prototype.name = `Runtime.${type}`;
	return new Kind(message);
}

const escaped = (text) => text.replace(/\x7F/g, "%7F");

/* the error as clients get it */
function told(error) {
	try {
		const full = error && typeof error.name === "string" && typeof error.message === "string" && typeof error.stack === "string";
		if (util.types.isNativeError(error) || (full && error.name && error.message && error.stack))
			return { errorType: error.name && escaped(error.name), errorMessage: escaped(error.message),
				 trace: escaped(error.stack).split("\n") };
		return { errorType: typeof error, errorMessage: error.toString(), trace: [] };
	} catch {
		return { errorType: "handled", errorMessage: "callback called with Error argument, but there was a problem while " +
			 "retrieving one or more of its message, name, and stack" };
	}
}

/* the error as the log has it, with what the function added to it */
function logged(error) {
	const whole = (_, value) => {
		if (!(value instanceof Error))
			return value;
		const o = { errorType: value.name, errorMessage: value.message, code: value.code, ...value };
		return typeof value.stack === "string" ? { ...o, stack: value.stack.split("\n") } : o;
	};
	try {
		return `\t${JSON.stringify(error, whole)}`;
	} catch {
		return `\t${JSON.stringify(told(error))}`;
	}
}

// ---- the log

const LEVELS = ["TRACE", "DEBUG", "INFO", "WARN", "ERROR", "FATAL"];
const asJson = (process.env.AWS_LAMBDA_LOG_FORMAT || "").toUpperCase() === "JSON";
let requestId;

function ofError(e) {
	return { errorType: e.constructor?.name ?? "UnknownError", errorMessage: e.message,
		 stackTrace: typeof e.stack === "string" ? e.stack.split("\n") : e.stack };
}

function jsonRecord(level, words) {
	const o = { timestamp: new Date().toISOString(), level, requestId };
	const first = words.find((w) => w instanceof Error);
	if (words.length !== 1)
		return JSON.stringify({ ...o, message: util.format(...words), ...(first && ofError(first)) });
	try {
		return JSON.stringify({ ...o, message: words[0] }, (_, v) => (v instanceof Error ? { ...ofError(v), ...v } : v));
	} catch {
		return JSON.stringify({ ...o, message: util.format(words[0]) });
	}
}

function record(level, words) {
	const text = asJson ? jsonRecord(level, words)
		: `${new Date().toISOString()}\t${requestId}\t${level}\t${util.format(words[0], ...words.slice(1))}`;
	process.stdout.write(`${text.replace(/\n/g, "\r")}\n`);    // a record is one line
}

function patchConsole() {
	const least = Math.max(LEVELS.indexOf((process.env.AWS_LAMBDA_LOG_LEVEL || "").toUpperCase()), 0);
	for (const name of ["trace", "debug", "info", "warn", "error", "fatal"]) {
		const level = name.toUpperCase();
		console[name] = LEVELS.indexOf(level) < least ? () => {} : (...words) => record(level, words);
	}
	console.log = console.info;
}

function logError(what, error) {
	const e = error instanceof Error ? error : new Error(error);
	if (asJson)
		console.error(e);
	else
		console.error(what, logged(e));
}

// ---- the Runtime API

/* one answer out of the bytes so far: {status, headers, body, rest}; undefined: more is to come. It always has a length. */
function parse(bytes) {
	const end = bytes.indexOf(HEAD_END);
	if (end < 0)
		return undefined;
	const [first, ...lines] = bytes.toString("latin1", 0, end).split("\r\n");
	const headers = {};
	for (const line of lines) {
		const colon = line.indexOf(":");
		headers[line.slice(0, colon).toLowerCase()] = line.slice(colon + 1).trim();
	}
	const from = end + HEAD_END.length, to = from + Number(headers["content-length"]);
	return bytes.length < to ? undefined : { status: Number(first.split(" ")[1]), headers, body: bytes.subarray(from, to) };
}

class Client {
	connect() {
		return new Promise((done, failed) => {
			const s = net.connect({ host: HOST, port: PORT, noDelay: true }, () => { s.unref(); done(); });
			this.socket = s;
			this.parts = [];
			s.on("data", (part) => this.arrived(part));
			s.on("error", failed);
			s.on("close", () => this.lost(s));
		});
	}

	lost(socket) {
		if (socket !== this.socket)
			return;
		this.closed = true;
		if (this.waits)
			process.exit(1);    // the environment is over
	}

	arrived(part) {
		this.parts.push(part);
		const answer = parse(this.parts.length === 1 ? part : Buffer.concat(this.parts));
		if (!answer)
			return;
		this.parts = [];
		const done = this.waits;
		this.waits = undefined;
		this.socket.unref();
		if (done)
			done(answer);
	}

	async next() {
		if (this.closed) {    // the server closes after a request that is too large
			this.closed = false;
			this.socket.destroy();
			await this.connect();
		}
		return new Promise((done) => {
			this.waits = done;
			this.socket.ref();
			this.socket.write(`GET ${API}/invocation/next HTTP/1.1\r\nHost: ${HOST}:${PORT}\r\n\r\n`);
		});
	}

	/* now, not when the loop comes to it */
	post(where, text, headers = {}) {
		const body = Buffer.from(text);
		const more = Object.entries(headers).map(([name, value]) => `${name}: ${value}\r\n`).join("");
		const head = `POST ${API}${where} HTTP/1.1\r\nHost: ${HOST}:${PORT}\r\nContent-Type: application/json\r\n` +
			     `Content-Length: ${body.length}\r\n${more}\r\n`;
		const fd = this.socket._handle?.fd;
		try {
			for (let rest = Buffer.concat([Buffer.from(head, "latin1"), body]); rest.length;)
				rest = rest.subarray(again(() => fs.writeSync(fd, rest)));
		} catch {    // refused before all of it was read: the answer is there, or the environment is over
			this.closed = true;
		}
		const piece = Buffer.alloc(4096);
		let got = Buffer.alloc(0), n;
		try {
			while (!parse(got) && (n = again(() => fs.readSync(fd, piece))) > 0)
				got = Buffer.concat([got, piece.subarray(0, n)]);
		} catch {
			this.closed = true;
		}
		if (parse(got)?.headers.connection === "close")
			this.closed = true;
	}
}

const moment = new Int32Array(new SharedArrayBuffer(4));

/* the descriptor doesn't block */
function again(what) {
	for (;;) {
		try {
			return what();
		} catch (e) {
			if (e.code !== "EAGAIN")
				throw e;
			Atomics.wait(moment, 0, 0, 0.05);
		}
	}
}

const client = new Client();

function postResponse(id, value) {
	let text;
	try {
		text = JSON.stringify(value === undefined ? null : value);
	} catch {
		throw new Error("Unable to stringify response body");
	}
	if (typeof text !== "string")
		throw new TypeError("Wrong arguments");
	client.post(`/invocation/${id}/response`, text);
}

function postError(id, error) {
	client.post(`/invocation/${id}/error`, JSON.stringify(told(error)));
}

function postInitError(error) {
	const o = told(error);
	client.post("/init/error", JSON.stringify(o), { "Lambda-Runtime-Function-Error-Type": o.errorType });
}

// ---- streams

const STREAMING = Symbol.for("aws.lambda.runtime.handler.streaming");
const HIGH_WATER_MARK = Symbol.for("aws.lambda.runtime.handler.streaming.highWaterMark");
const failures = new WeakMap();

const STREAM_METHODS = ["cork", "destroy", "end", "uncork", "write", "addListener", "emit", "eventNames", "getMaxListeners", "listenerCount",
	"listeners", "off", "on", "once", "prependListener", "prependOnceListener", "rawListeners", "removeAllListeners", "removeListener",
	"setMaxListeners", "setContentType"];
const STREAM_PLACES = ["destroyed", "writable", "_onBeforeFirstWrite"];
const STREAM_READS = ["writableFinished", "writableObjectMode", "writableBuffer", "writableEnded", "writableNeedDrain",
	"writableHighWaterMark", "writableCorked", "writableLength"];

/* what a handler sees of the request: a writable stream, not an HTTP request */
function onlyWritable(request) {
	const o = Object.fromEntries(STREAM_METHODS.map((name) => [name, request[name].bind(request)]));
	for (const name of [...STREAM_PLACES, ...STREAM_READS])
		Object.defineProperty(o, name, { get: () => request[name],
			set: STREAM_PLACES.includes(name) ? (value) => { request[name] = value; } : undefined });
	return o;
}

/* {stream, done}: "done" is settled with the server's answer */
function openStream(id, mark) {
	const agent = new http.Agent({ keepAlive: true, maxSockets: 1 });
	agent.createConnection = (options, connected) => net.createConnection({ ...options, highWaterMark: mark }, connected);
	let request, begun = false;
	const done = new Promise((settle, fail) => {
		request = http.request({ host: HOST, port: PORT, method: "POST", path: `${API}/invocation/${id}/response`, agent, headers: {
			"Lambda-Runtime-Function-Response-Mode": "streaming", "Content-Type": "application/octet-stream",
			"Trailer": ["Lambda-Runtime-Function-Error-Type", "Lambda-Runtime-Function-Error-Body"] } }, (answer) => {
			answer.on("aborted", fail);
			answer.on("end", () => { agent.destroy(); settle(); });
			answer.resume();
		});
		request.on("error", fail);
	});
	const write = request.write.bind(request);
	request.setContentType = (type) => {
		if (begun)
			throw runtimeError("InvalidStreamingOperation", "Cannot set content-type, too late.");
		request.setHeader("Content-Type", type);
	};
	request.write = (chunk, encoding, callback) => {
		if (typeof chunk !== "string" && !Buffer.isBuffer(chunk) && chunk?.constructor !== Uint8Array)
			chunk = JSON.stringify(chunk);
		if (!begun && typeof request._onBeforeFirstWrite === "function")
			request._onBeforeFirstWrite((part) => write(part));
		begun = true;
		return write(chunk, encoding, callback);
	};
	const end = request.end.bind(request);
	request.end = (...words) => {
		// http's end() writes what it is given by itself, past the write() above
		if (words.length && typeof words[0] !== "function" && words[0] !== null && words[0] !== undefined)
			request.write(...words.splice(0, typeof words[1] === "function" ? 1 : 2).filter((w) => typeof w !== "function"));
		return end(words.find((w) => typeof w === "function"));
	};
	const stream = onlyWritable(request);
	failures.set(stream, (error) => {
		const o = told(error);
		request.addTrailers({ "Lambda-Runtime-Function-Error-Type": o.errorType,
			"Lambda-Runtime-Function-Error-Body": Buffer.from(JSON.stringify(o)).toString("base64") });
		return new Promise((ended) => end(ended));
	});
	return { stream, done };
}

class HttpResponseStream {
	static from(stream, prelude) {
		stream.setContentType("application/vnd.awslambda.http-integration-response");
		stream._onBeforeFirstWrite = (write) => {
			write(JSON.stringify(prelude));
			write(new Uint8Array(8));
		};
		return stream;
	}
}

globalThis.awslambda = {
	streamifyResponse: (handler, options) => {
		handler[STREAMING] = "response";
		if (typeof options?.highWaterMark === "number")
			handler[HIGH_WATER_MARK] = parseInt(options.highWaterMark);
		return handler;
	},
	HttpResponseStream,
};

// ---- the handler

function isModulePackage(folder) {
	for (;;) {
		const file = path.join(folder, "package.json");
		if (folder.endsWith("/node_modules"))
			return false;
		if (fs.existsSync(file)) {
			try {
				return JSON.parse(fs.readFileSync(file)).type === "module";
			} catch (e) {
				console.warn(`${file} cannot be read, it will be ignored for ES module detection purposes.`, e);
				return false;
			}
		}
		if (folder === "/")
			return false;
		folder = path.dirname(folder);
	}
}

/* AWS's order: the name itself, .js as its package says, .mjs, .cjs, then a package of that name */
async function loadModule(root, folder, name) {
	const file = path.resolve(root, folder, name);
	const asModule = fs.existsSync(`${file}.js`) && isModulePackage(path.dirname(file));
	if (fs.existsSync(file))
		return require(file);
	if (fs.existsSync(`${file}.js`))
		return asModule ? import(`${file}.js`) : require(`${file}.js`);
	if (fs.existsSync(`${file}.mjs`))
		return import(`${file}.mjs`);
	if (fs.existsSync(`${file}.cjs`))
		return require(`${file}.cjs`);
	return require(require.resolve(name, { paths: [root, folder] }));
}

async function load(root, handler) {
	if (handler.includes(".."))
		throw runtimeError("MalformedHandlerName",
			`'${handler}' is not a valid handler name. Use absolute paths when specifying root directories in handler names.`);
	const base = path.basename(handler);
	const parts = base.match(/^([^.]*)\.(.*)$/);
	if (!parts)
		throw runtimeError("MalformedHandlerName", "Bad handler");
	let found;
	try {
		found = await loadModule(root, handler.slice(0, handler.indexOf(base)), parts[1]);
	} catch (e) {
		if (e instanceof SyntaxError)
			throw runtimeError("UserCodeSyntaxError", e);
		if (e.code === "MODULE_NOT_FOUND")
			throw runtimeError("ImportModuleError", e);
		throw e;
	}
	const fn = parts[2].split(".").reduce((o, name) => o && o[name], found);
	if (!fn)
		throw runtimeError("HandlerNotFound", `${handler} is undefined or not exported`);
	if (typeof fn !== "function")
		throw runtimeError("HandlerNotFound", `${handler} is not a function`);
	return fn;
}

/* which kind of handler; a mark that isn't ours is a mistake */
function isStreaming(fn) {
	if (fn[STREAMING] === undefined || fn[STREAMING] === null || fn[STREAMING] === false)
		return false;
	if (fn[STREAMING] !== "response")
		throw runtimeError("MalformedStreamingHandler", "Only response streaming is supported.");
	return true;
}

// ---- invocations

const nothing = () => {};
let whenIdle = nothing;    // what is done when nothing is left to wait for
let uncaught = (error, status) => { postInitError(error); process.exit(status); };

function jsonOf(text, what) {
	if (text === undefined)
		return undefined;
	try {
		return JSON.parse(text);
	} catch (e) {
		throw new Error(`Cannot parse ${what} as json: ${e.toString()}`);
	}
}

/* what a context has besides the ways to answer */
function environmentOf(headers) {
	const deadline = Number(headers["lambda-runtime-deadline-ms"]);

	if (headers["lambda-runtime-trace-id"])
		process.env._X_AMZN_TRACE_ID = headers["lambda-runtime-trace-id"];
	else
		delete process.env._X_AMZN_TRACE_ID;
	return {
		functionVersion: process.env.AWS_LAMBDA_FUNCTION_VERSION,
		functionName: process.env.AWS_LAMBDA_FUNCTION_NAME,
		memoryLimitInMB: process.env.AWS_LAMBDA_FUNCTION_MEMORY_SIZE,
		logGroupName: process.env.AWS_LAMBDA_LOG_GROUP_NAME,
		logStreamName: process.env.AWS_LAMBDA_LOG_STREAM_NAME,
		clientContext: jsonOf(headers["lambda-runtime-client-context"], "ClientContext"),
		identity: jsonOf(headers["lambda-runtime-cognito-identity"], "CognitoIdentity"),
		invokedFunctionArn: headers["lambda-runtime-invoked-function-arn"],
		awsRequestId: headers["lambda-runtime-aws-request-id"],
		tenantId: headers["lambda-runtime-aws-tenant-id"],
		getRemainingTimeInMillis: () => deadline - Date.now(),
	};
}

/* context.callbackWaitsForEmptyEventLoop */
function waiting() {
	let wait = true;
	return Object.defineProperty({}, "callbackWaitsForEmptyEventLoop",
		{ enumerable: true, get: () => wait, set: (value) => { wait = value; } });
}

/* an invocation is answered once; each way to answer counts its own first call, and whichever comes too late is told */
function answers(id, next) {
	const context = waiting();
	let complete = false;
	const give = (value) => {
		if (complete) {
			console.error("Invocation has already been reported as done. Cannot call complete more than once per invocation.");
			return;
		}
		complete = true;
		postResponse(id, value);
		next();
	};
	const giveError = (error) => {
		logError("Invoke Error", error);
		postError(id, error);
		next();
	};
	const done = (error, value) => {
		whenIdle = nothing;
		if (error !== undefined && error !== null)
			giveError(error);
		else
			give(value);
	};
	let finished = false;
	const once = (fn) => (...words) => {
		if (finished)
			return;
		fn(...words);    // one that throws doesn't count
		finished = true;
	};
	const callback = once((error, value) => {
		whenIdle = nothing;
		if (error !== undefined && error !== null)
			giveError(error);
		else if (context.callbackWaitsForEmptyEventLoop)
			whenIdle = () => setImmediate(() => give(value));
		else
			give(value);
	});
	context.succeed = once((value) => done(null, value));
	context.fail = once((error) => done(error === undefined || error === null ? "handled" : error, null));
	context.done = once(done);
	whenIdle = () => {
		complete = true;
		postResponse(id, null);
		next();
	};
	return { context, callback };
}

async function once(runtime, next) {
	const { headers, body } = await client.next();
	const id = requestId = headers["lambda-runtime-aws-request-id"];
	const { context, callback } = answers(id, next);

	uncaught = (error, status) => { postError(id, error); process.exit(status); };
	try {
		const result = runtime.handler(JSON.parse(body.toString()), Object.assign(context, environmentOf(headers)), callback);
		if (result && typeof result.then === "function")
			result.then(context.succeed, context.fail).catch(context.fail);
	} catch (e) {
		callback(e);
	}
}

async function onceStreaming(runtime, next) {
	const { headers, body } = await client.next();
	const id = requestId = headers["lambda-runtime-aws-request-id"];
	const context = waiting();
	const { stream, done } = openStream(id, runtime.handler[HIGH_WATER_MARK]);
	const go_on = () => {
		whenIdle = nothing;
		if (context.callbackWaitsForEmptyEventLoop)
			whenIdle = () => setImmediate(next);
		else
			next();
	};
	const fail = (error) => {
		logError("Invoke Error", error);
		void failures.get(stream)(error).then(go_on);
	};

	uncaught = (error, status) => { postError(id, error); process.exit(status); };
	whenIdle = next;
	try {
		const result = runtime.handler(JSON.parse(body.toString()), stream, Object.assign(context, environmentOf(headers)));
		if (!result || typeof result.then !== "function") {
			fail("Streaming does not support non-async handlers.");
			return;
		}
		if (await result !== undefined)
			console.warn("Streaming handlers ignore return values.");
		await done;
		if (stream.writableFinished)
			go_on();
		else
			fail("Response stream is not finished.");
	} catch (e) {
		fail(e);
	}
}

patchConsole();
process.on("beforeExit", () => whenIdle());
process.on("uncaughtException", (e) => {
	logError("Uncaught Exception", e);
	uncaught(e, 129);
});
process.on("unhandledRejection", (reason, promise) => {
	const e = Object.assign(runtimeError("UnhandledPromiseRejection", reason), { reason, promise });
	logError("Unhandled Promise Rejection", e);
	uncaught(e, 128);
});
await client.connect();
// its name is in stacks, and it is what handlers that are functions have as "this"
class Runtime {
	constructor(handler) {
		this.handler = handler;
	}
}

const runtime = new Runtime(await load(process.cwd(), process.env._HANDLER));
const serve = isStreaming(runtime.handler) ? onceStreaming : once;
const next = () => setImmediate(() => void serve(runtime, next));
next();
