-- KEYS lease, index. ARGV lease, bootId, ttl, the time of acquiring, ttl of the index. Returns 1 when renewed, 0 when it was missing and written again,
-- else the holder's lease. A lease acquired before ours is one that Redis was set back to.
local json = redis.call('GET', KEYS[1])
local holder = decodeLease(json)
local mine = holder and holder.bootId == ARGV[2]
if holder and not mine and (tonumber(holder.acquiredAt) or math.huge) >= tonumber(ARGV[4]) then return json end
redis.call('SET', KEYS[1], ARGV[1], 'PX', ARGV[3])
redis.call('PEXPIRE', KEYS[2], ARGV[5])
return mine and 1 or 0
