// SPDX-License-Identifier: MIT
package vpclab;

import java.beans.Introspector;
import java.lang.reflect.Array;
import java.lang.reflect.Constructor;
import java.lang.reflect.Field;
import java.lang.reflect.GenericArrayType;
import java.lang.reflect.InvocationTargetException;
import java.lang.reflect.Method;
import java.lang.reflect.Modifier;
import java.lang.reflect.ParameterizedType;
import java.lang.reflect.Type;
import java.lang.reflect.TypeVariable;
import java.lang.reflect.WildcardType;
import java.math.BigDecimal;
import java.math.BigInteger;
import java.util.ArrayDeque;
import java.util.ArrayList;
import java.util.Collection;
import java.util.Date;
import java.util.IdentityHashMap;
import java.util.LinkedHashMap;
import java.util.LinkedHashSet;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import java.util.Set;
import java.util.TreeMap;
import java.util.UUID;

/**
 * JSON to and from objects: maps, lists, arrays, numbers, enums, and beans by their getters and setters (or public fields), as AWS's
 * runtime reads and writes them: a member that has no setter is passed over, names are compared without case where none is equal.
 * A JRE has none of its own, and a library on the class path would be the function's, too.
 */
final class Json {
	private static final int DEPTH_MAX = 512;

	/** What can't be read or written. */
	static final class Fault extends RuntimeException {
		private static final long serialVersionUID = 1;

		Fault(String message, Throwable cause) {
			super(message, cause);
		}
	}

	private Json() {
	}

	// ---- text to maps, lists, strings, numbers, booleans and null

	private static final class Reader {
		final String s;
		int at;

		Reader(String s) {
			this.s = s;
		}

		Fault fault(String what) {
			return new Fault(what + " at character " + at, null);
		}

		char peek() {
			while (at < s.length() && " \t\r\n".indexOf(s.charAt(at)) >= 0)
				at++;
			if (at == s.length())
				throw fault("unexpected end");
			return s.charAt(at);
		}

		void expect(char c) {
			if (peek() != c)
				throw fault("'" + c + "' expected");
			at++;
		}

		Object value(int depth) {
			if (depth > DEPTH_MAX)
				throw fault("too many levels");
			switch (peek()) {
			case '{':
				return object(depth);
			case '[':
				return list(depth);
			case '"':
				return string();
			case 't':
				return word("true", Boolean.TRUE);
			case 'f':
				return word("false", Boolean.FALSE);
			case 'n':
				return word("null", null);
			default:
				return number();
			}
		}

		Object word(String word, Object value) {
			if (!s.startsWith(word, at))
				throw fault("not a value");
			at += word.length();
			return value;
		}

		Map<String, Object> object(int depth) {
			Map<String, Object> o = new LinkedHashMap<>();

			at++;
			if (peek() == '}') {
				at++;
				return o;
			}
			for (;;) {
				if (peek() != '"')
					throw fault("a member's name expected");
				String name = string();
				expect(':');
				o.put(name, value(depth + 1));
				if (peek() == '}')
					break;
				expect(',');
			}
			at++;
			return o;
		}

		List<Object> list(int depth) {
			List<Object> l = new ArrayList<>();

			at++;
			if (peek() == ']') {
				at++;
				return l;
			}
			for (;;) {
				l.add(value(depth + 1));
				if (peek() == ']')
					break;
				expect(',');
			}
			at++;
			return l;
		}

		String string() {
			StringBuilder b = new StringBuilder();

			for (at++; at < s.length() && s.charAt(at) != '"'; at++) {
				char c = s.charAt(at);

				if (c != '\\') {
					b.append(c);
					continue;
				}
				if (++at == s.length())
					break;
				c = s.charAt(at);
				if (c == 'u') {
					if (at + 4 >= s.length())
						break;
					b.append((char)Integer.parseInt(s.substring(at + 1, at + 5), 16));
					at += 4;
				} else {
					int i = "bfnrt".indexOf(c);
					b.append(i < 0 ? c : "\b\f\n\r\t".charAt(i));
				}
			}
			if (at >= s.length())
				throw fault("a string without an end");
			at++;
			return b.toString();
		}

		Object number() {
			int from = at;

			while (at < s.length() && "+-.eE0123456789".indexOf(s.charAt(at)) >= 0)
				at++;
			String text = s.substring(from, at);
			try {
				if (text.indexOf('.') >= 0 || text.indexOf('e') >= 0 || text.indexOf('E') >= 0)
					return Double.valueOf(text);
				BigInteger n = new BigInteger(text);
				if (n.bitLength() < 32)
					return n.intValue();
				return n.bitLength() < 64 ? (Object)n.longValue() : n;
			} catch (NumberFormatException e) {
				throw fault("not a value");
			}
		}
	}

	static Object parse(String text) {
		Reader r = new Reader(text);
		Object o = r.value(0);

		while (r.at < text.length())
			if (" \t\r\n".indexOf(text.charAt(r.at++)) < 0)
				throw r.fault("something follows the value");
		return o;
	}

	// ---- those to a type

	static Class<?> raw(Type t) {
		if (t instanceof Class)
			return (Class<?>)t;
		if (t instanceof ParameterizedType)
			return raw(((ParameterizedType)t).getRawType());
		if (t instanceof GenericArrayType)
			return Array.newInstance(raw(((GenericArrayType)t).getGenericComponentType()), 0).getClass();
		if (t instanceof WildcardType)
			return raw(((WildcardType)t).getUpperBounds()[0]);
		if (t instanceof TypeVariable)
			return raw(((TypeVariable<?>)t).getBounds()[0]);
		return Object.class;
	}

	private static Type argument(Type t, int idx) {
		if (t instanceof ParameterizedType && ((ParameterizedType)t).getActualTypeArguments().length > idx)
			return ((ParameterizedType)t).getActualTypeArguments()[idx];
		return Object.class;
	}

	private static Fault mismatch(Object o, Type t) {
		return new Fault("Cannot deserialize value of type `" + t.getTypeName() + "` from " +
			(o instanceof Map ? "an object" : o instanceof List ? "an array" : "`" + o + "`"), null);
	}

	private static Object number(Object o, Class<?> c) {
		BigDecimal n;

		try {
			n = new BigDecimal(o.toString().trim());
		} catch (NumberFormatException e) {
			throw mismatch(o, c);
		}
		if (c == int.class || c == Integer.class)
			return n.intValue();
		if (c == long.class || c == Long.class)
			return n.longValue();
		if (c == double.class || c == Double.class || c == Number.class)
			return n.doubleValue();
		if (c == float.class || c == Float.class)
			return n.floatValue();
		if (c == short.class || c == Short.class)
			return n.shortValue();
		if (c == byte.class || c == Byte.class)
			return n.byteValue();
		return c == BigInteger.class ? (Object)n.toBigInteger() : n;
	}

	private static boolean isNumber(Class<?> c) {
		return Number.class.isAssignableFrom(c) || c.isPrimitive() && c != boolean.class && c != char.class;
	}

	@SuppressWarnings({ "unchecked", "rawtypes" })
	static Object convert(Object o, Type t) {
		Class<?> c = raw(t);

		if (o == null) {
			if (c.isPrimitive())
				return c == boolean.class ? (Object)false : c == char.class ? (Object)'\0' : number(0, c);
			return c == Optional.class ? Optional.empty() : null;
		}
		if (c == Object.class)
			return o;
		if (c == String.class || c == CharSequence.class) {
			if (o instanceof Map || o instanceof List)
				throw mismatch(o, t);
			return o.toString();
		}
		if (isNumber(c))
			return number(o, c);
		if (c == boolean.class || c == Boolean.class) {
			if (!(o instanceof Boolean) && !"true".equals(o) && !"false".equals(o))
				throw mismatch(o, t);
			return Boolean.valueOf(o.toString());
		}
		if (c == char.class || c == Character.class) {
			if (o.toString().length() != 1)
				throw mismatch(o, t);
			return o.toString().charAt(0);
		}
		if (c == Optional.class)
			return Optional.of(convert(o, argument(t, 0)));
		if (c == UUID.class)
			return UUID.fromString(o.toString());
		if (c == Date.class)
			return o instanceof Number ? new Date(((Number)o).longValue()) : Date.from(java.time.Instant.parse(o.toString()));
		if (c.isEnum())
			return Enum.valueOf((Class)c, o.toString());
		if (Map.class.isAssignableFrom(c))
			return map(o, t, c);
		if (c.isArray() || Collection.class.isAssignableFrom(c) || c == Iterable.class)
			return many(o, t, c);
		return bean(o, c);
	}

	@SuppressWarnings("unchecked")
	private static Object map(Object o, Type t, Class<?> c) {
		if (!(o instanceof Map))
			throw mismatch(o, t);
		Map<Object, Object> m = c.isInterface() || c == LinkedHashMap.class ?
			(c.isAssignableFrom(TreeMap.class) && c != Map.class ? new TreeMap<>() : new LinkedHashMap<>()) :
			(Map<Object, Object>)make(c);
		for (Map.Entry<String, Object> e : ((Map<String, Object>)o).entrySet())
			m.put(convert(e.getKey(), argument(t, 0)), convert(e.getValue(), argument(t, 1)));
		return m;
	}

	@SuppressWarnings("unchecked")
	private static Object many(Object o, Type t, Class<?> c) {
		if (!(o instanceof List))
			throw mismatch(o, t);
		List<Object> l = (List<Object>)o;
		if (c.isArray()) {
			Type of = t instanceof GenericArrayType ? ((GenericArrayType)t).getGenericComponentType() : c.getComponentType();
			Object a = Array.newInstance(c.getComponentType(), l.size());

			for (int i = 0; i < l.size(); i++)
				Array.set(a, i, convert(l.get(i), of));
			return a;
		}
		Collection<Object> all = !c.isInterface() ? (Collection<Object>)make(c) :
			Set.class.isAssignableFrom(c) ? new LinkedHashSet<>() :
			c.isAssignableFrom(ArrayList.class) ? new ArrayList<>() : new ArrayDeque<>();
		for (Object each : l)
			all.add(convert(each, argument(t, 0)));
		return all;
	}

	private static Object make(Class<?> c) {
		try {
			Constructor<?> k = c.getDeclaredConstructor();

			k.setAccessible(true);
			return k.newInstance();
		} catch (InvocationTargetException e) {
			throw new Fault(c.getName() + ": " + e.getCause(), e.getCause());
		} catch (ReflectiveOperationException e) {
			throw new Fault("Cannot construct instance of `" + c.getName() + "`: it has no constructor without arguments", e);
		}
	}

	private static Method setter(Class<?> c, String name) {
		Method like = null;

		for (Method m : c.getMethods()) {
			if (m.getParameterCount() != 1 || !m.getName().startsWith("set") || m.getName().length() < 4 ||
			    Modifier.isStatic(m.getModifiers()))
				continue;
			String property = Introspector.decapitalize(m.getName().substring(3));
			if (property.equals(name))
				return m;
			if (property.equalsIgnoreCase(name))
				like = m;
		}
		return like;
	}

	@SuppressWarnings("unchecked")
	private static Object bean(Object o, Class<?> c) {
		if (!(o instanceof Map)) {
			/* one that is made from a string or a number */
			try {
				return c.getConstructor(o.getClass()).newInstance(o);
			} catch (ReflectiveOperationException e) {
				throw mismatch(o, c);
			}
		}
		Object bean = make(c);
		for (Map.Entry<String, Object> e : ((Map<String, Object>)o).entrySet()) {
			Method m = setter(c, e.getKey());

			try {
				if (m != null) {
					m.setAccessible(true);
					m.invoke(bean, convert(e.getValue(), m.getGenericParameterTypes()[0]));
					continue;
				}
				Field f = c.getField(e.getKey());
				if (!Modifier.isStatic(f.getModifiers()))
					f.set(bean, convert(e.getValue(), f.getGenericType()));
			} catch (NoSuchFieldException none) {
				continue;
			} catch (InvocationTargetException thrown) {
				throw new Fault(c.getName() + "." + e.getKey() + ": " + thrown.getCause(), thrown.getCause());
			} catch (IllegalAccessException why) {
				throw new Fault(c.getName() + "." + e.getKey() + ": " + why.getMessage(), why);
			}
		}
		return bean;
	}

	// ---- objects to text

	private static void string(StringBuilder b, String s) {
		b.append('"');
		for (int i = 0; i < s.length(); i++) {
			char c = s.charAt(i);
			int known = "\b\f\n\r\t\"\\".indexOf(c);

			if (known >= 0)
				b.append('\\').append("bfnrt\"\\".charAt(known));
			else if (c < 0x20)
				b.append(String.format("\\u%04x", (int)c));
			else
				b.append(c);
		}
		b.append('"');
	}

	private static void bean(StringBuilder b, Object o, Map<Object, Object> path) {
		Map<String, Object> members = new TreeMap<>();

		try {
			for (Field f : o.getClass().getFields())
				if (!Modifier.isStatic(f.getModifiers()))
					members.put(f.getName(), f.get(o));
			for (Method m : o.getClass().getMethods()) {
				String name = m.getName();
				int skip = name.startsWith("get") ? 3 : name.startsWith("is") && m.getReturnType() == boolean.class ? 2 : 0;

				if (skip == 0 || name.length() == skip || m.getParameterCount() != 0 || m.getReturnType() == void.class ||
				    Modifier.isStatic(m.getModifiers()) || m.getDeclaringClass() == Object.class)
					continue;
				m.setAccessible(true);
				members.put(Introspector.decapitalize(name.substring(skip)), m.invoke(o));
			}
		} catch (InvocationTargetException e) {
			throw new Fault(o.getClass().getName() + ": " + e.getCause(), e.getCause());
		} catch (ReflectiveOperationException e) {
			throw new Fault(o.getClass().getName() + ": " + e.getMessage(), e);
		}
		value(b, members, path);
	}

	private static void value(StringBuilder b, Object o, Map<Object, Object> path) {
		String comma = "";

		if (o == null || o instanceof Boolean) {
			b.append(o);
		} else if (o instanceof Number) {
			/* JSON has no NaN and no infinity */
			b.append(o instanceof Double && !Double.isFinite((Double)o) ? "\"" + o + "\"" : o.toString());
		} else if (o instanceof CharSequence || o instanceof Character || o instanceof Enum || o instanceof UUID ||
			   o instanceof java.time.temporal.TemporalAccessor) {
			string(b, o.toString());
		} else if (o instanceof Date) {
			b.append(((Date)o).getTime());
		} else if (o instanceof Optional) {
			value(b, ((Optional<?>)o).orElse(null), path);
		} else if (path.put(o, o) != null || path.size() > DEPTH_MAX) {
			throw new Fault("Infinite recursion or too many levels in " + o.getClass().getName(), null);
		} else {
			if (o instanceof Map) {
				b.append('{');
				for (Map.Entry<?, ?> e : ((Map<?, ?>)o).entrySet()) {
					b.append(comma);
					string(b, String.valueOf(e.getKey()));
					b.append(':');
					value(b, e.getValue(), path);
					comma = ",";
				}
				b.append('}');
			} else if (o instanceof Iterable) {
				b.append('[');
				for (Object each : (Iterable<?>)o) {
					b.append(comma);
					value(b, each, path);
					comma = ",";
				}
				b.append(']');
			} else if (o.getClass().isArray()) {
				b.append('[');
				for (int i = 0; i < Array.getLength(o); i++) {
					b.append(comma);
					value(b, Array.get(o, i), path);
					comma = ",";
				}
				b.append(']');
			} else {
				bean(b, o, path);
			}
			path.remove(o);
		}
	}

	static String print(Object o) {
		StringBuilder b = new StringBuilder();

		value(b, o, new IdentityHashMap<>());
		return b.toString();
	}
}
