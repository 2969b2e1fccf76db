-- KEYS cursors, meta. ARGV field, epoch, seq, ttl, most cursors. Returns 1 when saved.
-- A cursor only rises within its epoch and never passes the newest message. One of an epoch that this one goes on from counts
-- as far as they agree; one of any other is of no use.
local epoch, head = readHead(KEYS[2])
local agreed = epoch and head and agreedSeq(epoch, ARGV[2])
if not agreed then return 0 end
local seq = math.min(tonumber(ARGV[3]), head, agreed)
local stored = redis.call('HGET', KEYS[1], ARGV[1])
if stored then
  local epochBefore, seqBefore = string.match(stored, '^(.+):(%d+)$')
  if epochBefore == epoch and tonumber(seqBefore) >= seq then return 0 end
elseif redis.call('HLEN', KEYS[1]) >= tonumber(ARGV[5]) then
  -- A new device beyond the bound takes the place of the one that is furthest behind.
  local flat, victim, lowest = redis.call('HGETALL', KEYS[1]), nil, math.huge
  for i = 1, #flat, 2 do
    local otherEpoch, otherSeq = string.match(flat[i + 1], '^(.+):(%d+)$')
    local rank = otherEpoch == epoch and tonumber(otherSeq) or -1
    if rank < lowest then victim, lowest = flat[i], rank end
  end
  redis.call('HDEL', KEYS[1], victim)
end
redis.call('HSET', KEYS[1], ARGV[1], epoch .. ':' .. int(seq))
redis.call('PEXPIRE', KEYS[1], ARGV[4])
redis.call('PEXPIRE', KEYS[2], ARGV[4])
return 1
