# man-read.awk - the first half of tools/man: reads goro.h and docs/man/families.
#
#   goro.h -> [read_comment], [declare] -> docs, declarations -> man-write.awk <- families
#
# A "doc" is what one paragraph "name, name - what" opens, or a comment right above a declaration, or the
# prose of a banner. It has names, a summary and a text of each kind: desc, returns, panics, fatal, order, go.
# POSIX awk only: no intervals in patterns, no gensub.

function problem(text)
{
	problems++
	print "tools/man: " text >"/dev/stderr"
}

# ---- text to roff ------------------------------------------------------------------------------------

function escape(s)
{
	gsub(/\\/, "\\e", s)
	gsub(/ -/, " \\-", s)
	gsub(/\(-/, "(\\-", s)
	gsub(/^-/, "\\-", s)
	return s
}

function escape_code(s)
{
	gsub(/\\/, "\\e", s)
	gsub(/-/, "\\-", s)
	gsub(/'/, "\\(aq", s)
	gsub(/`/, "\\(ga", s)
	gsub(/\^/, "\\(ha", s)
	gsub(/~/, "\\(ti", s)
	if (s ~ /^\./)
		s = "\\\&" s
	return s
}

# Functions, constants and errors are bold.
function markup(s,    out, name, call, before)
{
	out = ""
	while (match(s, /-E[A-Z][A-Z0-9]+|GORO_[A-Z_]+[A-Z]|goro_[a-z0-9_]*[a-z0-9]|[A-Za-z_][A-Za-z0-9_]*\(\)/)) {
		name = substr(s, RSTART, RLENGTH)
		before = escape(substr(s, 1, RSTART - 1))
		s = substr(s, RSTART + RLENGTH)
		# \% : the word is not to be hyphenated; within the word it would be where to do so.
		if (match(before, / [^ ]*$/))
			before = substr(before, 1, RSTART) "\\%" substr(before, RSTART + 1)
		else if (out == "")
			before = "\\%" before
		call = sub(/\(\)$/, "", name)
		if (sub(/^\(\)/, "", s))
			call = 1
		out = out before "\\fB" escape(name) "\\fR" (call ? "()" : "")
	}
	out = out escape(s)
	if (out ~ /^['.]/)
		out = "\\\&" out
	return out
}

function capital(s)
{
	return s ~ /^(goro|fn|elem|data|attr|go|[a-z0-9_]+\()/ ? s : toupper(substr(s, 1, 1)) substr(s, 2)
}

# ---- comments ----------------------------------------------------------------------------------------

function new_doc(names, summary,    n, i, list)
{
	doc = ++docs
	doc_names[doc] = names
	summary_of[doc] = summary
	n = split(names, list, /, /)
	for (i = 1; i <= n; i++) {
		sub(/^struct /, "", list[i])
		if (!(list[i] in doc_of))
			doc_of[list[i]] = doc
	}
	kind = summary == "" ? "desc" : "summary"
}

# What has been gathered of a paragraph becomes roff, at the end of the doc's text of its kind.
function flush_text(    text)
{
	text = line_text
	line_text = ""
	if (text == "")
		return
	plain[doc] = plain[doc] " " text
	if ((kind == "summary" || kind == "desc") && !is_row)
		told[doc] = told[doc] " " text
	if (is_row) {
		row_end(text)
		return
	}
	if (kind == "summary") {
		summary_of[doc] = summary_of[doc] (summary_of[doc] == "" ? "" : " ") text
		return
	}
	if (kind != "desc") {
		if (kind != "go")
			text = capital(text)
		# One line each.
		if (kind == "panics" || kind == "fatal")
			gsub(/; +"/, ";\n\"", text)
	}
	if (is_bullet)
		text_of[doc, kind] = text_of[doc, kind] ".IP \\(bu 3\n"
	else if (text_of[doc, kind] != "" && !is_after_code)
		text_of[doc, kind] = text_of[doc, kind] ".PP\n"
	is_after_code = 0
	text_of[doc, kind] = text_of[doc, kind] paragraph(text) "\n"
}

function paragraph(text,    n, i, lines, out)
{
	n = split(text, lines, "\n")
	out = markup(lines[1])
	for (i = 2; i <= n; i++)
		out = out "\n.br\n" markup(lines[i])
	return out
}

# A line "-EAGAIN  why" of a list of errors.
function row_end(text,    tag, k)
{
	match(text, /^[^ ]+/)
	tag = substr(text, 1, RLENGTH)
	text = substr(text, RLENGTH + 1)
	sub(/^ +/, "", text)
	k = kind
	if (k == "summary" || k == "desc" && doc_names[doc] !~ /^section /)
		k = "returns"
	if (text_of[doc, k] == "" && k == "returns")
		text_of[doc, k] = paragraph(capital(summary_of[doc])) "\n"
	text_of[doc, k] = text_of[doc, k] ".RS\n.TP\n\\fB" escape(tag) "\\fR\n" \
		(text != "" ? markup(text) : tag == "0" ? "success" : "") "\n.RE\n"
	is_row = 0
}

function code_line(line)
{
	if (!is_code) {
		flush_text()
		text_of[doc, kind_for_code()] = text_of[doc, kind_for_code()] ".PP\n.RS 4\n.EX\n"
		is_code = 1
	}
	text_of[doc, kind_for_code()] = text_of[doc, kind_for_code()] escape_code(line) "\n"
}

function code_end()
{
	if (is_code) {
		text_of[doc, kind_for_code()] = text_of[doc, kind_for_code()] ".EE\n.RE\n.PP\n"
		is_after_code = 1
	}
	is_code = 0
}

function kind_for_code()
{
	return kind == "summary" ? "desc" : kind
}

# The label with which s opens, or ""; sets label_kind.
function label_at(s)
{
	if (match(s, /^Panics: */))
		label_kind = "panics"
	else if (match(s, /^Fatal: */))
		label_kind = "fatal"
	else if (match(s, /^Order( \([^)]*\))?: */))
		label_kind = "order"
	else if (match(s, /^Go: */) || s == "Go:" && match(s, /^Go:/))
		label_kind = "go"
	else if (match(s, /^Returns? /)) {
		label_kind = "returns"
		RLENGTH = 0 # the word is part of the sentence
	} else
		return 0
	label_length = RLENGTH
	return 1
}

# A line of prose; labels stand at its beginning or after the end of a sentence.
function prose(line,    rest, at)
{
	if (is_row)
		flush_text()
	if (label_at(line)) {
		flush_text()
		kind = label_kind
		line = substr(line, label_length + 1)
	}
	rest = line
	at = 0
	while (match(rest, /\. (Panics|Fatal|Order|Go|Returns?)[: ]/)) {
		at += RSTART + 1
		rest = substr(line, at + 1)
		if (label_at(rest)) {
			prose_add(substr(line, 1, at - 1))
			prose(rest)
			return
		}
	}
	prose_add(line)
}

function prose_add(line)
{
	if (line != "")
		line_text = line_text (line_text == "" ? "" : " ") line
}

function paragraph_end()
{
	code_end()
	flush_text()
	is_bullet = 0
	kind = "desc"
}

# The lines comment[1..n]; is_banner when a row of dashes opened it.
function read_comment(n, is_banner,    i, line, names)
{
	doc = 0
	line_text = ""
	is_row = is_bullet = is_code = is_after_code = 0
	if (is_banner) {
		section = comment[1]
		new_doc("section " section, "")
		doc_of["section " section] = doc
		section_names[++sections] = section
	}
	for (i = is_banner ? 2 : 1; i <= n; i++) {
		line = comment[i]
		if (line == "") {
			if (is_code && i < n && comment[i + 1] ~ /^  /) {
				code_line("")
				continue
			}
			paragraph_end()
			continue
		}
		if (!is_code && line_text == "" && \
		    line ~ /^(struct )?(goro_[a-z0-9_]*|GORO_[A-Z_]*|go)(, (goro|GORO)_[A-Za-z0-9_]*)* - / && \
		    header_of(line)) {
			new_doc(header_names, "")
			line = header_rest
			kind = "summary"
			prose(line)
			continue
		}
		if (!doc)
			new_doc("", "")
		if (line ~ /^  +(-E[A-Z]|0$|0 )/) {
			flush_text()
			sub(/^ +/, "", line)
			is_row = 1
			line_text = line
		} else if (line ~ /^  /) {
			if (is_row || is_bullet || kind == "panics" || kind == "fatal") {
				sub(/^ +/, "", line)
				prose_add(line)
			} else
				code_line(line_of_code(line))
		} else {
			code_end()
			if (line ~ /^- /) {
				flush_text()
				line = substr(line, 3)
				is_bullet = 1
			}
			prose(line)
		}
	}
	paragraph_end()
	if (doc && doc_names[doc] == "")
		nameless = doc
}

function line_of_code(line)
{
	sub(/^  /, "", line)
	return line
}

# Of "name, name - what" sets header_names and header_rest; 0 for names that are not for programs.
function header_of(text,    at)
{
	at = index(text, " - ")
	header_names = substr(text, 1, at - 1)
	header_rest = substr(text, at + 3)
	return header_names !~ /_(,|$)/
}

# ---- declarations ------------------------------------------------------------------------------------

function declare(name, text, what)
{
	if (name ~ /_$/ || name == "GORO_H" || name == "GORO_API")
		return
	if (nameless && !(name in doc_of)) {
		doc_of[name] = nameless
		doc_names[nameless] = doc_names[nameless] (doc_names[nameless] == "" ? "" : ", ") name
	}
	if (name in declaration)
		return
	declaration[name] = text
	what_is[name] = what
	public[++publics] = name
}

function read_prototype(text,    name)
{
	sub(/^GORO_API +/, "", text)
	sub(/[ \t]*__attribute__.*;/, ";", text)
	gsub(/[ \t]+/, " ", text)
	name = text
	sub(/\(.*/, "", name)
	sub(/.*[ *]/, "", name)
	declare(name, text, "function")
}

# A typedef or struct, its lines joined by newlines.
function read_type(text,    name)
{
	name = text
	if (text ~ /^struct/) {
		sub(/^struct /, "", name)
		sub(/ .*/, "", name)
	} else {
		sub(/;[^;]*$/, "", name)
		sub(/.*[ *]/, "", name)
	}
	# Storage only: the members are nobody's business.
	if (text ~ /[ *]goro_[a-z_]*\[[0-9]+\];/)
		text = "typedef struct { ... } " name ";"
	declare(name, text, "type")
}

function read_macro(line,    name)
{
	name = line
	sub(/^# *define +/, "", name)
	sub(/[^A-Za-z0-9_].*/, "", name)
	if (name !~ /^(goro_|GORO_|go$)/)
		return
	sub(/^# *define +/, "", line)
	if (index(line, "(") == length(name) + 1)
		sub(/\).*/, ")", line)
	else
		line = name
	declare(name, line, "macro")
}

# ---- reading -------------------------------------------------------------------------------------------

# goro.h
FILENAME == header && state == "comment" {
	is_end = sub(/ *\*\/.*/, "")
	line = $0
	sub(/^ \* ?/, "", line)
	sub(/^ $/, "", line)
	if (!is_end || line !~ /^ *$/)
		comment[++lines] = line
	if (is_end) {
		state = ""
		if (!head_lines) {
			head_lines = lines
			for (i = 1; i <= lines; i++)
				head[i] = comment[i]
		} else {
			while (lines && comment[lines] == "")
				lines--
			nameless = 0
			read_comment(lines, is_banner)
			if (is_banner)
				nameless = 0
		}
	}
	next
}
FILENAME == header && state == "prototype" {
	gathered = gathered " " $0
	if (/;/) {
		state = ""
		read_prototype(gathered)
	}
	next
}
FILENAME == header && state == "type" {
	gathered = gathered "\n" $0
	if (/^}/) {
		state = ""
		read_type(gathered)
	}
	next
}
FILENAME == header && state == "macro" {
	if (!/\\$/)
		state = ""
	next
}
FILENAME == header && /^\/\*/ {
	if (/clang-format/)
		next
	for (i in comment)
		delete comment[i]
	lines = 0
	is_banner = /^\/\* ---/
	if (/\*\/ *$/) {
		line = $0
		sub(/^\/\* */, "", line)
		sub(/ *\*\/ *$/, "", line)
		comment[lines = 1] = line
		nameless = 0
		read_comment(1, 0)
	} else
		state = "comment"
	next
}
FILENAME == header && /^(GORO_API |int goro_main)/ {
	gathered = $0
	if (/;/)
		read_prototype(gathered)
	else
		state = "prototype"
	next
}
FILENAME == header && /^(typedef (struct|enum) |struct )goro_[a-z_]*[a-z]( |$)/ {
	gathered = $0
	if (/\{/)
		state = "type"
	else
		read_type(gathered)
	next
}
FILENAME == header && /^#[ \t]*define / {
	if (/^#[ \t]*define GORO_VERSION /) {
		version = $3
		gsub(/"/, "", version)
	}
	read_macro($0)
	if (/\\$/)
		state = "macro"
	next
}
FILENAME == header && /^$/ {
	nameless = 0
	next
}
FILENAME == header {
	next
}

# docs/man/families
/^#/ || /^$/ {
	next
}
$1 == "page" {
	page = $2
	page_list[++pages] = page
	page_items[page] = ""
	page_what[page] = $0
	sub(/^page +[^ ]+ +/, "", page_what[page])
	next
}
$1 == "intro" {
	page_intro[page] = $0
	sub(/^intro +/, "", page_intro[page])
	next
}
$1 == "has" {
	for (i = 2; i <= NF; i++)
		page_items[page] = page_items[page] (page_items[page] == "" ? "" : " ") $i
	next
}
$1 == "see" {
	for (i = 2; i <= NF; i++)
		page_see[page] = page_see[page] " " $i
	next
}
$1 == "macro" {
	name = $2
	prototype[name] = $0
	sub(/^macro +[^ ]+ +/, "", prototype[name])
	next
}
{
	problem("docs/man/families: cannot read: " $0)
}

