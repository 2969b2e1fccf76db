-- KEYS sessions. ARGV field, connectionId, incarnation, retention.
-- Returns 1 when removed, 2 when the incarnation holds the device by another connection, else 0.
local session = decode(redis.call('HGET', KEYS[1], ARGV[1]))
if not session then return 0 end
if session.connectionId ~= ARGV[2] then return session.incarnation == ARGV[3] and 2 or 0 end
redis.call('HDEL', KEYS[1], ARGV[1])
expireWhenOffline(KEYS[1], ARGV[4])
return 1
