#!/bin/sh
# run.sh - the servers of examples/, each with the clients that people have: curl, ab, wrk, redis-cli,
# redis-benchmark, openssl s_client, psql; and with one that says what no client would.
#
#   tests/net-examples/run.sh FOLDER [EXAMPLE]...      the folder with the built examples; all if not told
#
# Servers listen on free ports of 127.0.0.1, and are ended by their ids. What needs a client that is
# missing is skipped by name; "make deps" installs all. CC names the compiler. Prints TAP.
set -u
LC_ALL=C
export LC_ALL
unset GOMAXPROCS GORODEBUG http_proxy all_proxy HTTP_PROXY ALL_PROXY
bin=$(cd "$1" && pwd) || exit 1
shift
cd "$(dirname "$0")/../.." || exit 1

work=$(mktemp -d /tmp/goro-net-examples.XXXXXX) || exit 1
chmod 755 "$work"
servers=
. tests/harness/tap.sh

# end PID: it is asked to end, and waited for; after ten seconds it is killed. Its status.
end()
{
	kill -TERM "$1" 2>/dev/null
	for i in $(seq 1 200); do
		grep -q '^State:.[^Z]' "/proc/$1/status" 2>/dev/null || break
		sleep 0.05
	done
	kill -KILL "$1" 2>/dev/null
	wait "$1" 2>/dev/null
}

leave()
{
	for pid in $servers; do
		kill -0 "$pid" 2>/dev/null && end "$pid"
	done
	rm -rf "$work"
}
trap leave EXIT
trap 'exit 1' HUP INT TERM

is() # is WHAT EXPECTED NAME
{
	[ "$1" = "$2" ]
	is=$?
	printf 'expected: %s\nhave: %s\n' "$2" "$1" >"$log"
	result $is "$3"
}

same() # same FILE FILE NAME
{
	cmp "$1" "$2" >"$log" 2>&1
	result $? "$3"
}

missing() # missing NAME COMMAND...: skipped, since one is not there.
{
	name=$1
	shift
	for command in "$@"; do
		command -v "$command" >/dev/null && continue
		skip "$name" "there is no $command"
		return 0
	done
	return 1
}

# serve NAME ARGUMENT...: starts the example, with $files descriptors at most if told, or $soft at first; sets $server, $port.
serve()
{
	name=$1
	shift
	: >"$work/$name.out"
	(
		[ -z "${files:-}" ] || ulimit -n "$files"
		[ -z "${soft:-}" ] || ulimit -S -n "$soft"
		exec "$bin/$name" "$@"
	) >"$work/$name.out" 2>"$work/$name.err" &
	server=$!
	servers="$servers $server"
	for i in $(seq 1 100); do
		port=$(sed -n 's/^listening on .*:\([0-9]*\)$/\1/p' "$work/$name.out")
		[ -n "$port" ] && return 0
		kill -0 $server 2>/dev/null || break
		sleep 0.05
	done
	cp "$work/$name.err" "$log"
	result 1 "$name starts"
	return 1
}

# stopped NAME: the server ends well when asked to, and had nothing to complain about ($work/expected if it had).
stopped()
{
	end $server
	status=$?
	cat "$work/$1.err" >"$log"
	[ $status = "${2:-0}" ] && [ ! -s "$work/$1.err" ]
	result $? "$1 ends with status ${2:-0} and has said nothing"
}

say() # say ARGUMENT...: what it answers, into $work/heard.
{
	timeout 30 "$work/say" "$@" "$port" >"$work/heard" 2>"$log"
	said=$?
	head -c 400 "$work/heard" >>"$log"
	return $said
}

knows_no_service() # knows_no_service NAME ARGUMENT...: what it says of an address that there is not
{
	name=$1
	shift
	timeout 20 "$bin/$name" "$@" >"$log" 2>&1
	is "$? $(grep -c ': no such host or service' "$log")" "2 1" "$name: a service that nobody knows"
}

# --- echo -------------------------------------------------------------------------------------------------

test_echo()
{
	serve echo 127.0.0.1:0 || return
	say <"$work/megabytes"
	same "$work/megabytes" "$work/heard" "echo: megabytes come back whole, also after our end"
	head -c 3000 "$work/megabytes" >"$work/little"
	say -p 1 <"$work/little"
	same "$work/little" "$work/heard" "echo: byte by byte"
	end $server
	files=24 serve echo 127.0.0.1:0 || return
	say -n 40 -k -t 1 </dev/null
	say <"$work/little"
	same "$work/little" "$work/heard" "echo: out of descriptors for a while, then it goes on"
	grep -q 'accept: Too many open files' "$work/echo.err"
	result $? "echo: and it said so"
	end $server
	knows_no_service echo 127.0.0.1:nosuchservice
}

# --- httpd ------------------------------------------------------------------------------------------------

get() # get PATH [CURL'S OPTION]...: its status.
{
	path=$1
	shift
	curl -s -m 10 --path-as-is -o "$work/got" -w '%{http_code}' "$@" "http://127.0.0.1:$port$path"
}

# answers STATUS... : the statuses of the answers that were heard, in order.
statuses()
{
	grep -a '^HTTP/1.1 [0-9]' "$work/heard" | cut -d' ' -f2 | tr '\n' ' ' | sed 's/ $//'
}

# http NAME STATUSES TEXT: said at once and byte by byte.
http()
{
	printf "$3" >"$work/words"
	for size in 65536 1; do
		say -p $size -t 5 <"$work/words"
		is "$(statuses)" "$2" "httpd: $1, $size bytes at a time"
	done
}

many() # many TEXT N
{
	awk -v text="$1" -v n="$2" 'BEGIN { while (n-- > 0) printf "%s", text }'
}

httpd_files()
{
	is "$(get /)" 200 "httpd: a folder's index"
	same "$work/www/index.html" "$work/got" "httpd: whole"
	is "$(get /big)" 200 "httpd: a large file"
	same "$work/megabytes" "$work/got" "httpd: whole, by sendfile"
	is "$(get /a%20b.txt?query)" 200 "httpd: an escaped name, and a query"
	is "$(get /big -I)" 200 "httpd: HEAD"
	is "$(get /sub)" 301 "httpd: a folder without its slash"
	is "$(get /sub -L)" 200 "httpd: leads to the one with"
	date=$(curl -s -I "http://127.0.0.1:$port/" | tr -d '\r' | sed -n 's/^Last-Modified: //p')
	is "$(get / -H "If-Modified-Since: $date")" 304 "httpd: what has not changed"
	is "$(get / -H 'If-Modified-Since: Thu, 01 Jan 1970 00:00:00 GMT')" 200 "httpd: what has"
	for path in /none /.secret /sub/../.secret /%2e%2e/ /..%2f //index.html /sub/%00 /%zz /%; do
		is "$(get "$path")" 404 "httpd: no such file: $path"
	done
	is "$(get /fifo)" 403 "httpd: no plain file"
	is "$(get / -X DELETE)" 405 "httpd: DELETE"
	is "$(get /new -T "$work/www/index.html")" 403 "httpd: no uploads without -u"
	echo changed >"$work/www/index.html"
	sleep 1.2
	get / >/dev/null
	same "$work/www/index.html" "$work/got" "httpd: a file that changed, after a second"
}

httpd_words()
{
	host='Host: x\r\n'
	last='GET / HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n'
	http "two requests at once" "200 404" "GET / HTTP/1.1\r\n$host\r\nGET /none HTTP/1.1\r\n$host\r\n"
	http "no more after close" 200 "$last$last"
	http "HTTP/1.0 closes" 200 "GET / HTTP/1.0\r\n\r\nGET / HTTP/1.0\r\n\r\n"
	http "no Host" 400 "GET / HTTP/1.1\r\n\r\n"
	http "two Hosts" 400 "GET / HTTP/1.1\r\n$host$host\r\n"
	http "HTTP/2.0" 505 "GET / HTTP/2.0\r\n$host\r\n"
	http "no HTTP" 400 "hello\r\n\r\n"
	http "a TLS hello" 400 '\026\003\001\002\000\001\000'
	http "a blank in a name" 400 "GET / HTTP/1.1\r\n${host}a b: c\r\n\r\n"
	http "two lengths" 400 "PUT /a HTTP/1.1\r\n${host}Content-Length: 1\r\nContent-Length: 2\r\n\r\nab"
	http "a length and chunks" 400 "PUT /a HTTP/1.1\r\n${host}Content-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n"
	http "a negative length" 400 "PUT /a HTTP/1.1\r\n${host}Content-Length: -1\r\n\r\n"
	http "a huge length" 400 "PUT /a HTTP/1.1\r\n${host}Content-Length: 99999999999999999999\r\n\r\n"
	http "an unknown encoding" 501 "PUT /a HTTP/1.1\r\n${host}Transfer-Encoding: gzip\r\n\r\n"
	http "an encoding besides chunks" 501 "PUT /a HTTP/1.1\r\n${host}Transfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n"
	http "chunks of chunks" 501 "PUT /a HTTP/1.1\r\n${host}Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n"
	http "a part of a file" 400 "PUT /up HTTP/1.1\r\n${host}Content-Range: bytes 1-1/5\r\nContent-Length: 1\r\n\r\na"
	http "HTTP/1.0 is not told to continue" 201 "PUT /up HTTP/1.0\r\nExpect: 100-continue\r\nContent-Length: 1\r\n\r\na"
	http "a blank behind a value" "100 201" "PUT /up HTTP/1.1\r\n${host}Expect: 100-continue \r\nTransfer-Encoding: chunked \r\n\r\n0\r\n\r\n"
	http "a chunk's size that is none" 400 "PUT /a HTTP/1.1\r\n${host}Transfer-Encoding: chunked\r\n\r\nxyz\r\n"
	http "an unknown expectation" 417 "PUT /a HTTP/1.1\r\n${host}Expect: tea\r\nContent-Length: 1\r\n\r\na"
	http "CONNECT" 405 "CONNECT x:1 HTTP/1.1\r\n$host\r\n"
	http "Upgrade is passed over" "200 200" "GET / HTTP/1.1\r\n${host}Upgrade: x\r\nConnection: upgrade\r\n\r\n$last"
	http "the end in the middle of a head" "" "GET / HTT"
	chunked="PUT /up HTTP/1.1\r\n${host}Transfer-Encoding: chunked\r\n\r\n"
	http "a chunk without its end" 400 "${chunked}3\r\nabcxx0\r\n\r\n"
	http "a chunk with half of it" 400 "${chunked}3\r\nabc\rx0\r\n\r\n"
	http "a chunk's size with half an end" 400 "${chunked}3\rxabc\r\n0\r\n\r\n"
	http "the last chunk with half an end" 400 "${chunked}0\r\n\rx"
	http "an LF in the line of a chunk" 400 "${chunked}3;x\ny\r\nabc\r\n0\r\n\r\n"
	http "a head with half an end" 400 "GET / HTTP/1.1\r\n$host\rx"
	http "lines that end with an LF" 200 "GET / HTTP/1.1\nHost: x\n\n"
	http "HTTP/1.0 knows no chunks" 400 "PUT /up HTTP/1.0\r\nConnection: keep-alive\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n"
	http "no host's name" 400 "GET / HTTP/1.1\r\nHost: a b\r\n\r\n"
	http "nor this" 400 "GET / HTTP/1.1\r\nHost: a/b@c\r\n\r\n"
	http "hosts that are" "200 200 200" "GET / HTTP/1.1\r\nHost: [::1]:80 \r\n\r\nGET / HTTP/1.1\r\nHost:\r\n\r\n$last"
	http "a host, and no path" "200 200" "GET http://x HTTP/1.1\r\n$host\r\nGET http://x?y=/z HTTP/1.1\r\n$host\r\n"
	http "chunks, then a request" "201 200" "PUT /up HTTP/1.1\r\n${host}Transfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n2;x=y\r\nde\r\n0\r\nT: x\r\n\r\n$last"
	is "$(cat "$work/www/up")" abcde "httpd: the chunks' file"
	http "a target too long" 414 "GET /$(many a 2000) HTTP/1.1\r\n$host\r\n"
	http "a head too large" 431 "GET / HTTP/1.1\r\n${host}A: $(many a 9000)\r\n\r\n"
	printf "GET /up HTTP/1.1\r\n$host\r\nPUT /up HTTP/1.1\r\n${host}Content-Length: 3\r\n\r\nnewGET /up HTTP/1.1\r\n$host\r\n" \
		>"$work/words"
	say <"$work/words"
	is "$(tail -c 3 "$work/heard")" new "httpd: what was uploaded is served at once"
	many "GET / HTTP/1.1
Host: x

" 1000 >"$work/words"
	say <"$work/words"
	is "$(grep -a -c '^HTTP/1.1 200' "$work/heard")" 1000 "httpd: a thousand requests at once"
}

httpd_uploads()
{
	for i in $(seq 0 99); do : >"$work/www/.upload-$server-$i"; done
	is "$(get /up1 -T "$work/megabytes")" 201 "httpd: an upload, its length told, and what a killed one left"
	rm -f "$work/www"/.upload-*
	same "$work/megabytes" "$work/www/up1" "httpd: whole"
	curl -s -m 20 -o "$work/got" -T - "http://127.0.0.1:$port/up2" <"$work/megabytes"
	same "$work/megabytes" "$work/www/up2" "httpd: an upload in chunks"
	is "$(get /up1 -T "$work/www/index.html")" 201 "httpd: over a file"
	same "$work/www/index.html" "$work/www/up1" "httpd: which it replaces"
	head -c 9000000 /dev/zero >"$work/zeros"
	is "$(get /up3 -T "$work/zeros")" 413 "httpd: an upload that is too large, its length told"
	is "$(get /up3 -H 'Transfer-Encoding: chunked' -T "$work/zeros")" 413 "httpd: and in chunks"
	is "$(get /none/up -T "$work/www/index.html")" 404 "httpd: into a folder that is not there"
	is "$(get /.up -T "$work/www/index.html")" 404 "httpd: a name with a dot before it"
	is "$(find "$work/www" -name '.upload*')" "" "httpd: nothing is left of those that failed"
}

httpd_times()
{
	printf 'GET / HTTP/1.1\r\nHost: x\r\n' >"$work/words"
	say -k -t 5 <"$work/words"
	is "$(statuses)" 408 "httpd: a head that does not end in time"
	printf 'GET / HTTP/1.1\r\nHost: x\r\nA: 12345678901234567890' >"$work/words"
	say -k -t 5 -p 1 -w 100 <"$work/words"
	is "$(statuses)" 408 "httpd: however slowly it goes on"
	printf 'PUT /slow HTTP/1.1\r\nHost: x\r\nContent-Length: 10\r\n\r\nabc' >"$work/words"
	say -k -t 5 <"$work/words"
	is "$(statuses)" 408 "httpd: a body that does not end in time"
	say -k -t 5 </dev/null
	is "$said$(statuses)" 0 "httpd: a connection that says nothing is closed"
	printf 'GET / HTTP/1.1\r\nHost: x\r\n\r\n' >"$work/words"
	say -k -t 5 <"$work/words"
	is "$said $(statuses)" "0 200" "httpd: and one that says nothing more"
}

httpd_stop()
{
	curl -s -m 20 --limit-rate 2M -o "$work/got" "http://127.0.0.1:$port/big" &
	client=$!
	"$work/say" -k -t 20 "$port" </dev/null >/dev/null &
	idler=$!
	sleep 0.5
	stopped httpd
	wait $client
	same "$work/megabytes" "$work/got" "httpd: what was on its way at the end went out"
	wait $idler
	is $? 0 "httpd: idle connections are closed at the end"
	serve httpd -u 127.0.0.1:0 "$work/www" || return
	printf 'PUT /last HTTP/1.1\r\nHost: x\r\nContent-Length: 20\r\n\r\n12345678901234567890' >"$work/words"
	"$work/say" -k -p 60 -w 1500 -t 20 "$port" <"$work/words" >"$work/heard" &
	client=$!
	for i in $(seq 1 100); do
		ls "$work/www"/.upload-* >"$log" 2>&1 && break
		sleep 0.05
	done
	stopped httpd
	wait $client
	is "$(statuses) $(grep -a -c '^Connection: close' "$work/heard") $(cat "$work/www/last")" \
		"201 1 12345678901234567890" "httpd: an upload that was on its way was taken, as the last"
}

httpd_load()
{
	if ! missing "httpd: ab" ab; then
		ab -q -n 20000 -c 32 -k "http://127.0.0.1:$port/" >"$log" 2>&1 &&
			grep -q '^Failed requests: *0$' "$log" &&
			grep -q '^Keep-Alive requests: *20000$' "$log"
		result $? "httpd: ab -k, 20000 requests"
		ab -q -n 3000 -c 32 "http://127.0.0.1:$port/" >"$log" 2>&1 &&
			grep -q '^Failed requests: *0$' "$log"
		result $? "httpd: ab, 3000 connections"
	fi
	if ! missing "httpd: wrk" wrk; then
		wrk -t 1 -c 64 -d 2 "http://127.0.0.1:$port/" >"$log" 2>&1 &&
			! grep -E 'Socket errors|Non-2xx' "$log"
		result $? "httpd: wrk, 64 connections"
	fi
	say -n 100 -k -t 1 </dev/null
	is "$(get /)" 200 "httpd: more connections than it takes at a time, then it goes on"
}

test_httpd()
{
	[ -x "$bin/httpd" ] || { skip httpd "its library is not installed"; return; }
	knows_no_service httpd 127.0.0.1:nosuchservice "$work"
	missing httpd curl && return
	mkdir -p "$work/www/sub"
	echo '<p>hello</p>' >"$work/www/index.html"
	echo sub >"$work/www/sub/index.html"
	echo secret >"$work/www/.secret"
	echo blank >"$work/www/a b.txt"
	mkfifo "$work/www/fifo"
	cp "$work/megabytes" "$work/www/big"
	serve httpd 127.0.0.1:0 "$work/www" || return
	httpd_files
	stopped httpd
	serve httpd -u -m 8 -t 1 -i 2 -c 64 127.0.0.1:0 "$work/www" || return
	httpd_words
	httpd_uploads
	httpd_times
	httpd_load
	httpd_stop
	files=40 serve httpd -c 1000 127.0.0.1:0 "$work/www" || return
	say -n 60 -k -t 1 </dev/null
	is "$(get /)" 200 "httpd: out of descriptors for a while, then it goes on"
	grep -q 'accept: Too many open files' "$work/httpd.err"
	result $? "httpd: and it said so"
	for i in $(seq 1 60); do
		head -c 10000 "$work/megabytes" >"$work/www/file$i"
		get "/file$i" -m 1 >"$log"
	done
	sleep 3
	is "$(for i in 3 13 23 33 43 53; do get "/file$i"; done)" 200200200200200200 \
		"httpd: files that nobody asks for any more leave their descriptors to others"
	end $server
	soft=40 serve httpd 127.0.0.1:0 "$work/www" || return
	say -n 200 -k -t 3 </dev/null &
	sleep 1
	is "$(get /file1)" 200 "httpd: two hundred idle connections, with 40 descriptors that it may raise"
	wait $!
	stopped httpd
	"$bin/httpd" 127.0.0.1:0 "$work/none" >"$log" 2>&1
	is $? 2 "httpd: no such folder"
	"$bin/httpd" nowhere "$work/www" >"$log" 2>&1
	is $? 2 "httpd: no address"
}

# --- redisd -----------------------------------------------------------------------------------------------

r() # r WORD...: what redis-cli prints, lines with a blank between.
{
	timeout 10 redis-cli -p "$port" "$@" 2>&1 | tr '\n' ' ' | sed 's/ *$//'
}

# resp NAME EXPECTED TEXT: said at once and byte by byte; CR LF are written |.
resp()
{
	printf "$3" >"$work/words"
	for size in 65536 1; do
		say -p $size -t 5 <"$work/words"
		is "$(tr -d '\r' <"$work/heard" | tr '\n' '|')" "$2" "redisd: $1, $size bytes at a time"
	done
}

redisd_commands()
{
	is "$(r ping)" PONG "redisd: PING"
	is "$(r echo 'two words')" 'two words' "redisd: ECHO"
	is "$(r set a 1) $(r get a) $(r incr a) $(r get a)" "OK 1 2 2" "redisd: SET, GET, INCR"
	is "$(r incr new) $(r mget a none new)" "1 2  1" "redisd: MGET"
	is "$(r set a x nx)|$(r set a y xx)|$(r set none x xx)|$(r get a)" "|OK||y" "redisd: SET NX, XX"
	is "$(r incr a)" "ERR value is not an integer or out of range" "redisd: INCR of a text"
	is "$(r set n 9223372036854775807) $(r incr n)" \
		"OK ERR increment or decrement would overflow" "redisd: INCR of the largest number"
	is "$(r set m -1) $(r incr m) $(r set m -9223372036854775808) $(r incr m)" \
		"OK 0 OK -9223372036854775807" "redisd: INCR of negative ones"
	is "$(r set short v px 60) $(r get short) $(sleep 0.1) $(r get short) $(r dbsize)" "OK v   4" \
		"redisd: a key that expires"
	is "$(r ttl a) $(r expire a 100) $(r ttl a) $(r ttl none) $(r set a z) $(r ttl a)" \
		"-1 1 100 -2 OK -1" "redisd: EXPIRE, TTL"
	is "$(r expire a -1) $(r exists a) $(r expire a 10)" "1 0 0" "redisd: EXPIRE in the past"
	is "$(r mset x 1 y 2) $(r del x y none) $(r exists x y)" "OK 2 0" "redisd: MSET, DEL, EXISTS"
	is "$(r set a 1) $(r expire a -9223372036854775) $(r dbsize) $(r set a 1) $(r expire a 0) $(r dbsize)" \
		"OK 1 3 OK 1 3" "redisd: EXPIRE long ago, and now: it is gone at once"
	is "$(r expire a 9223372036854775807)" "ERR invalid expire time" "redisd: EXPIRE too late"
	is "$(r flushall now)" "ERR syntax error" "redisd: FLUSHALL does not guess"
	is "$(r nonsense)" "ERR unknown command 'nonsense'" "redisd: an unknown command"
	is "$(r get)" "ERR wrong number of arguments for 'get' command" "redisd: too few words"
	timeout 10 redis-cli -p "$port" -x set blob <"$work/megabytes" >"$log"
	timeout 10 redis-cli -p "$port" get blob | head -c "$(wc -c <"$work/megabytes")" >"$work/got"
	same "$work/megabytes" "$work/got" "redisd: a large value"
	is "$(r flushall) $(r dbsize)" "OK 0" "redisd: FLUSHALL"
	seq 1 5000 | sed 's/.*/SET key:& value:&/' | timeout 20 redis-cli -p "$port" --pipe >"$log" 2>&1
	is "$(r dbsize) $(r get key:4711)" "5000 value:4711" "redisd: redis-cli --pipe"
}

redisd_words()
{
	resp "inline commands" '+PONG|+OK|$1|v|' 'PING\r\n\r\nset k v\n  get\tk  \r\n'
	resp "several at once" '+PONG|$1|v|:0|' '*1\r\n$4\r\nPING\r\n*2\r\n$3\r\nGET\r\n$1\r\nk\r\n*2\r\n$3\r\nDEL\r\n$1\r\nz\r\n'
	resp "empty ones" '+PONG|' '*0\r\n*-1\r\n*1\r\n$4\r\nPING\r\n'
	resp "an empty word" '$0||' '*2\r\n$4\r\nECHO\r\n$0\r\n\r\n'
	bad='-ERR Protocol error: '
	resp "no number of words" "${bad}invalid multibulk length|" '*x\r\n'
	resp "too many words" "${bad}invalid multibulk length|" '*100000\r\n'
	resp "a number that is too long" "${bad}invalid multibulk length|" '*11111111111111111111111111111'
	resp "no word" "${bad}expected '\$'|" '*1\r\n:1\r\n'
	resp "a word without a size" "${bad}invalid bulk length|" '*1\r\n$\r\n'
	resp "a negative size" "${bad}invalid bulk length|" '*1\r\n$-5\r\n'
	resp "a word too large" "${bad}invalid bulk length|" '*1\r\n$999999999\r\n'
	resp "a word that does not end" "${bad}invalid bulk length|" '*1\r\n$4\r\nPINGxx'
	resp "the end in the middle" "" '*2\r\n$4\r\nECHO\r\n$10\r\nabc'
	resp "a zero is no end of a number" "+OK|-ERR value is not an integer or out of range|" \
		'*3\r\n$3\r\nSET\r\n$1\r\nk\r\n$2\r\n1\000\r\n*2\r\n$4\r\nINCR\r\n$1\r\nk\r\n'
	resp "two times to live" "-ERR syntax error|-ERR syntax error|" 'SET k v EX 1 PX 1\r\nSET k v EX 1 EX 1\r\n'
	resp "no line within a reply" "-ERR unknown command 'a??b'|" '*1\r\n$4\r\na\r\nb\r\n'
	resp "QUIT" "+OK|" 'QUIT\r\nPING\r\n'
	resp "a mistake behind what is right" "+OK|\$1|1|${bad}invalid multibulk length|" 'SET m 1\r\nGET m\r\n*x\r\nPING\r\n'
	resp "nothing after QUIT, not even a mistake" "+OK|" 'QUIT\r\n*x\r\n'
	(for i in $(seq 1 100); do echo "SET n$i $i"; done; for i in $(seq 1 6); do
		echo "MGET n$(seq -s ' n' 1 1000)"; done; echo PING) >"$work/words"
	say <"$work/words"
	tr -d '\r' <"$work/heard" >"$work/got"
	is "$(grep -c '^+OK' "$work/got") $(grep -c '^\*1000' "$work/got") $(grep -c '^\$-1' "$work/got") $(tail -n 1 "$work/got")" \
		"100 6 5400 +PONG" "redisd: many words in many commands at once"
	many a 40000 >"$work/words"
	say <"$work/words"
	is "$(tr -d '\r' <"$work/heard")" "${bad}too big inline request" "redisd: a line that does not end"
	resp "who subscribed once, and no longer" '*3|$9|subscribe|$1|c|:1|*3|$11|unsubscribe|$1|c|:0|*3|$11|unsubscribe|$-1|:0|+PONG|' \
		'SUBSCRIBE c\r\nUNSUBSCRIBE\r\nUNSUBSCRIBE\r\nPING\r\n'
	resp "a subscriber" '*3|$9|subscribe|$1|c|:1|*3|$9|subscribe|$1|d|:2|*2|$4|pong|$0||*3|$11|unsubscribe|$1|c|:1|*3|$11|unsubscribe|$1|d|:0|+PONG|' \
		'SUBSCRIBE c d\r\nPING\r\nUNSUBSCRIBE c\r\nUNSUBSCRIBE\r\nPING\r\n'
	resp "UNSUBSCRIBE of what was never subscribed" \
		'*3|$11|unsubscribe|$1|a|:0|*3|$11|unsubscribe|$1|b|:0|*3|$11|unsubscribe|$-1|:0|' \
		'UNSUBSCRIBE a b\r\nUNSUBSCRIBE\r\n'
	resp "commands that a subscriber may not give" \
		"*3|\$9|subscribe|\$1|c|:1|-ERR Can't execute 'get': only SUBSCRIBE / UNSUBSCRIBE / PING / QUIT are allowed in this context|" \
		'SUBSCRIBE c\r\nGET a\r\n'
	resp "a page that sends a browser here" "-ERR unknown command 'POST'|" 'POST / HTTP/1.1\r\nHost: x\r\n\r\nFLUSHALL\r\n'
	resp "by whatever method" "-ERR unknown command 'OPTIONS'|-ERR unknown command 'Host:'|" 'OPTIONS / HTTP/1.1\r\nHost: x\r\n\r\nFLUSHALL\r\n'
	resp "quotes are not understood" "+PONG|${bad}quotes in inline request|" 'PING\r\nSET k "a b"\r\nPING\r\n'
	echo "SUBSCRIBE $(seq -s ' ' 1 1000)
SUBSCRIBE $(seq -s ' ' 1001 1030)
PING" >"$work/words"
	say <"$work/words"
	is "$(grep -a -c '^subscribe' "$work/heard") $(grep -a -c '^-ERR too many subscriptions' "$work/heard") $(grep -a -c '^pong' "$work/heard")" \
		"1024 6 1" "redisd: too many topics are refused, and the client stays"
	(for i in $(seq 1 10); do echo "SUBSCRIBE $(seq -s ' ' 1 900)"; done; echo UNSUBSCRIBE) >"$work/words"
	say <"$work/words"
	is "$(grep -a -c 'subscribe' "$work/heard") $(tail -n 1 "$work/heard" | tr -d '\r')" "9900 :0" \
		"redisd: many topics, again and again"
	many 'PING
' 100000 >"$work/words"
	say <"$work/words"
	is "$(grep -a -c '^+PONG' "$work/heard")" 100000 "redisd: a hundred thousand commands at once"
}

redisd_topics()
{
	for i in 1 2 3; do
		timeout 10 redis-cli -p "$port" subscribe news other >"$work/news.$i" &
		eval "reader$i=\$!"
	done
	for i in $(seq 1 100); do
		[ "$(r publish other x)" = 3 ] && break
		sleep 0.05
	done
	for i in $(seq 1 50); do r publish news "message $i"; done >"$log"
	is "$(r publish nobody x)" 0 "redisd: PUBLISH to nobody"
	seq 1 50 | sed 's/.*/news message &/' | tr '\n' ' ' >"$work/expected"
	sleep 0.3
	kill $reader1 $reader2 $reader3
	for i in 1 2 3; do
		grep -A2 '^message$' "$work/news.$i" | grep -v -e '^message$' -e '^--$' | tr '\n' ' ' |
			grep -o 'news message .*' >"$work/got"
		is "$(cat "$work/got")" "$(cat "$work/expected")" "redisd: subscriber $i gets all of it in order"
	done
	# One that reads nothing: it costs 32 MiB at most, and is dropped; those who publish go on.
	printf 'SUBSCRIBE flood\r\n' >"$work/words"
	(cat "$work/words"; sleep 20) | timeout 25 sh -c "exec '$work/deaf' $port" &
	deaf=$!
	sleep 0.3
	head -c 1000000 /dev/zero | tr '\0' x >"$work/flood"
	for i in $(seq 1 60); do
		timeout 10 redis-cli -p "$port" -x publish flood <"$work/flood"
	done | sort | uniq -c | tr -s ' \n' '  ' >"$log"
	tail -c 100 "$log" >"$work/got"
	grep -q ' 0 ' "$work/got" && grep -q ' 1 ' "$work/got"
	result $? "redisd: a subscriber that does not read is dropped"
	kill $deaf 2>/dev/null
	is "$(r ping)" PONG "redisd: and the others go on"
}

redisd_slow()
{
	end $server
	serve redisd -t 4 127.0.0.1:0 || return
	head -c 16000000 /dev/zero | tr '\0' x >"$work/large"
	printf 'SUBSCRIBE a\r\n' >"$work/words"
	"$work/say" -k -l 2000000 -t 30 "$port" <"$work/words" >"$work/news.1" 2>&1 &
	client=$!
	for i in $(seq 1 100); do
		[ "$(timeout 10 redis-cli -p "$port" -x publish a <"$work/large")" = 1 ] && break
		sleep 0.05
	done
	is "$(timeout 10 redis-cli -p "$port" -x set a <"$work/large" 2>&1)" OK "redisd: a value of 16 MB"
	printf 'GET a\r\nQUIT\r\n' >"$work/words"
	say -k -l 2000000 -t 29 <"$work/words"
	is "$(wc -c <"$work/heard")" 16000018 "redisd: who takes it slowly gets all of it"
	for i in $(seq 1 100); do
		[ "$(wc -c <"$work/news.1")" -gt 16000000 ] && break
		kill -0 $client 2>/dev/null || break
		sleep 0.1
	done
	is "$(wc -c <"$work/news.1")" 16000067 "redisd: and so does a subscriber"
	kill $client 2>/dev/null
	wait $client 2>/dev/null
}

redisd_limits()
{
	end $server
	serve redisd -m 8 -i 1 127.0.0.1:0 || return
	head -c 5000000 /dev/zero | tr '\0' x >"$work/large"
	is "$(timeout 10 redis-cli -p "$port" -x set a <"$work/large" 2>&1 | head -c 4)" "OOM " \
		"redisd: a command for which there is no memory"
	for i in $(seq 1 120); do
		head -c 100000 "$work/large" | timeout 10 redis-cli -p "$port" -x set "k$i" 2>&1
	done | cut -c 1-3 | sort | uniq -c | tr -s ' \n' '  ' >"$log"
	grep -q 'OK' "$log" && grep -q 'OOM' "$log"
	result $? "redisd: values for which there is none"
	is "$(r flushall) $(r set a b) $(r get a)" "OK OK b" "redisd: when it is given back"
	say -k -t 5 </dev/null
	is $said 0 "redisd: an idle connection is closed"
	end $server
	files=40 serve redisd 127.0.0.1:0 || return
	say -n 60 -k -t 1 </dev/null
	is "$(r ping)" PONG "redisd: out of descriptors for a while, then it goes on"
	grep -q 'accept: Too many open files' "$work/redisd.err"
	result $? "redisd: and it said so"
	end $server
}

test_redisd()
{
	knows_no_service redisd 127.0.0.1:nosuchservice
	missing redisd redis-cli redis-benchmark && return
	serve redisd 127.0.0.1:0 || return
	redisd_commands
	redisd_words
	redisd_topics
	for many in 1 16; do
		for case in ping,set,get,incr,mset; do
			timeout 60 redis-benchmark -p "$port" -t $case -n 20000 -P $many -r 1000 --csv \
				>"$log" 2>&1 && [ "$(grep -c '^"[A-Z]' "$log")" -ge 6 ] &&
				! grep -i -E 'error|warning' "$log"
			result $? "redisd: redis-benchmark -t $case -P $many"
		done
	done
	[ ! -s "$work/redisd.err" ]
	result $? "redisd has said nothing"
	redisd_slow
	redisd_limits
}

# --- tls_echo ---------------------------------------------------------------------------------------------

tls() # tls [OPTION]...: it does not end by itself when its input does, but at the latest in 20 s.
{
	exec timeout 20 openssl s_client -connect "127.0.0.1:$port" -CAfile "$work/cert.pem" \
		-verify_return_error -quiet "$@" 2>"$log"
}

tls_echoes() # tls_echoes FILE ANSWER [OPTION]...: what is in the file comes back.
{
	words=$1 answer=$2
	shift 2
	: >"$answer"
	tls "$@" <"$words" >"$answer" &
	client=$!
	for i in $(seq 1 300); do
		[ "$(wc -c <"$answer")" -ge "$(wc -c <"$words")" ] && break
		sleep 0.05
	done
	kill $client
	wait $client 2>/dev/null
}

test_tls_echo()
{
	[ -x "$bin/tls_echo" ] || { skip tls_echo "its library is not installed"; return; }
	missing tls_echo openssl && return
	openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -keyout "$work/key.pem" \
		-out "$work/cert.pem" -days 2 -subj /CN=localhost >"$log" 2>&1
	serve tls_echo 127.0.0.1:0 "$work/cert.pem" "$work/key.pem" || return
	base64 -w 64 "$work/megabytes" >"$work/lines"
	for version in 1_2 1_3; do
		tls_echoes "$work/lines" "$work/got" -tls$version
		same "$work/lines" "$work/got" "tls_echo: megabytes over TLS $version come back whole"
	done
	(tls -tls1_1 </dev/null >"$work/got")
	is $? 1 "tls_echo: TLS 1.1 is refused"
	clients=
	for i in 1 2 3 4 5 6 7 8; do
		echo "client $i" >"$work/words.$i"
		tls_echoes "$work/words.$i" "$work/got.$i" &
		clients="$clients $!"
	done
	wait $clients
	is "$(cat "$work"/got.? | sort | tr '\n' ' ')" \
		"client 1 client 2 client 3 client 4 client 5 client 6 client 7 client 8 " \
		"tls_echo: eight clients at once"
	echo 'GET / HTTP/1.0' >"$work/words"
	say -t 5 <"$work/words"
	is $said 0 "tls_echo: what is no TLS is closed"
	say -t 5 </dev/null
	is $said 0 "tls_echo: a connection that ends at once"
	tls_echoes "$work/words.1" "$work/got"
	is "$(cat "$work/got")" "client 1" "tls_echo: and it goes on"
	end $server
	[ ! -s "$work/tls_echo.err" ]
	result $? "tls_echo has said nothing"
	"$bin/tls_echo" 127.0.0.1:0 "$work/none" "$work/key.pem" >"$log" 2>&1
	is $? 2 "tls_echo: no such certificate"
	knows_no_service tls_echo 127.0.0.1:nosuchservice "$work/cert.pem" "$work/key.pem"
}

# --- proxy ------------------------------------------------------------------------------------------------

free_port()
{
	for i in $(seq 1 100); do
		free=$((20000 + $(od -An -N2 -tu2 /dev/urandom) % 12000))
		grep -q ":$(printf '%04X' "$free") 00000000:0000 0A" /proc/net/tcp || return
	done
}

ready() # ready PID COMMAND...: the command holds within 30 s, and the process is there.
{
	pid=$1
	shift
	for i in $(seq 1 300); do
		kill -0 "$pid" 2>/dev/null || return 1
		"$@" >/dev/null 2>&1 && return 0
		sleep 0.1
	done
	return 1
}

proxy_echo()
{
	serve echo 127.0.0.1:0 || return
	echo=$server
	echo_port=$port
	serve proxy -c 8 -i 2 127.0.0.1:0 "127.0.0.1:$port" || return
	say <"$work/megabytes"
	same "$work/megabytes" "$work/heard" "proxy: megabytes both ways, and our end is passed on"
	say -p 1 <"$work/little"
	same "$work/little" "$work/heard" "proxy: byte by byte"
	start=$(date +%s)
	say -k -t 8 <"$work/little"
	is "$said $(($(date +%s) - start < 6))" "0 1" "proxy: a pair that is idle is closed"
	say -n 20 -k -t 1 </dev/null
	say <"$work/little"
	same "$work/little" "$work/heard" "proxy: more connections than it takes at a time, then it goes on"
	"$work/say" -k -t 20 "$port" </dev/null &
	idler=$!
	sleep 0.3
	kill $echo
	wait $idler
	is $? 0 "proxy: the target's end is passed on"
	: >"$work/proxy.err"
	say -k -t 5 </dev/null
	is "$said $(grep -c "127.0.0.1:$echo_port: Connection refused" "$work/proxy.err")" "0 1" \
		"proxy: a target that is not there is complained about"
	: >"$work/proxy.err"
	stopped proxy
}

# A target that is killed with unread data resets its connection.
proxy_resets()
{
	serve echo 127.0.0.1:0 || return
	echo=$server
	unread=":$(printf '%04X' "$port") [0-9A-F:]* 01 00000000:00000BB8" # all of $work/little
	serve proxy 127.0.0.1:0 "127.0.0.1:$port" || return
	kill -STOP $echo
	timeout 30 "$work/say" -k -t 20 "$port" <"$work/little" >"$work/heard" 2>"$log" &
	sayer=$!
	ready $sayer grep -q "$unread" /proc/net/tcp
	kill -KILL $echo
	wait $sayer
	is "$? $(cat "$log")" "0 reset" "proxy: a reset is passed on as one"
	stopped proxy
}

# A client that goes on sending, and takes what comes in bites three seconds apart, which is longer than -i: the
# other direction moves hardly or not at all. That nothing ends it can only be seen by letting time pass. The file
# is more than all buffers on its way hold (tcp_wmem and tcp_rmem: tens of megabytes): httpd, once done with it,
# would see that what follows is no request, and end the connection itself.
proxy_one_way()
{
	mkdir -p "$work/www"
	truncate -s 256M "$work/www/big" # it has no blocks
	serve httpd 127.0.0.1:0 "$work/www" || return
	httpd=$server
	serve proxy -i 2 127.0.0.1:0 "127.0.0.1:$port" || return
	(printf 'GET /big HTTP/1.1\r\nHost: x\r\n\r\n'; many x 2000) >"$work/words"
	say -k -p 20 -w 100 -l 20000 -t 8 <"$work/words"
	is "$said $(grep -a -e '^HTTP' -e 'still open' -e 'not heard' "$log" | tr -d '\r')" \
		"1 say: the connection is still open
HTTP/1.1 200 OK" "proxy: a pair is not idle while one direction moves"
	end $server
	end $httpd
}

proxy_names()
{
	serve proxy 127.0.0.1:0 127.0.0.1:nosuchservice || return
	: >"$work/proxy.err"
	say -k -t 5 </dev/null
	is "$said $(grep -c '127.0.0.1:nosuchservice: no such host or service' "$work/proxy.err")" "0 1" \
		"proxy: a target that nobody knows is complained about"
	: >"$work/proxy.err"
	stopped proxy
}

proxy_descriptors()
{
	serve echo 127.0.0.1:0 || return
	echo=$server
	files=40 serve proxy -d 1 127.0.0.1:0 "127.0.0.1:$port" || return
	say -n 30 -k -t 1 </dev/null
	say -t 20 <"$work/little"
	same "$work/little" "$work/heard" "proxy: out of descriptors for a while, then it goes on"
	clients=
	for i in $(seq 1 30); do
		"$work/say" -t 10 "$port" <"$work/little" >"$work/heard.$i" 2>>"$log" &
		clients="$clients $!"
	done
	wait $clients
	is "$(cat "$work"/heard.* | wc -c)" 90000 "proxy: more at once than there are descriptors for: all have their turn"
	end $server
	end $echo
}

proxy_nginx()
{
	missing "proxy before nginx" nginx curl && return
	mkdir -p "$work/nginx"
	cp "$work/megabytes" "$work/nginx/big"
	for try in 1 2 3; do
		free_port
		cat >"$work/nginx.conf" <<-END
			daemon off; worker_processes 1; pid $work/nginx.pid; error_log $work/nginx.log;
			events { worker_connections 256; }
			http { access_log off; sendfile on; client_body_temp_path $work/nginx.tmp1;
				proxy_temp_path $work/nginx.tmp2; fastcgi_temp_path $work/nginx.tmp3;
				uwsgi_temp_path $work/nginx.tmp4; scgi_temp_path $work/nginx.tmp5;
				server { listen 127.0.0.1:$free; root $work/nginx; } }
		END
		nginx -p "$work" -c "$work/nginx.conf" >"$log" 2>&1 &
		nginx=$!
		ready $nginx curl -sf -o /dev/null "http://127.0.0.1:$free/big" && break
		end $nginx
	done
	servers="$servers $nginx"
	serve proxy 127.0.0.1:0 "127.0.0.1:$free" || return
	is "$(get /big)" 200 "proxy: a file of nginx's"
	same "$work/megabytes" "$work/got" "proxy: whole"
	if ! missing "proxy before nginx: wrk" wrk; then
		wrk -t 1 -c 32 -d 1 "http://127.0.0.1:$port/none" >"$log" 2>&1
		grep -q '^Requests/sec' "$log" && ! grep 'Socket errors' "$log"
		result $? "proxy: wrk through it, 32 connections"
	fi
	stopped proxy
	end $nginx
}

unprivileged() # In a shell of its own, which becomes the command: PostgreSQL refuses to run as root.
{
	if [ "$(id -u)" != 0 ]; then
		exec "$@"
	else
		exec setpriv --reuid "$pg_user" --regid "$(id -g "$pg_user")" --clear-groups "$@"
	fi
}

proxy_postgres()
{
	pg_bin=$(ls -d /usr/lib/postgresql/*/bin 2>/dev/null | tail -n 1)
	if ! [ -x "$pg_bin/postgres" ] || ! [ -x "$pg_bin/initdb" ] || ! [ -x "$pg_bin/psql" ]; then
		skip "proxy before PostgreSQL" "there is no PostgreSQL"
		return
	fi
	pg_user=nobody
	id postgres >/dev/null 2>&1 && [ "$(id -u)" = 0 ] && pg_user=postgres
	mkdir "$work/pg"
	[ "$(id -u)" != 0 ] || chown "$pg_user" "$work/pg"
	(unprivileged "$pg_bin/initdb" -D "$work/pg/db" -U goro -A trust --no-sync) >"$log" 2>&1
	result $? "a PostgreSQL is made" || return
	for try in 1 2 3; do
		free_port
		(unprivileged "$pg_bin/postgres" -D "$work/pg/db" -k "$work/pg" -p "$free" -h 127.0.0.1 \
			-c fsync=off) >"$log" 2>&1 &
		postgres=$!
		ready $postgres "$pg_bin/pg_isready" -h 127.0.0.1 -p "$free" && break
		end $postgres
	done
	servers="$servers $postgres"
	serve proxy 127.0.0.1:0 "127.0.0.1:$free" || return
	url="host=127.0.0.1 port=$port user=goro dbname=postgres"
	is "$(timeout 20 "$pg_bin/psql" -X -A -t "$url" -c 'select sum(i) from generate_series(1, 100000) i')" \
		5000050000 "proxy: psql through it"
	timeout 20 "$pg_bin/psql" -X -q "$url" -c 'create table t (s text)' -c '\copy t from stdin' \
		<"$work/lines" >"$log" 2>&1
	timeout 20 "$pg_bin/psql" -X -q "$url" -c '\copy t to stdout' >"$work/got" 2>>"$log"
	same "$work/lines" "$work/got" "proxy: a copy in and a copy out"
	if [ -x "$pg_bin/pgbench" ]; then
		timeout 60 "$pg_bin/pgbench" -i -q -h 127.0.0.1 -p "$port" -U goro postgres >"$log" 2>&1 &&
			timeout 60 "$pg_bin/pgbench" -c 8 -t 50 -h 127.0.0.1 -p "$port" -U goro postgres \
				>"$log" 2>&1 && grep -q 'processed: 400/400' "$log"
		result $? "proxy: pgbench through it, 8 clients"
	fi
	stopped proxy
	kill -INT $postgres
	wait $postgres
}

test_proxy()
{
	base64 -w 64 "$work/megabytes" >"$work/lines"
	knows_no_service proxy 127.0.0.1:nosuchservice 127.0.0.1:1
	proxy_names
	proxy_echo
	proxy_resets
	[ ! -x "$bin/httpd" ] || proxy_one_way
	proxy_descriptors
	proxy_nginx
	proxy_postgres
}

# ----------------------------------------------------------------------------------------------------------

head -c 5000000 /dev/urandom >"$work/megabytes"
head -c 3000 "$work/megabytes" >"$work/little"
for helper in say deaf; do
	${CC:-cc} -std=gnu11 -O2 -Wall -Wextra "tests/net-examples/$helper.c" -o "$work/$helper" || exit 1
done
for one in ${*:-echo httpd redisd tls_echo proxy}; do
	test_$one
done
tap_end
