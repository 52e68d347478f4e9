# table.awk - the table of one section of run.sh, from lines "WHAT WHO name=value...".
#
# base is the server that the others' requests/s are divided by.
{
	row = $1 SUBSEP $2
	if (!(row in seen)) {
		seen[row] = 1
		if (!($1 in rows_of))
			whats[++what_count] = $1
		rows_of[$1] = rows_of[$1] SUBSEP $2
	}
	if ($2 == base)
		with_base = 1
	for (i = 3; i <= NF; i++) {
		at = index($i, "=")
		cell = row SUBSEP substr($i, 1, at - 1)
		value[cell, ++count[cell]] = substr($i, at + 1) + 0
	}
	if ((row, "rss-B/conn") in count)
		with_memory = 1
	if ((row, "others-cpu") in count && value[row, "others-cpu", count[row, "others-cpu"]] > noise)
		noise = value[row, "others-cpu", count[row, "others-cpu"]]
}
# Sorts the cell, too, so that its first value is the lowest.
function median(cell,    i, j, n, x, middle) {
	n = count[cell]
	for (i = 2; i <= n; i++) {
		x = value[cell, i]
		for (j = i - 1; j > 0 && value[cell, j] > x; j--)
			value[cell, j + 1] = value[cell, j]
		value[cell, j + 1] = x
	}
	middle = int((n + 1) / 2)
	return n % 2 ? value[cell, middle] : (value[cell, middle] + value[cell, middle + 1]) / 2
}
function show(row, name, format) {
	return (row SUBSEP name) in count ? sprintf(format, median(row SUBSEP name)) : "-"
}
function rate(row,    cell) {
	cell = row SUBSEP "requests/s"
	return sprintf("%.0f (%.0f to %.0f)", median(cell), value[cell, 1], value[cell, count[cell]])
}
function ratio(row, what,    of) {
	of = what SUBSEP base SUBSEP "requests/s"
	return of in count ? sprintf("%.2f", median(row SUBSEP "requests/s") / median(of)) : "-"
}
# A handful of connections says nothing of what each of them takes.
function memory(row, connections) {
	if (connections < 1000 || !((row SUBSEP "rss-B/conn") in count))
		return "-"
	return sprintf("%.0f; %.0f", median(row SUBSEP "rss-B/conn"),
		median(row SUBSEP "pss-B/conn") + median(row SUBSEP "pte-B/conn"))
}
function show_row(what, who,    row, line, label) {
	row = what SUBSEP who
	label = what
	gsub(/,/, " ", label)
	if (what ~ /^[0-9]+$/)
		label = what " connection" (what == 1 ? "" : "s")
	line = "| " label " | " who " | " rate(row) " |" (with_base ? " " ratio(row, what) " |" : "")
	line = line " " show(row, "p50-us", "%.0f") " | " show(row, "p99-us", "%.0f") " |"
	line = line " " show(row, "p99.9-us", "%.0f") " | " show(row, "cpu-s/M", "%.2f") " |"
	print line (with_memory ? " " memory(row, what) " |" : "")
}
END {
	line = "| what | server | requests/s |" (with_base ? " of " base "'s |" : "")
	line = line " p50 us | p99 us | p99.9 us | CPU s per million |"
	print line (with_memory ? " bytes per connection |" : "")
	print "|---|---|---:|" (with_base ? "---:|" : "") "---:|---:|---:|---:|" (with_memory ? "---:|" : "")
	for (w = 1; w <= what_count; w++) {
		n = split(rows_of[whats[w]], who, SUBSEP)
		for (i = 2; i <= n; i++)
			show_row(whats[w], who[i])
	}
	if (noise > 0)
		printf "\nEverything else on the machine used at most %.2f CPUs during a run.\n", noise
}
