-- KEYS meta, list, stream. ARGV ttl of meta, whether to write lists, epoch, seq that is known of it. Returns epoch, seq, first.
local time = now()
local epoch, seq, first, base = openInbox(KEYS[1], KEYS[2], KEYS[3], time, ARGV[1], ARGV[2])
if epoch == ARGV[3] and seq < tonumber(ARGV[4]) then
  epoch = forkEpoch(epoch, seq, createTag(KEYS[1], time, 8))
  if base then setEpoch(KEYS[1], epoch) else redis.call('HSET', KEYS[1], 'epoch', epoch) end
end
return { epoch, seq, first }
