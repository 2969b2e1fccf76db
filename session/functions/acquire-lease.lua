-- KEYS lease. ARGV lease, podUid, ttl. Returns nothing when it is ours now, else the holder's lease and its remaining ms.
local json = redis.call('GET', KEYS[1])
local holder = decodeLease(json)
if holder and holder.podUid ~= ARGV[2] then return { json, redis.call('PTTL', KEYS[1]) } end
redis.call('SET', KEYS[1], ARGV[1], 'PX', ARGV[3])
return {}
