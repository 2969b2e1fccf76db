-- KEYS sessions… ARGV incarnation, a field for each key. Of each its connectionId when the session is the incarnation's, 1 when it
-- is unreadable, else 0.
local found = {}
for i, sessions in ipairs(KEYS) do
  local json = redis.call('HGET', sessions, ARGV[i + 1])
  local session = decode(json)
  if session and session.incarnation == ARGV[1] then
    found[i] = tostring(session.connectionId)
  else
    found[i] = json and not session and 1 or 0
  end
end
return found
