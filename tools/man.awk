# man.awk - the inside of tools/man: reads goro.h and docs/man/families, writes the pages of section 3.
#
#   goro.h -> [read_comment, read_declaration] -> docs, declarations -> [write_page] <- families
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
function markup(s,    out, name, call)
{
	out = ""
	while (match(s, /-E[A-Z][A-Z0-9]+|GORO_[A-Z_]+[A-Z]|goro_[a-z0-9_]*[a-z0-9]|[A-Za-z_][A-Za-z0-9_]*\(\)/)) {
		name = substr(s, RSTART, RLENGTH)
		out = out escape(substr(s, 1, RSTART - 1))
		s = substr(s, RSTART + RLENGTH)
		call = sub(/\(\)$/, "", name)
		if (sub(/^\(\)/, "", s))
			call = 1
		out = out "\\fB\\%" escape(name) "\\fR" (call ? "()" : "") # \% : not to be hyphenated
	}
	out = out escape(s)
	if (out ~ /^['.]/)
		out = "\\\&" out
	return out
}

function capital(s)
{
	return s ~ /^(goro|fn|elem|data|attr|go)/ ? s : toupper(substr(s, 1, 1)) substr(s, 2)
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
	if (kind == "summary") {
		summary_of[doc] = summary_of[doc] (summary_of[doc] == "" ? "" : " ") text
		return
	}
	if (is_row) {
		row_end(text)
		return
	}
	if (kind != "desc") {
		if (kind != "go")
			text = capital(text)
		# One line each.
		if (kind == "panics" || kind == "fatal")
			gsub(/; +"/, ";\n\"", text)
	}
	if (text_of[doc, kind] != "" && !is_after_code)
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
	if (k == "summary" || k == "desc")
		k = "returns"
	if (text_of[doc, k] == "" && k == "returns")
		text_of[doc, k] = paragraph(capital(summary_of[doc])) "\n"
	text_of[doc, k] = text_of[doc, k] ".RS\n.TP\n\\fB" escape(tag) "\\fR\n" \
		(text == "" ? "success" : markup(text)) "\n.RE\n"
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
	kind = "desc"
}

# The lines comment[1..n]; is_banner when a row of dashes opened it.
function read_comment(n, is_banner,    i, line, names)
{
	doc = 0
	line_text = ""
	is_row = is_code = is_after_code = 0
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
			if (is_row || kind == "panics" || kind == "fatal") {
				sub(/^ +/, "", line)
				prose_add(line)
			} else
				code_line(line_of_code(line))
		} else {
			code_end()
			if (line ~ /^- /) {
				flush_text()
				line = substr(line, 3)
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

# ---- whether a function blocks, and who may call it ----------------------------------------------------

# The function that a doc is told by: "goro_x() that gives up", "Otherwise as goro_x()."
function base_of(d,    text, name)
{
	text = summary_of[d]
	if (!match(text, /^goro_[a-z_]*\(/)) {
		text = plain[d]
		if (!match(text, /(Otherwise as|[Aa]s) goro_[a-z_]*\(\)/))
			return 0
	}
	name = substr(text, RSTART, RLENGTH)
	sub(/\(.*/, "", name)
	sub(/.* /, "", name)
	return doc_of[name] != d ? doc_of[name] : 0
}

function blocks(d,    text)
{
	text = plain[d]
	if (text ~ /(Does|Do) not block/)
		return "Does not block."
	if (text ~ /Does not return/)
		return "Does not return."
	if (text ~ /Never blocks/)
		return "Never blocks."
	if (text ~ /[Bb]locks? (only|a[st]|the calling|until|for|while)|[Bb]locks?[:;,.]/)
		return "May block."
	return base_of(d) ? blocks(base_of(d)) : ""
}

# Sentences that tell of plain threads and of the time before a run.
function callers(d,    n, i, part, out, text)
{
	text = told[d]
	gsub(/"[^"]*"/, "", text)
	n = split(text, part, /[.;] +|[.;]$/)
	out = ""
	for (i = 1; i <= n; i++)
		if (part[i] ~ /may be called|May be called|may call|plain thread|no runtime runs/) {
			sub(/^ +/, "", part[i])
			sub(/^.*: may be called/, "may be called", part[i])
			out = out (out == "" ? "" : " ") capital(part[i]) "."
		}
	if (plain[d] ~ /outside a goroutine"/)
		return "Only by a goroutine: in a plain thread it panics."
	if (out == "" && base_of(d))
		return callers(base_of(d))
	return out == "" ? "Called by goroutines and plain threads." : out
}

# ---- pages ---------------------------------------------------------------------------------------------

function bold_names(d,    n, i, list, out, name)
{
	n = split(doc_names[d], list, /, /)
	out = ""
	for (i = 1; i <= n; i++) {
		name = list[i]
		sub(/^struct /, "", name)
		out = out (i > 1 ? ", " : "") "\\fB\\%" list[i] "\\fR" \
			(what_is[name] == "function" || declaration_of(name) ~ /\(/ && what_is[name] == "macro" ? "()" : "")
	}
	return out
}

function declaration_of(name)
{
	return name in prototype ? prototype[name] : declaration[name]
}

# A declaration, broken between arguments where it is too long.
function synopsis_of(text,    out, at, head)
{
	out = ""
	while (length(text) > 76 && text !~ /\n/) {
		at = 0
		head = substr(text, 1, 76)
		while (match(substr(head, at + 1), /, /))
			at += RSTART + RLENGTH - 1
		if (!at)
			break
		out = out escape_code(substr(text, 1, at - 1)) "\n"
		text = "          " substr(text, at + 1)
	}
	gsub(/\t/, "    ", text)
	return out escape_code(text) "\n"
}

function escape_lines(text,    n, i, lines, out)
{
	n = split(text, lines, "\n")
	out = ""
	for (i = 1; i <= n; i++)
		out = out escape_code(lines[i]) (i < n ? "\n" : "")
	return out
}

function write_kind(p, kind_wanted, title,    i, d, done, any, text)
{
	any = 0
	for (i = 1; i <= page_docs[p]; i++) {
		d = page_doc[p, i]
		text = text_of[d, kind_wanted]
		if (kind_wanted == "returns" && text == "" && returns_value(d))
			text = paragraph(capital(first_sentence(summary_of[d]))) "\n"
		if (text == "")
			continue
		if (!any)
			print ".SH " title >out_file
		if (doc_names[d] ~ /^section /)
			printf "%s", text >out_file
		else
			printf ".TP\n%s\n%s", bold_names(d), in_tag(text) >out_file
		any = 1
	}
	return any
}

# Below a .TP, paragraphs keep its indentation with .IP.
function in_tag(text)
{
	gsub(/\n\.PP\n/, "\n.IP\n", text)
	gsub(/\n\.IP\n\.IP\n/, "\n.IP\n", text)
	sub(/\n\.IP\n$/, "\n", text)
	return text
}

function first_sentence(text)
{
	if (match(text, /\. /))
		text = substr(text, 1, RSTART)
	return text
}

function returns_value(d,    n, list, name)
{
	n = split(doc_names[d], list, /, /)
	name = list[1]
	return what_is[name] == "function" && name != "goro_main" && declaration[name] !~ /^void goro/
}

function write_callers(p,    i, d, text, seen, order, n, j)
{
	n = 0
	for (i = 1; i <= page_docs[p]; i++) {
		d = page_doc[p, i]
		if (!is_callable(d))
			continue
		text = blocks(d)
		if (text == "")
			problem("goro.h does not say whether " doc_names[d] " blocks")
		text = text " " callers(d)
		if (!(text in seen)) {
			order[++n] = text
			seen[text] = bold_names(d)
		} else
			seen[text] = seen[text] ", " bold_names(d)
	}
	if (!n)
		return
	print ".SH BLOCKING AND CALLERS" >out_file
	for (j = 1; j <= n; j++)
		printf ".TP\n%s\n%s\n", seen[order[j]], markup(order[j]) >out_file
	print ".PP\nNothing here may be called from a signal handler." >out_file
	print "What blocks stops a goroutine, not its thread; a plain thread it does stop: see" >out_file
	print ".BR goro (7)." >out_file
}

function is_callable(d,    n, i, list)
{
	n = split(doc_names[d], list, /, /)
	for (i = 1; i <= n; i++)
		if (what_is[list[i]] == "function" && list[i] != "goro_main" || \
		    what_is[list[i]] == "macro" && list[i] ~ /^go/)
			return 1
	return 0
}

function write_synopsis(p,    n, i, list, previous, text)
{
	print ".SH SYNOPSIS\n.nf\n.B #include <goro.h>\n.PP\n.ft B" >out_file
	n = split(page_items[p], list, " ")
	for (i = 1; i <= n; i++) {
		if (!(list[i] in declaration)) {
			problem("docs/man/families: goro.h has no " list[i] " (page " p ")")
			continue
		}
		if (previous != "" && what_is[list[i]] != previous)
			print ".sp 0.5" >out_file
		previous = what_is[list[i]]
		if (declaration[list[i]] ~ /\n/) {
			text = declaration[list[i]]
			gsub(/\t/, "    ", text)
			print ".sp 0.5\n" escape_lines(text) "\n.sp 0.5" >out_file
		} else
			printf "%s", synopsis_of(declaration_of(list[i])) >out_file
	}
	print ".ft R\n.fi\n.PP\nLink with \\fB\\-lgoro \\-pthread\\fR." >out_file
}

function write_description(p,    i, d)
{
	print ".SH DESCRIPTION" >out_file
	for (i = 1; i <= page_docs[p]; i++) {
		d = page_doc[p, i]
		if (doc_names[d] !~ /^section /)
			print ".SS " bold_names(d) >out_file
		if (summary_of[d] != "")
			print markup(capital(summary_of[d])) >out_file
		if (text_of[d, "desc"] != "") {
			if (summary_of[d] != "")
				print ".PP" >out_file
			printf "%s", tidy_paragraphs(text_of[d, "desc"]) >out_file
		}
	}
}

function tidy_paragraphs(text)
{
	sub(/^\.PP\n/, "", text)
	gsub(/\n\.PP\n\.PP\n/, "\n.PP\n", text)
	sub(/\n\.PP\n$/, "\n", text)
	return text
}

# The example without its first comment; its last one tells what it prints.
function write_example(p,    file, line, state, n, lines, i, last, any_output)
{
	file = examples "/" p ".c"
	n = 0
	while ((getline line < file) > 0)
		lines[++n] = line
	close(file)
	if (!n) {
		problem("there is no example " file)
		return
	}
	print (p == "goro" ? ".EX" : ".SH EXAMPLE\n.EX") >out_file
	state = "head"
	for (i = 1; i <= n; i++) {
		line = lines[i]
		if (state == "head") {
			if (line == " */")
				state = "code"
			continue
		}
		if (state == "code" && line == "/*" && lines[i + 1] == " * Prints:") {
			state = "output"
			print ".EE\n.PP\nIt prints:\n.PP\n.RS 4\n.EX" >out_file
			i++
			continue
		}
		if (state == "output") {
			if (line == " */")
				break
			any_output = 1
			sub(/^ \* ? ? ?/, "", line)
		}
		if (state == "code" && line == "" && lines[i + 1] == "/*" && lines[i + 2] == " * Prints:")
			continue
		gsub(/\t/, "    ", line)
		print escape_code(line) >out_file
	}
	print ".EE" (state == "output" ? "\n.RE" : "") >out_file
	if (!any_output)
		problem(file " does not end with a comment \"Prints:\"")
}

function write_see(p,    n, i, list, out)
{
	n = split(page_see[p], list, " ")
	out = ""
	for (i = 1; i <= n; i++) {
		if (!(list[i] in page_items)) {
			problem("docs/man/families: " p " sees " list[i] ", which is no page")
			continue
		}
		out = out ".BR " list[i] " (3),\n"
	}
	print ".SH SEE ALSO\n" out ".BR goro (7)" >out_file
}

function collect_docs(p,    n, i, list, d, seen)
{
	page_docs[p] = 0
	n = split(page_intro[p], list, ", *")
	for (i = 1; i <= n; i++) {
		d = doc_of["section " list[i]]
		if (!d)
			problem("docs/man/families: goro.h has no section " list[i])
		else
			page_doc[p, ++page_docs[p]] = d
		is_told["section " list[i]] = 1
	}
	n = split(page_items[p], list, " ")
	for (i = 1; i <= n; i++) {
		if (list[i] in is_told)
			problem("docs/man/families: " list[i] " is in two pages, " is_told[list[i]] " and " p)
		is_told[list[i]] = p
		d = doc_of[list[i]]
		if (!d) {
			if (list[i] in declaration && !(declaration[list[i]] ~ /^typedef struct goro_[a-z_]* goro_/) &&
			    index(all_plain(p), list[i]) == 0)
				problem("goro.h tells nothing of " list[i])
		} else if (!(d in seen)) {
			seen[d] = 1
			page_doc[p, ++page_docs[p]] = d
		}
	}
}

# What has been said on a page so far: a constant may be told by the function that uses it.
function all_plain(p,    i, out)
{
	for (i = 1; i <= page_docs[p]; i++)
		out = out plain[page_doc[p, i]]
	return out
}

function write_page(p,    n, i, list, names)
{
	out_file = folder "/man3/" p ".3"
	collect_docs(p)
	print ".\\\" Made by tools/man from include/goro.h; do not edit." >out_file
	print ".TH " p " 3 \"\" \"goro " version "\" \"goro\"" >out_file
	names = page_items[p]
	gsub(/ /, ", ", names)
	print ".SH NAME\n" names " \\- " page_what[p] >out_file
	write_synopsis(p)
	write_description(p)
	write_callers(p)
	write_kind(p, "returns", "RETURN VALUE")
	write_kind(p, "panics", "PANICS")
	write_kind(p, "fatal", "FATAL ERRORS")
	write_kind(p, "order", "ORDER")
	if (!write_kind(p, "go", "GO COUNTERPART"))
		problem("page " p ": goro.h names no Go counterpart (\"Go: ...\")")
	write_example(p)
	write_see(p)
	close(out_file)
	n = split(page_items[p], list, " ")
	for (i = 1; i <= n; i++)
		if (list[i] != p) {
			out_file = folder "/man3/" list[i] ".3"
			print ".so man3/" p ".3" >out_file
			close(out_file)
		}
}

# The head of goro.h: what goro(7) includes, each "- " a bullet.
function write_conventions(    file, i, line, is_list)
{
	out_file = folder "/conventions"
	line_text = ""
	is_list = 0
	for (i = 1; i <= head_lines; i++) {
		line = head[i]
		if (line ~ /^- /) {
			if (is_list)
				print ".IP \\(bu 3\n" markup(line_text) >out_file
			is_list = 1
			line_text = substr(line, 3)
		} else if (is_list) {
			sub(/^ +/, "", line)
			prose_add(line)
		}
	}
	print ".IP \\(bu 3\n" markup(line_text) >out_file
	close(out_file)
	out_file = folder "/pages"
	for (i = 1; i <= pages; i++)
		print ".TP\n.BR " page_list[i] " (3)\n" markup(page_what[page_list[i]]) >out_file
	close(out_file)
	out_file = folder "/example goro"
	write_example("goro")
	close(out_file)
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

END {
	for (number = 1; number <= pages; number++)
		write_page(page_list[number])
	for (number = 1; number <= publics; number++)
		if (!(public[number] in is_told))
			problem(public[number] " of goro.h is in no page: add it to docs/man/families")
	for (number = 1; number <= sections; number++)
		if (plain[doc_of["section " section_names[number]]] != "" && !(("section " section_names[number]) in is_told))
			problem("what goro.h says of \"" section_names[number] "\" is in no page: add it to docs/man/families (intro)")
	for (name in prototype)
		if (what_is[name] != "macro")
			problem("docs/man/families: " name " is no macro of goro.h")
	write_conventions()
	exit problems > 0
}
