-- KEYS lease. ARGV bootId. Returns 1 when it was that boot's.
local holder = decodeLease(redis.call('GET', KEYS[1]))
if not holder or holder.bootId ~= ARGV[1] then return 0 end
return redis.call('DEL', KEYS[1])
