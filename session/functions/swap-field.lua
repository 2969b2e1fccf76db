-- KEYS hash. ARGV field, expected value, new value; '' stands for absence. Returns the time, the value found, 1 when swapped.
local found = redis.call('HGET', KEYS[1], ARGV[1]) or ''
if found ~= ARGV[2] then return { now(), found, 0 } end
if ARGV[3] == '' then
  redis.call('HDEL', KEYS[1], ARGV[1])
else
  redis.call('HSET', KEYS[1], ARGV[1], ARGV[3])
end
return { now(), found, 1 }
