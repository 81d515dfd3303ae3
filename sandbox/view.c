/* SPDX-License-Identifier: MIT */
/*
 * view - see view.h.
 *
 * A node's folder:  tmp run var    its own, as long as the node lives
 *                   etc            what stands over the host's /etc (resolv.conf, hosts)
 *                   over/PATH      its "files" below the host's read-only folders
 */
#include "sandbox/view.h"

#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <pwd.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include "lib/mutant.h"
#include "lib/util.h"
#include "sandbox/code.h"
#include "sandbox/limits.h"
#include "sandbox/package.h"
#include "sandbox/runtime.h"
#include "sandbox/wire.h"

/* programs and their libraries; on most hosts all but /usr are links into it */
static const char *const system_folders[] = { "/usr",	"/bin",	  "/sbin",  "/lib",
					      "/lib32", "/lib64", "/libx32" };

static void add_host_path(struct buf *b, const char *path, const char *how)
{
	char target[256];
	struct stat st;
	ssize_t n;

	if (lstat(path, &st) < 0)
		return;
	if (!S_ISLNK(st.st_mode)) {
		plan_add(b, how, path, path);
		return;
	}
	n = readlink(path, target, sizeof(target) - 1);
	if (n < 0)
		return;
	target[n] = '\0';
	plan_add(b, "link", path, target);
}

static void add_limit(struct buf *b, int which, unsigned long long soft, unsigned long long hard)
{
	char number[16], text[64];

	(void)snprintf(number, sizeof(number), "%d", which);
	(void)snprintf(text, sizeof(text), "%llu:%llu", soft, hard);
	plan_add(b, "rlimit", number, text);
}

/* ---- functions ---- */

/* what names it resolves, with an image's root, too */
static void name_files(struct buf *b, const struct func *f)
{
	char text[200];

	plan_add(b, "file", "/etc/resolv.conf", "nameserver " VIEW_RESOLVER "\n");
	(void)snprintf(text, sizeof(text), "127.0.0.1 localhost\n127.0.0.1 %.63s\n", f->name);
	plan_add(b, "file", "/etc/hosts", text);
}

static void function_etc(struct buf *b, const struct func *f, uint32_t uid)
{
	/* what libraries read, and nothing that tells of the host's users or secrets */
	static const char *const shared[] = {
		"/etc/ld.so.cache", "/etc/alternatives", "/etc/ssl/certs",  "/etc/localtime",
		"/etc/protocols",   "/etc/services",	 "/etc/mime.types",
	};
	char text[200];
	size_t i;

	plan_add(b, "dir", "/etc", "755");
	for (i = 0; i < ARRAY_SIZE(shared); i++)
		if (access(shared[i], F_OK) == 0)
			plan_add(b, "ro", shared[i], shared[i]);
	name_files(b, f);
	plan_add(b, "file", "/etc/nsswitch.conf",
		 "passwd: files\ngroup: files\nhosts: files dns\n");
	(void)snprintf(text, sizeof(text),
		       "root:x:0:0:root:/:/bin/false\n"
		       "sbx_user1051:x:%u:%u::/tmp:/bin/sh\n",
		       uid, uid);
	plan_add(b, "file", "/etc/passwd", text);
	(void)snprintf(text, sizeof(text), "root:x:0:\nsbx_user1051:x:%u:\n", uid);
	plan_add(b, "file", "/etc/group", text);
}

static void add_copy(struct buf *b, const struct func *f, const char *key, const char *path,
		     const char *digest)
{
	auto_free char *copy = code_place(f->slab->sd->dir.state, digest);

	if (copy)
		plan_add(b, key, path, copy);
	else
		b->failed = true;
}

static void function_code(struct buf *b, const struct func *f, const struct package *p)
{
	size_t i;

	/* the last one's files hide the others' (PKG-1) */
	for (i = p->n_layers; i--;)
		add_copy(b, f, "lower", "/opt",
			 p->layers[MUTANT("layers-order") ? p->n_layers - 1 - i : i]);
	if (p->n_layers)
		plan_add(b, "union", "/opt", NULL);
	else
		plan_add(b, "dir", "/opt", "755");
	if (p->code[0])
		add_copy(b, f, "ro", "/var/task", p->code);
	else
		plan_add(b, "dir", "/var/task", "755");
}

/* ---- images ---- */

static void add_strings(struct buf *b, const char *key, const cJSON *list)
{
	const cJSON *s;

	cJSON_ArrayForEach(s, list)
		if (cJSON_IsString(s))
			plan_add(b, key, s->valuestring, NULL);
}

static void add_args(struct buf *b, const struct strings *own, bool given, const cJSON *image)
{
	size_t i;

	if (!given || MUTANT("image-config"))
		add_strings(b, "arg", image);
	for (i = 0; i < own->n && given && !MUTANT("image-config"); i++)
		plan_add(b, "arg", own->v[i], NULL);
}

/* what runs in it, where, and its variables but for those that AWS sets itself */
static void image_program(struct buf *b, const struct func *f, const struct package *p)
{
	const struct function *s = f->spec;
	auto_json cJSON *config = image_config(f->slab->sd->dir.state, p->image.config);
	const char *cwd = json_str(config, "WorkingDir", "");
	const cJSON *v;

	if (!config) {
		b->failed = true;
		return;
	}
	add_args(b, &s->image_config.entry_point, s->image_config.has_entry_point,
		 json_get(config, "Entrypoint"));
	/* an own entry point makes the image's command nobody's, as docker has it */
	add_args(b, &s->image_config.command,
		 s->image_config.has_command || s->image_config.has_entry_point,
		 json_get(config, "Cmd"));
	if (s->image_config.working_directory[0])
		cwd = s->image_config.working_directory;
	plan_add(b, "cwd", cwd[0] ? cwd : "/", NULL);
	cJSON_ArrayForEach(v, json_get(config, "Env"))
		if (cJSON_IsString(v) && strchr(v->valuestring, '=') &&
		    strncmp(v->valuestring, "AWS_", 4) != 0 &&
		    strncmp(v->valuestring, "LAMBDA_", 7) != 0 && v->valuestring[0] != '_')
			plan_add(b, "env", v->valuestring, NULL);
}

/* the image's root, under what each environment has of its own */
static void image_root(struct buf *b, const struct func *f, const struct package *p)
{
	static const char *const folders[] = { "/tmp", "/proc", "/dev", "/var/task", "/opt" };
	size_t i;

	plan_add(b, "skeleton", NULL, NULL);
	for (i = 0; i < ARRAY_SIZE(folders); i++)
		plan_add(b, "dir", folders[i], "755");
	name_files(b, f);
	for (i = p->image.n_layers; i--;)
		add_copy(b, f, "lower", NULL, p->image.layers[i]);
	plan_add(b, "image", NULL, NULL);
}

static void host_root(struct buf *b, const struct func *f, uint32_t uid, const struct package *p)
{
	size_t i;

	for (i = 0; i < ARRAY_SIZE(system_folders); i++)
		add_host_path(b, system_folders[i], "ro");
	function_etc(b, f, uid);
	plan_add(b, "dir", "/var", "755");
	function_code(b, f, p);
	runtime_view(b, f->spec->runtime);
}

void view_image(struct buf *b, const struct func *f)
{
	struct package p;

	if (package_read(f->slab->sd->dir.state, f->code, &p) < 0)
		b->failed = true;
	else if (p.image.config[0])
		image_program(b, f, &p);
}

void view_function(struct buf *b, const struct func *f, uint32_t uid)
{
	const struct sandboxd *sd = f->slab->sd;
	char text[96], user[16];
	struct package p;

	plan_add(b, "root", sd->root, NULL);
	if (package_read(sd->dir.state, f->code, &p) < 0)
		b->failed = true;
	if (p.image.config[0])
		image_root(b, f, &p);
	else
		host_root(b, f, uid, &p);
	(void)snprintf(text, sizeof(text), "mode=1777,size=%um,nr_inodes=65536",
		       MUTANT("function-disk") ? 4096 : f->spec->ephemeral_storage);
	plan_add(b, "tmpfs", "/tmp", text);
	plan_add(b, "proc", "/proc", NULL);
	plan_add(b, "devs", "/dev", NULL);
	plan_add(b, "guard", "/proc", NULL);
	plan_add(b, "pivot", NULL, NULL);
	plan_add(b, "hostname", f->name, NULL);
	/* EX-11 */
	add_limit(b, RLIMIT_NOFILE, 1024, 1024);
	add_limit(b, RLIMIT_NPROC, 742, 742);
	add_limit(b, RLIMIT_STACK, 8 << 20, RLIM_INFINITY);
	add_limit(b, RLIMIT_MEMLOCK, 64 << 10, 64 << 10);
	add_limit(b, RLIMIT_CORE, 0, 0);
	(void)snprintf(user, sizeof(user), "%u", uid);
	plan_add(b, "user", user, user);
	plan_add(b, "group", user, NULL);
	plan_add(b, "seccomp", "function", NULL);
	plan_add(b, "cwd", "/var/task", NULL);
}

/* ---- nodes ---- */

char *view_node_path(const struct sandboxd *sd, const char *lab, const char *name)
{
	char *path;

	return asprintf(&path, "%s/nodes/%s/%s", sd->dir.run, lab, name) < 0 ? NULL : path;
}

static int make_dir_at(const char *folder, const char *name, int mode)
{
	auto_free char *path = NULL;
	int r;

	if (asprintf(&path, "%s/%s", folder, name) < 0) {
		path = NULL;
		return -ENOMEM;
	}
	r = mkdir_p(path, 0755);
	if (r < 0)
		return r;
	return chmod(path, (mode_t)mode) < 0 ? -errno : 0;
}

static int write_at(const char *folder, const char *name, const char *text)
{
	auto_free char *path = NULL;
	char *slash;
	int r;

	if (asprintf(&path, "%s/%s", folder, name) < 0) {
		path = NULL;
		return -ENOMEM;
	}
	slash = strrchr(path, '/');
	*slash = '\0';
	r = mkdir_p(path, 0755);
	*slash = '/';
	return r ? r : write_file_atomic(path, text, strlen(text), 0644);
}

/* the read-only folder of the host that a path is in; NULL: none */
static const char *host_folder(const char *path)
{
	static const char *const folders[] = { "/usr",	 "/bin",    "/sbin", "/lib", "/lib32",
					       "/lib64", "/libx32", "/etc",  "/opt" };
	size_t i;

	for (i = 0; i < ARRAY_SIZE(folders); i++) {
		size_t len = strlen(folders[i]);

		if (!strncmp(path, folders[i], len) && path[len] == '/')
			return folders[i];
	}
	return NULL;
}

static bool is_own(const char *path)
{
	return !strncmp(path, "/tmp/", 5) || !strncmp(path, "/run/", 5) ||
	       !strncmp(path, "/var/", 5);
}

static bool has_dots(const char *path)
{
	return strstr(path, "/../") || strstr(path, "/./") ||
	       (strlen(path) > 2 && !strcmp(path + strlen(path) - 3, "/.."));
}

static int write_files(const char *folder, const struct programs *p)
{
	size_t i;
	int r = 0;

	for (i = 0; p && i < p->n_files && !r; i++) {
		const char *path = p->files[i].path, *prefix = "";
		auto_free char *name = NULL;

		if (path[0] != '/' || has_dots(path))
			return -EINVAL;
		if (!is_own(path) && !host_folder(path))
			continue; /* the plan brings it */
		if (host_folder(path) && strncmp(path, "/etc/", 5) != 0)
			prefix = "over";
		if (asprintf(&name, "%s%s", prefix, path) < 0) {
			name = NULL;
			return -ENOMEM;
		}
		r = write_at(folder, name, p->files[i].text);
	}
	return r;
}

int view_node_folder(const struct slab *l, const char *name, const struct programs *p, char **ret)
{
	auto_free char *folder = view_node_path(l->sd, l->name, name);
	char hosts[200], host[80];
	int r;

	if (!folder)
		return -ENOMEM;
	(void)snprintf(hosts, sizeof(hosts), "127.0.0.1 localhost\n127.0.1.1 %.63s\n", name);
	(void)snprintf(host, sizeof(host), "%.63s\n", name);
	r = make_dir_at(folder, "tmp", 01777);
	if (!r)
		r = make_dir_at(folder, "run", 0755);
	if (!r)
		r = make_dir_at(folder, "var/tmp", 01777);
	if (!r)
		r = make_dir_at(folder, "var/lib", 0755);
	if (!r)
		r = make_dir_at(folder, "var/log", 0755);
	if (!r)
		r = make_dir_at(folder, "var/cache", 0755);
	if (!r)
		r = write_at(folder, "etc/resolv.conf", "nameserver " VIEW_RESOLVER "\n");
	if (!r)
		r = write_at(folder, "etc/hosts", hosts);
	if (!r)
		r = write_at(folder, "etc/hostname", host);
	if (!r)
		r = write_files(folder, p);
	if (!r)
		*ret = steal_ptr(&folder);
	return r;
}

static bool is_there(const char *folder, const char *name)
{
	auto_free char *path = NULL;

	if (asprintf(&path, "%s/%s", folder, name) < 0) {
		path = NULL;
		return false;
	}
	return access(path, F_OK) == 0;
}

/* a folder of the host's, under the node's own files where it has some there */
static void add_over(struct buf *b, const char *folder, const char *path, const char *own)
{
	auto_free char *lower = NULL;

	if (!is_there(folder, own)) {
		add_host_path(b, path, "rosuid");
		return;
	}
	if (asprintf(&lower, "%s/%s", folder, own) < 0) {
		lower = NULL;
		b->failed = true;
		return;
	}
	plan_add(b, "over", path, lower);
}

static void add_own(struct buf *b, const char *folder, const char *path)
{
	auto_free char *source = NULL;

	if (asprintf(&source, "%s%s", folder, path) < 0) {
		source = NULL;
		b->failed = true;
		return;
	}
	plan_add(b, "rw", path, source);
}

void view_node(struct buf *b, const struct sandboxd *sd, const char *folder, const char *name,
	       const struct programs *p)
{
	char own[40];
	size_t i;

	plan_add(b, "root", sd->root, NULL);
	for (i = 0; i < ARRAY_SIZE(system_folders); i++) {
		(void)snprintf(own, sizeof(own), "over%s", system_folders[i]);
		add_over(b, folder, system_folders[i], own);
	}
	if (access("/opt", F_OK) == 0)
		add_over(b, folder, "/opt", "over/opt");
	add_over(b, folder, "/etc", "etc");
	add_own(b, folder, "/tmp");
	add_own(b, folder, "/run");
	add_own(b, folder, "/var");
	plan_add(b, "dir", "/root", "700");
	plan_add(b, "proc", "/proc", NULL);
	plan_add(b, "devs", "/dev", NULL);
	plan_add(b, "guard", "/proc", NULL);
	for (i = 0; p && i < p->n_files; i++)
		if (!is_own(p->files[i].path) && !host_folder(p->files[i].path))
			plan_add(b, "file", p->files[i].path, p->files[i].text);
	plan_add(b, "pivot", NULL, NULL);
	plan_add(b, "hostname", name, NULL);
}

void view_host(struct buf *b)
{
	plan_add(b, "host", NULL, NULL);
}

/* ---- identity ---- */

static void add_user(struct buf *b, uid_t uid, gid_t gid)
{
	char u[16], g[16];

	(void)snprintf(u, sizeof(u), "%u", uid);
	(void)snprintf(g, sizeof(g), "%u", gid);
	plan_add(b, "user", u, g);
	plan_add(b, "caps", "program", NULL);
	plan_add(b, "seccomp", "program", NULL);
}

static void add_groups(struct buf *b, const char *user, gid_t gid)
{
	gid_t groups[64];
	int n = ARRAY_SIZE(groups), i;

	if (getgrouplist(user, gid, groups, &n) < 0)
		n = ARRAY_SIZE(groups);
	for (i = 0; i < n; i++)
		plan_addf(b, "group", "%u", groups[i]);
}

int view_user(struct buf *b, const char *user)
{
	const char *colon = strchr(user, ':');
	auto_free char *first = strndup(user, colon ? (size_t)(colon - user) : strlen(user));
	uint64_t uid, gid;
	struct passwd *pw;

	if (!first)
		return -ENOMEM;
	pw = getpwnam(first);
	if (pw && !colon) {
		add_user(b, pw->pw_uid, pw->pw_gid);
		add_groups(b, first, pw->pw_gid);
		return 0;
	}
	if (pw)
		uid = pw->pw_uid;
	else if (parse_u64(first, 0, UINT32_MAX - 1, &uid) < 0)
		return -ENOENT;
	gid = uid;
	if (colon && parse_u64(colon + 1, 0, UINT32_MAX - 1, &gid) < 0)
		return -ENOENT;
	add_user(b, (uid_t)uid, (gid_t)gid);
	return 0;
}
