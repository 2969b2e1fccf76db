-- KEYS lease. ARGV lease, bootId, ttl. Returns 1 when renewed, 0 when it was missing and written again, else the holder's lease.
local json = redis.call('GET', KEYS[1])
local holder = decodeLease(json)
if holder and holder.bootId ~= ARGV[2] then return json end
redis.call('SET', KEYS[1], ARGV[1], 'PX', ARGV[3])
return holder and 1 or 0
