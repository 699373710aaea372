-- Prints what a run gave as one line of JSON behind a mark that no other line has.
function done(summary, latency, requests)
  local errors = summary.errors
  print(string.format(
    '@@{"requests":%d,"duration_us":%d,"failed":%d,"p50_us":%d,"p99_us":%d,"p999_us":%d}',
    summary.requests, summary.duration,
    errors.connect + errors.read + errors.write + errors.status + errors.timeout,
    latency:percentile(50), latency:percentile(99), latency:percentile(99.9)))
end
