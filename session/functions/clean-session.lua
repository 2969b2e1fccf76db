-- KEYS sessions. ARGV field, incarnation, retention. Returns 1 when removed, -1 when the session is unreadable, else 0.
local json = redis.call('HGET', KEYS[1], ARGV[1])
if not json then return 0 end
local session = decode(json)
if not session then return -1 end
if session.incarnation ~= ARGV[2] then return 0 end
redis.call('HDEL', KEYS[1], ARGV[1])
expireWhenOffline(KEYS[1], ARGV[3])
return 1
