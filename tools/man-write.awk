# man-write.awk - the second half of tools/man: writes the pages of section 3, from what man-read.awk has read.

# ---- whether a function blocks, and who may call it ----------------------------------------------------

# The doc of the function that a doc is told by: "goro_x() that gives up", "Otherwise as goro_x()."; sets base_name.
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
	base_name = name
	return doc_of[name] != d ? doc_of[name] : 0
}

function blocks(d,    text)
{
	text = plain[d]
	gsub(/fn may block/, "", text)
	if (text ~ /(Does|Do) not block/)
		return "Does not block."
	if (text ~ /Does not return/)
		return "Does not return."
	if (text ~ /Never blocks/)
		return "Never blocks."
	if (text ~ /[Bb]locks? (only|a[st]|the calling|until|for|while)|[Bb]locks?[:;,.]/)
		return "May block."
	if (base_of(d))
		return blocks(base_of(d))
	return plain[intro] ~ /never block/ ? "Does not block." : ""
}

# Sentences that tell of plain threads and of the time before a run.
function callers(d,    n, i, part, out, text)
{
	text = told[d]
	gsub(/"[^"]*"/, "", text)
	n = split(text, part, /[.;] +|[.;]$/)
	out = ""
	for (i = 1; i <= n; i++)
		if (part[i] ~ /[Mm]ay be called (by|before|anywhere|from)|may call|plain thread|no runtime runs/) {
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
	return out escape_code(text) "\n"
}

# A tab is 4 columns at the beginning of a line, and leads to the next multiple of 8 within it.
function untab(line,    out, at, column)
{
	out = ""
	column = 0
	while (sub(/^\t/, "", line)) {
		out = out "    "
		column += 8
	}
	while ((at = index(line, "\t")) > 0) {
		out = out substr(line, 1, at - 1) " "
		column += at
		for (line = substr(line, at + 1); column % 8; column++)
			out = out " "
	}
	return out line
}

function escape_lines(text,    n, i, lines, out)
{
	n = split(text, lines, "\n")
	out = ""
	for (i = 1; i <= n; i++)
		out = out escape_code(untab(lines[i])) (i < n ? "\n" : "")
	return out
}

function write_kind(p, kind_wanted, title,    i, d, done, any, text)
{
	any = 0
	for (i = 1; i <= page_docs[p]; i++) {
		d = page_doc[p, i]
		text = text_of[d, kind_wanted]
		if (kind_wanted == "returns" && text == "" && returns_value(d))
			text = paragraph(base_of(d) ? "As " base_name "()." : capital(first_sentence(summary_of[d]))) "\n"
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

function write_synopsis(p,    n, i, list, previous)
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
			print ".sp 0.5\n" escape_lines(declaration[list[i]]) "\n.sp 0.5" >out_file
		} else
			printf "%s", synopsis_of(declaration_of(list[i])) >out_file
	}
	print ".ft R\n.fi\n.PP\nLink with \\fB\\-lgoro \\-pthread\\fR; a program with \\fBgoro_main\\fR(), with \\fB\\-l:libgoro.a \\-pthread\\fR." >out_file
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
		print escape_code(untab(line)) >out_file
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
	page_docs[p] = intro = 0
	n = split(page_intro[p], list, ", *")
	for (i = 1; i <= n; i++) {
		d = doc_of["section " list[i]]
		if (!d)
			problem("docs/man/families: goro.h has no section " list[i])
		else
			page_doc[p, ++page_docs[p]] = intro = d
		is_told["section " list[i]] = 1
	}
	n = split(page_items[p], list, " ")
	for (i = 1; i <= n; i++) {
		if (list[i] in is_told)
			problem("docs/man/families: " list[i] " is in two pages, " is_told[list[i]] " and " p)
		is_told[list[i]] = p
		d = doc_of[list[i]]
		if (!d) {
			if (list[i] in declaration && !(declaration[list[i]] ~ /^typedef struct (goro_[a-z_]*|[{] [.][.][.] [}]) goro_/) &&
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
