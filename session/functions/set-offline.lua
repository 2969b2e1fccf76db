-- KEYS sessions. ARGV field, connectionId, session as offline, retention. Returns 1 when it was that connection's.
local session = decode(redis.call('HGET', KEYS[1], ARGV[1]))
if not session or session.connectionId ~= ARGV[2] then return 0 end
redis.call('HSET', KEYS[1], ARGV[1], ARGV[3])
expireWhenOffline(KEYS[1], ARGV[4])
return 1
