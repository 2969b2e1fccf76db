-- KEYS of each message: dedupe, meta, inbox, sessions.
-- ARGV max length, retention, ttl of meta, dedupe window; then of each message: from, clientType, messageId, payload.
-- Returns for each message: seq, time, epoch, whether it is a duplicate, the sessions; or the error that it met.
local time = now()
local replies = {}
for i = 0, #KEYS / 4 - 1 do
  local ok, reply = pcall(appendMessage, time, i * 4, i * 4 + 4, KEYS, ARGV)
  if not ok and type(reply) ~= 'table' then reply = { err = reply } end
  replies[i + 1] = reply
end
return replies
