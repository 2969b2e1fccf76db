-- KEYS sessions… ARGV retention; field and connectionId, as JSON, for each key. Removes the sessions that these connections hold; returns
-- how many. In JSON without spaces a name with its value stands nowhere else, as quotes within strings are escaped.
local removed = 0
for i, sessions in ipairs(KEYS) do
  local field = ARGV[2 * i]
  local json = redis.call('HGET', sessions, field)
  if json and string.find(json, '"connectionId":' .. ARGV[2 * i + 1], 1, true) then
    redis.call('HDEL', sessions, field)
    expireWhenOffline(sessions, ARGV[1])
    removed = removed + 1
  end
end
return removed
