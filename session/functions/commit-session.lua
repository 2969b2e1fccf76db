-- KEYS sessions, meta, list, stream, cursors. ARGV fingerprint, field, session, ttl of meta and cursors, ttl of
-- the sessions, whether to write lists, fields to remove…
-- Writes the session and removes others, if the hash is still the one that was decided upon; else returns nil.
-- Returns epoch, seq, first, the stored cursor of the device (or false).
if fingerprint(KEYS[1]) ~= ARGV[1] then return nil end
redis.call('HSET', KEYS[1], ARGV[2], ARGV[3])
for i = 7, #ARGV do redis.call('HDEL', KEYS[1], ARGV[i]) end
-- Who is connected for longer is written again by its gateway.
redis.call('PEXPIRE', KEYS[1], ARGV[5])
local epoch, seq, first = openInbox(KEYS[2], KEYS[3], KEYS[4], now(), ARGV[4], ARGV[6])
redis.call('PEXPIRE', KEYS[5], ARGV[4])
return { epoch, seq, first, redis.call('HGET', KEYS[5], ARGV[2]) }
