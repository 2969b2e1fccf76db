-- KEYS meta, list, stream. Returns epoch, seq, first as they are; nil where there is no inbox.
local packed, isStream = readMeta(KEYS[1])
if packed then
  local seq, first, base, _, _, _, _, _, _, epoch = unpackMeta(packed)
  if seq > base and redis.call('EXISTS', KEYS[2]) == 0 then first = seq + 1
  elseif base > 0 and redis.call('EXISTS', KEYS[3]) == 0 then first = math.max(first, base + 1) end
  return { epoch, seq, first }
end
if not isStream then return nil end
local stored = redis.call('HMGET', KEYS[1], 'epoch', 'seq', 'first')
if not (stored[1] and stored[2] and stored[3]) then return nil end
local seq = tonumber(stored[2])
return { stored[1], seq, redis.call('EXISTS', KEYS[3]) == 1 and tonumber(stored[3]) or seq + 1 }
