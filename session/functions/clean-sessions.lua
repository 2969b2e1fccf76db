-- KEYS sessions… ARGV incarnation, retention, a field for each key. Removes the sessions that are the incarnation's; returns how many.
local removed = 0
for i, sessions in ipairs(KEYS) do
  local session = decode(redis.call('HGET', sessions, ARGV[i + 2]))
  if session and session.incarnation == ARGV[1] then
    redis.call('HDEL', sessions, ARGV[i + 2])
    expireWhenOffline(sessions, ARGV[2])
    removed = removed + 1
  end
end
return removed
