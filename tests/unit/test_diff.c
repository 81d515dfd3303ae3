/* SPDX-License-Identifier: MIT */
/*
 * test_diff - program_diff() over random stores: applying diff(a, b) to a gives b,
 * diffing again is empty, and the order is one that a kernel takes.
 */
#include "tests/unit/model.h"

#define N_LABS 300

static void add_places(struct store *s, struct random *r)
{
	size_t i;

	for (i = 0; i < s->n_egresses; i++)
		for (unsigned n = rnd(r, 4); n > 0; n--)
			assert_int_equal(store_place_add(s, s->egresses[i]->ns,
							 rnd(r, 2) ? "token" : NULL, NULL),
					 0);
}

/* each lab from nothing, to the next one as its successor, and to nothing */
static void test_random_labs(void **state)
{
	struct random r = { 4711 };
	struct program none, before;
	struct store *old = NULL;
	size_t most = 0;

	(void)state;
	program_init(&none);
	program_init(&before);
	for (uint64_t i = 1; i <= N_LABS; i++) {
		char *text = random_lab(i);
		struct store *s = store_of(old, text, NULL);
		struct program p;
		size_t n;

		add_places(s, &r);
		p = program_of(s);
		n = assert_diff_leads(&before, &p);
		most = n > most ? n : most;
		if (i % 10 == 0) {
			assert_diff_leads(&none, &p);
			assert_diff_leads(&p, &none);
			assert_diff_leads(&p, &before);
		}
		store_free(old);
		program_done(&before);
		old = s;
		before = p;
		free(text);
	}
	assert_true(most > 100);
	assert_diff_leads(&before, &none);
	store_free(old);
	program_done(&before);
}

/* the same document once more: the same store, and nothing to do */
static void test_same_again(void **state)
{
	struct random r = { 815 };

	(void)state;
	for (uint64_t i = 1; i <= 60; i++) {
		char *text = random_lab(i);
		struct store *s = store_of(NULL, text, NULL), *t;
		struct program p, q;
		struct step *steps;
		size_t n;

		add_places(s, &r);
		t = store_of(s, text, NULL);
		p = program_of(s);
		q = program_of(t);
		assert_int_equal(program_diff(&p, &q, &steps, &n), 0);
		assert_int_equal(n, 0);
		free(steps);
		program_done(&p);
		program_done(&q);
		store_free(s);
		store_free(t);
		free(text);
	}
}

/* unrelated stores with equal names: everything may differ, the way still leads */
static void test_strangers(void **state)
{
	(void)state;
	for (uint64_t i = 1; i < N_LABS; i += 7) {
		char *x = random_lab(i), *y = random_lab(i + 3);
		struct store *a = store_of(NULL, x, NULL), *b = store_of(NULL, y, NULL);
		struct program p = program_of(a), q = program_of(b);

		assert_diff_leads(&p, &q);
		assert_diff_leads(&q, &p);
		program_done(&p);
		program_done(&q);
		store_free(a);
		store_free(b);
		free(x);
		free(y);
	}
}

/* half of the way, then back: undo is the diff from what was acknowledged */
static void test_undo_from_anywhere(void **state)
{
	char *x = random_lab(5), *y = random_lab(6);
	struct store *a = store_of(NULL, x, NULL), *b = store_of(a, y, NULL);
	struct program p = program_of(a), q = program_of(b);
	struct step *steps;
	size_t n;

	(void)state;
	assert_int_equal(program_diff(&p, &q, &steps, &n), 0);
	for (size_t stop = 0; stop <= n; stop += 3) {
		struct program k;

		assert_int_equal(program_copy(&p, &k), 0);
		for (size_t i = 0; i < stop; i++)
			kernel_step(&k, &steps[i]);
		assert_diff_leads(&k, &p);
		program_done(&k);
	}
	free(steps);
	program_done(&p);
	program_done(&q);
	store_free(a);
	store_free(b);
	free(x);
	free(y);
}

static void test_places_are_part_of_the_whole(void **state)
{
	struct store *s = store_of(NULL,
				   "{\"version\":1,\"lab\":\"x\",\"functions\":"
				   "{\"f\":{\"runtime\":\"exec\",\"command\":[\"cat\"]}}}",
				   NULL);
	struct program without = program_of(s), with, place, k;
	struct s_place *pl;
	struct step *steps;
	struct err e = { 0 };
	size_t n;
	char *have, *want;

	(void)state;
	assert_int_equal(store_place_add(s, "service", NULL, &pl), 0);
	with = program_of(s);
	assert_int_equal(compile_place(store_egress(s, "service"), pl, &place, &e), 0);
	assert_int_equal(program_copy(&without, &k), 0);
	for (size_t i = 0; i < place.n; i++)
		program_set(&k, &place.items[i]);
	have = text_of(&k);
	want = text_of(&with);
	assert_string_equal(have, want);
	assert_int_equal(program_diff(&without, &with, &steps, &n), 0);
	assert_int_equal(n, place.n);
	free(steps);
	free(have);
	free(want);
	program_done(&without);
	program_done(&with);
	program_done(&place);
	program_done(&k);
	store_free(s);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_random_labs),
		cmocka_unit_test(test_same_again),
		cmocka_unit_test(test_strangers),
		cmocka_unit_test(test_undo_from_anywhere),
		cmocka_unit_test(test_places_are_part_of_the_whole),
	};

	return cmocka_run_group_tests_name("diff", tests, NULL, NULL);
}
