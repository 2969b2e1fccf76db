-- KEYS hash. ARGV field, expected value, new value; '' stands for absence; ttl of the hash.
-- Returns the time, the value found, 1 when swapped.
local found = redis.call('HGET', KEYS[1], ARGV[1]) or ''
local swapped = found == ARGV[2] and 1 or 0
if swapped == 1 and ARGV[3] == '' then redis.call('HDEL', KEYS[1], ARGV[1]) end
if swapped == 1 and ARGV[3] ~= '' then redis.call('HSET', KEYS[1], ARGV[1], ARGV[3]) end
redis.call('PEXPIRE', KEYS[1], ARGV[4])
return { now(), found, swapped }
