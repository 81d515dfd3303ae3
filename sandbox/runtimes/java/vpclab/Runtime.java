// SPDX-License-Identifier: MIT
package vpclab;

import com.amazonaws.services.lambda.runtime.Client;
import com.amazonaws.services.lambda.runtime.ClientContext;
import com.amazonaws.services.lambda.runtime.CognitoIdentity;
import com.amazonaws.services.lambda.runtime.Context;
import com.amazonaws.services.lambda.runtime.LambdaLogger;
import com.amazonaws.services.lambda.runtime.LambdaRuntime;
import com.amazonaws.services.lambda.runtime.RequestHandler;
import com.amazonaws.services.lambda.runtime.RequestStreamHandler;
import java.io.BufferedInputStream;
import java.io.ByteArrayInputStream;
import java.io.ByteArrayOutputStream;
import java.io.File;
import java.io.IOException;
import java.io.InputStream;
import java.io.OutputStream;
import java.lang.reflect.InvocationTargetException;
import java.lang.reflect.Method;
import java.lang.reflect.Modifier;
import java.lang.reflect.ParameterizedType;
import java.lang.reflect.Type;
import java.lang.reflect.TypeVariable;
import java.net.Socket;
import java.net.URL;
import java.net.URLClassLoader;
import java.nio.charset.StandardCharsets;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;

/**
 * The Java runtime: asks the Runtime API for events, calls the handler, answers (AWS's RAPI-1..4, EX-8).
 *
 * Handler "package.Class::method" or "package.Class" (of a RequestHandler or RequestStreamHandler); classes are looked for in
 * /var/task, /var/task/lib/*.jar and /opt/java/lib/*.jar. A method takes nothing, an event, an event and a Context, or streams.
 */
public final class Runtime {
	private static final String API = "/2018-06-01/runtime";

	private Runtime() {
	}

	/** One answer of the Runtime API. */
	private static final class Answer {
		final Map<String, String> headers = new LinkedHashMap<>();
		byte[] body = new byte[0];

		String get(String name) {
			return headers.get(name);
		}
	}

	/** One connection, kept; both ends always tell a length. */
	private static final class Api {
		private final String host;
		private final int port;
		private Socket socket;
		private InputStream in;

		Api(String where) {
			host = where.substring(0, where.indexOf(':'));
			port = Integer.parseInt(where.substring(where.indexOf(':') + 1));
		}

		private String line() throws IOException {
			StringBuilder b = new StringBuilder();
			int c;

			while ((c = in.read()) >= 0 && c != '\n')
				if (c != '\r')
					b.append((char)c);
			return b.toString();
		}

		private Answer read() throws IOException {
			Answer a = new Answer();

			line();
			for (String l = line(); !l.isEmpty(); l = line())
				a.headers.put(l.substring(0, l.indexOf(':')).toLowerCase(), l.substring(l.indexOf(':') + 1).trim());
			a.body = in.readNBytes(Integer.parseInt(a.headers.getOrDefault("content-length", "0")));
			return a;
		}

		Answer call(String method, String path, byte[] body, String errorType) throws IOException {
			System.out.flush();
			if (socket == null) {
				socket = new Socket(host, port);
				socket.setTcpNoDelay(true);
				in = new BufferedInputStream(socket.getInputStream());
			}
			String head = method + " " + API + path + " HTTP/1.1\r\nHost: " + host + ":" + port + "\r\n" +
				(errorType == null ? "" : "Lambda-Runtime-Function-Error-Type: " + errorType + "\r\n") +
				(body == null ? "" : "Content-Type: application/json\r\nContent-Length: " + body.length + "\r\n") + "\r\n";
			Answer a = null;
			try {
				OutputStream out = socket.getOutputStream();

				out.write(head.getBytes(StandardCharsets.ISO_8859_1));
				if (body != null)
					out.write(body);
				out.flush();
			} catch (IOException e) {
				/* refused before all of it was read: the answer says so */
				a = null;
			}
			try {
				a = read();
			} catch (IOException e) {
				a = new Answer();
				a.headers.put("connection", "close");
			}
			if ("close".equals(a.get("connection"))) {
				socket.close();
				socket = null;
			}
			return a;
		}
	}

	/** An error of the init phase, with AWS's name. */
	private static final class InitError extends Exception {
		private static final long serialVersionUID = 1;
		final String type;

		InitError(String type, String message) {
			super(message);
			this.type = type;
		}
	}

	// ---- errors

	private static boolean isOurs(StackTraceElement e) {
		return e.getClassName().startsWith("vpclab.");
	}

	private static boolean isReflection(StackTraceElement e) {
		return e.getClassName().startsWith("jdk.internal.reflect.") || e.getClassName().startsWith("java.lang.reflect.");
	}

	/* frames of the function's own: what is below them is ours */
	private static List<String> frames(Throwable t) {
		StackTraceElement[] all = t.getStackTrace();
		List<String> frames = new ArrayList<>();
		int n = 0;

		while (n < all.length && !isOurs(all[n]))
			n++;
		while (n > 0 && n < all.length && isReflection(all[n - 1]))
			n--;
		for (int i = 0; i < n; i++)
			frames.add(all[i].toString());
		return frames;
	}

	private static Map<String, Object> told(Throwable t) {
		Map<String, Object> o = new LinkedHashMap<>();

		o.put("errorMessage", t.getMessage());
		o.put("errorType", t instanceof InitError ? ((InitError)t).type : t.getClass().getName());
		o.put("stackTrace", frames(t));
		if (t.getCause() != null && t.getCause() != t)
			o.put("cause", told(t.getCause()));
		return o;
	}

	private static void logError(Throwable t) {
		StringBuilder b = new StringBuilder();
		String before = "";

		for (Throwable each = t; each != null; each = each.getCause() == each ? null : each.getCause()) {
			b.append(before);
			if (each.getMessage() != null)
				b.append(each.getMessage()).append(": ");
			b.append(each instanceof InitError ? ((InitError)each).type : each.getClass().getName()).append('\n');
			for (String frame : frames(each))
				b.append("\tat ").append(frame).append('\n');
			before = "Caused by: ";
		}
		System.out.print(b);
		System.out.flush();
	}

	// ---- the context

	private static Context contextOf(Answer a) {
		long deadline = Long.parseLong(a.get("lambda-runtime-deadline-ms"));
		ClientContext client = clientOf(a.get("lambda-runtime-client-context"));
		CognitoIdentity identity = identityOf(a.get("lambda-runtime-cognito-identity"));

		return new Context() {
			@Override public String getAwsRequestId() {
				return a.get("lambda-runtime-aws-request-id");
			}

			@Override public String getLogGroupName() {
				return System.getenv("AWS_LAMBDA_LOG_GROUP_NAME");
			}

			@Override public String getLogStreamName() {
				return System.getenv("AWS_LAMBDA_LOG_STREAM_NAME");
			}

			@Override public String getFunctionName() {
				return System.getenv("AWS_LAMBDA_FUNCTION_NAME");
			}

			@Override public String getFunctionVersion() {
				return System.getenv("AWS_LAMBDA_FUNCTION_VERSION");
			}

			@Override public String getInvokedFunctionArn() {
				return a.get("lambda-runtime-invoked-function-arn");
			}

			@Override public CognitoIdentity getIdentity() {
				return identity;
			}

			@Override public ClientContext getClientContext() {
				return client;
			}

			@Override public int getRemainingTimeInMillis() {
				return (int)Math.max(deadline - System.currentTimeMillis(), 0);
			}

			@Override public int getMemoryLimitInMB() {
				return Integer.parseInt(System.getenv("AWS_LAMBDA_FUNCTION_MEMORY_SIZE"));
			}

			@Override public LambdaLogger getLogger() {
				return LambdaRuntime.getLogger();
			}
		};
	}

	private static Map<String, String> strings(Object o) {
		Map<String, String> all = new LinkedHashMap<>();

		if (o instanceof Map)
			((Map<?, ?>)o).forEach((k, v) -> all.put(String.valueOf(k), v == null ? null : String.valueOf(v)));
		return all;
	}

	private static ClientContext clientOf(String text) {
		if (text == null)
			return null;
		Map<?, ?> whole = (Map<?, ?>)Json.parse(text);
		Map<String, String> of = strings(whole.get("client"));
		Client client = new Client() {
			@Override public String getInstallationId() {
				return of.get("installation_id");
			}

			@Override public String getAppTitle() {
				return of.get("app_title");
			}

			@Override public String getAppVersionName() {
				return of.get("app_version_name");
			}

			@Override public String getAppVersionCode() {
				return of.get("app_version_code");
			}

			@Override public String getAppPackageName() {
				return of.get("app_package_name");
			}
		};
		return new ClientContext() {
			@Override public Client getClient() {
				return client;
			}

			@Override public Map<String, String> getCustom() {
				return strings(whole.get("custom"));
			}

			@Override public Map<String, String> getEnvironment() {
				return strings(whole.get("env"));
			}
		};
	}

	private static CognitoIdentity identityOf(String text) {
		Map<String, String> of = strings(text == null ? null : Json.parse(text));

		return new CognitoIdentity() {
			@Override public String getIdentityId() {
				return of.get("cognitoIdentityId");
			}

			@Override public String getIdentityPoolId() {
				return of.get("cognitoIdentityPoolId");
			}
		};
	}

	// ---- the handler

	/** bytes to bytes. */
	private interface Handler {
		byte[] handle(byte[] event, Context context) throws Throwable;
	}

	/* a layer's jars after the function's own */
	private static ClassLoader loader() throws IOException {
		List<URL> urls = new ArrayList<>();

		urls.add(new File("/var/task/").toURI().toURL());
		for (String folder : new String[] { "/var/task/lib", "/opt/java/lib" }) {
			File[] jars = new File(folder).listFiles((dir, name) -> name.endsWith(".jar"));

			if (jars == null)
				continue;
			Arrays.sort(jars);
			for (File jar : jars)
				urls.add(jar.toURI().toURL());
		}
		return new URLClassLoader(urls.toArray(new URL[0]), Runtime.class.getClassLoader());
	}

	private static byte[] bytes(Object o) {
		return Json.print(o).getBytes(StandardCharsets.UTF_8);
	}

	private static Object event(byte[] bytes, Type type) {
		try {
			return Json.convert(Json.parse(new String(bytes, StandardCharsets.UTF_8)), type);
		} catch (Json.Fault e) {
			throw new RuntimeException("An error occurred during JSON parsing", e);
		}
	}

	/* the I of RequestHandler<I, O>, through classes in between */
	private static Type inputOf(Type t, Map<TypeVariable<?>, Type> known) {
		if (t == null)
			return null;
		if (t instanceof ParameterizedType) {
			ParameterizedType p = (ParameterizedType)t;
			TypeVariable<?>[] names = Json.raw(t).getTypeParameters();

			for (int i = 0; i < names.length; i++) {
				Type of = p.getActualTypeArguments()[i];
				known.put(names[i], known.getOrDefault(of, of));
			}
			if (p.getRawType() == RequestHandler.class)
				return known.get(names[0]);
		}
		Class<?> c = Json.raw(t);
		for (Type i : c.getGenericInterfaces()) {
			Type found = inputOf(i, known);

			if (found != null)
				return found;
		}
		return inputOf(c.getGenericSuperclass(), known);
	}

	private static Handler streams(RequestStreamHandler h) {
		return (event, context) -> {
			ByteArrayOutputStream out = new ByteArrayOutputStream();

			h.handleRequest(new ByteArrayInputStream(event), out, context);
			return out.toByteArray();
		};
	}

	@SuppressWarnings("unchecked")
	private static Handler values(RequestHandler<?, ?> h) {
		Type found = inputOf(h.getClass(), new LinkedHashMap<>());
		Type input = found == null ? Object.class : found;

		return (event, context) -> bytes(((RequestHandler<Object, Object>)h).handleRequest(event(event, input), context));
	}

	private static Handler method(Object target, Method m) {
		Class<?>[] types = m.getParameterTypes();

		m.setAccessible(true);
		return (event, context) -> {
			ByteArrayOutputStream out = new ByteArrayOutputStream();
			Object[] arguments = new Object[types.length];
			boolean streams = false;

			for (int i = 0; i < types.length; i++) {
				if (types[i] == Context.class) {
					arguments[i] = context;
				} else if (types[i] == InputStream.class) {
					arguments[i] = new ByteArrayInputStream(event);
				} else if (types[i] == OutputStream.class) {
					arguments[i] = out;
					streams = true;
				} else {
					arguments[i] = event(event, m.getGenericParameterTypes()[i]);
				}
			}
			try {
				Object got = m.invoke(target, arguments);

				return streams ? out.toByteArray() : bytes(got);
			} catch (InvocationTargetException e) {
				throw e.getCause();
			}
		};
	}

	private static Method find(Class<?> c, String name) throws InitError {
		Method best = null;

		for (Method m : c.getMethods()) {
			if (!m.getName().equals(name) || m.isBridge() || m.getParameterCount() > 3)
				continue;
			/* of several, the one with a Context, then with more parameters */
			if (best == null || m.getParameterCount() > best.getParameterCount())
				best = m;
		}
		if (best == null)
			throw new InitError("java.lang.NoSuchMethodException", "No public method named " + name +
				" with appropriate method signature found on class " + c.getName());
		return best;
	}

	private static Handler load(String handler) throws Throwable {
		String[] parts = handler.split("::", 2);
		Class<?> c;

		try {
			c = Class.forName(parts[0], true, Thread.currentThread().getContextClassLoader());
		} catch (ClassNotFoundException e) {
			throw new InitError("java.lang.ClassNotFoundException", "Class not found: " + parts[0]);
		} catch (ExceptionInInitializerError e) {
			throw e.getCause() != null ? e.getCause() : e;
		}
		boolean plain = parts.length == 1 || parts[1].equals("handleRequest");
		if (parts.length == 1 && !RequestHandler.class.isAssignableFrom(c) && !RequestStreamHandler.class.isAssignableFrom(c))
			throw new InitError("java.lang.Exception", "Handler " + parts[0] + " is no RequestHandler or RequestStreamHandler");
		Method m = plain && parts.length == 1 ? null : find(c, parts[1]);
		Object target = m != null && Modifier.isStatic(m.getModifiers()) ? null : instance(c);
		if (plain && target instanceof RequestStreamHandler)
			return streams((RequestStreamHandler)target);
		if (plain && target instanceof RequestHandler)
			return values((RequestHandler<?, ?>)target);
		return method(target, m);
	}

	private static Object instance(Class<?> c) throws Throwable {
		try {
			return c.getConstructor().newInstance();
		} catch (NoSuchMethodException e) {
			throw new InitError("java.lang.Exception", "Class " + c.getName() + " has no public zero-argument constructor");
		} catch (InvocationTargetException e) {
			throw e.getCause();
		}
	}

	// ---- invocations

	private static void invoke(Api api, Handler handler, Answer a) throws IOException {
		String path = "/invocation/" + a.get("lambda-runtime-aws-request-id");
		byte[] out;

		if (a.get("lambda-runtime-trace-id") != null)
			System.setProperty("com.amazonaws.xray.traceHeader", a.get("lambda-runtime-trace-id"));
		try {
			out = handler.handle(a.body, contextOf(a));
		} catch (Throwable t) {
			logError(t);
			api.call("POST", path + "/error", bytes(told(t)), t.getClass().getName());
			/* nothing can be relied on after these */
			if (t instanceof VirtualMachineError)
				System.exit(1);
			return;
		}
		api.call("POST", path + "/response", out, null);
	}

	public static void main(String[] arguments) throws IOException {
		Api api = new Api(System.getenv("AWS_LAMBDA_RUNTIME_API"));
		Handler handler = null;

		try {
			Thread.currentThread().setContextClassLoader(loader());
			handler = load(System.getenv("_HANDLER"));
		} catch (Throwable t) {
			Map<String, Object> o = told(t);

			logError(t);
			api.call("POST", "/init/error", bytes(o), (String)o.get("errorType"));
			System.exit(1);
		}
		for (;;)
			invoke(api, handler, api.call("GET", "/invocation/next", null, null));
	}
}
