-- KEYS lease. ARGV lease, podUid, ttl. Returns the time of acquiring, which the lease then has, or the holder's lease and its
-- remaining ms.
local json = redis.call('GET', KEYS[1])
local holder = decodeLease(json)
if holder and holder.podUid ~= ARGV[2] then return { json, redis.call('PTTL', KEYS[1]) } end
local acquiredAt = now()
redis.call('SET', KEYS[1], string.sub(ARGV[1], 1, -2) .. ',"acquiredAt":' .. int(acquiredAt) .. '}', 'PX', ARGV[3])
return { acquiredAt }
