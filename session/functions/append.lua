-- KEYS of each message: what the hashes of seen messages begin with, meta, list, sessions.
-- ARGV max length, retention, ttl of meta, dedupe window, whether to write lists; then of each message: digest, tail (entry.lua).
-- Returns for each message: seq, time, epoch, whether it is a duplicate, the brokers to push to; or the error that it met.
local time = now()
local primary = currentPrimary(time)
local replies = {}
for i = 1, #KEYS / 4 do
  local k, a = i * 4 - 3, i * 2 + 4
  -- The sessions first: a message that cannot be routed is not stored.
  local ok, brokers = pcall(onlineBrokers, KEYS[k + 3])
  local seq, at, epoch, duplicate = brokers
  if ok then
    ok, seq, at, epoch, duplicate = pcall(appendMessage, time, primary, KEYS[k], KEYS[k + 1], KEYS[k + 2], ARGV[a], ARGV[a + 1], ARGV)
  end
  if ok then replies[i] = { seq, at, epoch, duplicate, brokers }
  else replies[i] = type(seq) == 'table' and seq or { err = seq } end
end
return replies
