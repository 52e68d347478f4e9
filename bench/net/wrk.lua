-- wrk.lua - has wrk say what it found in the words of load.c, and the 99.9th percentile, too.
done = function(summary, latency, requests)
	local e = summary.errors
	io.write(string.format(
		"requests=%d requests/s=%.0f p50-us=%.1f p99-us=%.1f p99.9-us=%.1f errors=%d\n",
		summary.requests, summary.requests * 1e6 / summary.duration,
		latency:percentile(50), latency:percentile(99), latency:percentile(99.9),
		e.connect + e.read + e.write + e.status + e.timeout))
end
