/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * argp tables read as data, for messages and completion.
 *
 * getopt keeps to itself which option it did not like and why, so a bad
 * command line is read again here by the same rules: names may be cut short
 * while they stay unique, letters may be run together, and "--" ends options.
 */
#include <string.h>

#include "cmd.h"

/* argp's own rule for the end of a table. */
static bool is_end(const struct argp_option *opt)
{
	return !opt->key && !opt->name && !opt->doc && !opt->group;
}

bool cmd_option_is_short(const struct argp_option *opt)
{
	return !(opt->flags & OPTION_DOC) && opt->key > ' ' && opt->key < 127;
}

int cmd_options_each(const struct argp *argp,
		     struct cmd_option_visitor *visitor)
{
	struct cmd_option option = { NULL, NULL };
	int rc;

	for (option.opt = argp->options; option.opt && !is_end(option.opt);
	     option.opt++) {
		if (!(option.opt->flags & OPTION_ALIAS))
			option.real = option.opt;
		if (!option.opt->name && !option.opt->key)
			continue;	/* a heading */
		rc = visitor->visit(visitor, &option);
		if (rc)
			return rc;
	}
	for (const struct argp_child *child = argp->children;
	     child && child->argp; child++) {
		rc = cmd_options_each(child->argp, visitor);
		if (rc)
			return rc;
	}
	return 0;
}

struct long_search {
	struct cmd_option_visitor visitor;
	const char *name;
	size_t len;
	unsigned int count;
	struct cmd_option *out;
};

static int match_long(struct cmd_option_visitor *self,
		      const struct cmd_option *option)
{
	struct long_search *s = (struct long_search *)self;
	const char *name = option->opt->name;

	if (!name || strncmp(name, s->name, s->len))
		return 0;
	s->count++;
	*s->out = *option;
	if (!name[s->len]) {
		s->count = 1;
		return 1;
	}
	return 0;
}

unsigned int cmd_option_long(const struct argp *argp, const char *name,
			     size_t len, struct cmd_option *out)
{
	struct long_search s = {
		.visitor.visit = match_long,
		.name = name,
		.len = len,
		.out = out,
	};

	cmd_options_each(argp, &s.visitor);
	return s.count;
}

struct short_search {
	struct cmd_option_visitor visitor;
	int key;
	struct cmd_option *out;
};

static int match_short(struct cmd_option_visitor *self,
		       const struct cmd_option *option)
{
	struct short_search *s = (struct short_search *)self;

	if (!cmd_option_is_short(option->opt) || option->opt->key != s->key)
		return 0;
	*s->out = *option;
	return 1;
}

bool cmd_option_short(const struct argp *argp, int key, struct cmd_option *out)
{
	struct short_search s = {
		.visitor.visit = match_short,
		.key = key,
		.out = out,
	};

	return cmd_options_each(argp, &s.visitor);
}

/* The word at *p, less what marks it; returns what is behind it, or NULL. */
static const char *next_name(const char *p, char *buf, size_t size,
			     bool *optional, bool *repeats)
{
	size_t len;

	p += strspn(p, " ");
	len = strcspn(p, " ");
	if (!len)
		return NULL;
	*optional = p[0] == '[';
	snprintf(buf, size, "%.*s", (int)(len - *optional), p + *optional);
	buf[strcspn(buf, ".]")] = '\0';
	*repeats = memmem(p, len, "...", 3);
	return p + len;
}

bool cmd_args_doc(const char *args_doc, unsigned int i, char *buf, size_t size,
		  bool *optional)
{
	const char *again = NULL, *p, *word;
	bool repeats, behind = false;

	for (word = args_doc ? args_doc : ""; ; word = p) {
		p = next_name(word, buf, size, optional, &repeats);
		if (p && !strcmp(buf, "--")) {
			behind = true;
			continue;
		}
		*optional |= behind;
		if (!p || !i--)
			break;
		if (repeats)
			again = word;
	}
	if (p || !again)
		return p;
	/* More of what may come more than once. */
	next_name(again, buf, size, optional, &repeats);
	*optional = true;
	return true;
}

struct option_suggestion {
	struct cmd_option_visitor visitor;
	struct cmd_suggestion s;
};

static int suggest_option(struct cmd_option_visitor *self,
			  const struct cmd_option *option)
{
	struct option_suggestion *o = (struct option_suggestion *)self;

	if (option->opt->name && !(option->opt->flags & OPTION_HIDDEN))
		cmd_suggest_try(&o->s, "--", option->opt->name);
	return 0;
}

static int unknown_long(const struct argp *argp, const char *name,
			struct platter_error *err)
{
	struct option_suggestion o = { .visitor.visit = suggest_option };

	cmd_suggest_init(&o.s, name);
	cmd_options_each(argp, &o.visitor);
	return platter_error_set(err, -EINVAL,
				 "unrecognized option '--%s'%s%s%s", name,
				 o.s.text[0] ? "; did you mean '" : "",
				 o.s.text, o.s.text[0] ? "'?" : "");
}

static int no_value(const struct argp_option *real, const char *dashes,
		    const char *name, struct platter_error *err)
{
	return platter_error_set(err, -EINVAL,
				 "option '%s%s' needs a value, %s", dashes,
				 name, real->arg);
}

/* *value: the option takes the next word. */
static int check_long(const struct argp *argp, const char *word, bool last,
		      bool *value, struct platter_error *err)
{
	size_t len = strcspn(word, "=");
	struct cmd_option option;
	char name[64];
	unsigned int count = cmd_option_long(argp, word, len, &option);

	snprintf(name, sizeof(name), "%.*s", (int)len, word);
	if (!count)
		return unknown_long(argp, name, err);
	if (count > 1)
		return platter_error_set(err, -EINVAL,
					 "option '--%s' is ambiguous", name);
	if (!option.real->arg && word[len])
		return platter_error_set(err, -EINVAL,
					 "option '--%s' takes no value",
					 option.opt->name);
	*value = option.real->arg && !word[len] &&
		 !(option.real->flags & OPTION_ARG_OPTIONAL);
	if (*value && last)
		return no_value(option.real, "--", option.opt->name, err);
	return 0;
}

static int check_short(const struct argp *argp, const char *letters, bool last,
		       bool *value, struct platter_error *err)
{
	for (; *letters; letters++) {
		char name[2] = { *letters, 0 };
		struct cmd_option option;

		if (!cmd_option_short(argp, *letters, &option))
			return platter_error_set(err, -EINVAL,
						 "unrecognized option '-%c'",
						 *letters);
		if (!option.real->arg)
			continue;
		*value = !letters[1] &&
			 !(option.real->flags & OPTION_ARG_OPTIONAL);
		if (*value && last)
			return no_value(option.real, "-", name, err);
		break;
	}
	return 0;
}

int cmd_explain_options(const struct argp *argp, int argc, char *const *argv,
			struct platter_error *err)
{
	for (int i = 1; i < argc; i++) {
		const char *word = argv[i];
		bool value = false;
		int rc;

		if (word[0] != '-' || !word[1])
			continue;
		if (!strcmp(word, "--"))
			break;
		if (word[1] == '-')
			rc = check_long(argp, word + 2, i + 1 == argc, &value,
					err);
		else
			rc = check_short(argp, word + 1, i + 1 == argc, &value,
					 err);
		if (rc)
			return rc;
		i += value;
	}
	return platter_error_set(err, -EINVAL, "bad arguments");
}
