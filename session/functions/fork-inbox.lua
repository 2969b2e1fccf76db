-- KEYS meta, inbox. ARGV ttl of meta, epoch, seq that is known of it. Returns epoch, seq, first.
local time = now()
local epoch, seq, first = openInbox(KEYS[1], KEYS[2], time)
if epoch == ARGV[2] and seq < tonumber(ARGV[3]) then
  epoch = forkEpoch(epoch, seq, createTag(KEYS[1], time, 8))
  redis.call('HSET', KEYS[1], 'epoch', epoch)
end
redis.call('PEXPIRE', KEYS[1], ARGV[1])
return { epoch, seq, first }
